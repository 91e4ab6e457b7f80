package firewall

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// line is one rule or chain as "iptables -S" prints it, in words. It has at
// least one.
type line []string

// parseListing splits what "iptables -S" printed. Lines that are no option of
// iptables (the warnings of the nf_tables variant) are left out.
func parseListing(out string) []line {
	var lines []line
	for out != "" {
		if out[0] != '-' {
			_, out, _ = strings.Cut(out, "\n")
			continue
		}
		var l line
		l, out = words(out)
		lines = append(lines, l)
	}
	return lines
}

// words splits s at spaces up to the end of the line, and gives what follows. A
// word in double quotes may hold spaces, ends of lines, and quotes after a
// backslash: iptables prints comments so, and a comment can hold text that looks
// like a jump or like a rule of ours.
func words(s string) (list []string, rest string) {
	var (
		word   strings.Builder
		inWord bool
		quoted bool
	)
	end := func() {
		if inWord {
			list = append(list, word.String())
		}
		word.Reset()
		inWord = false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted, inWord = !quoted, true
		case c == '\\' && quoted && i+1 < len(s):
			i++
			word.WriteByte(s[i])
		case c == ' ' && !quoted:
			end()
		case c == '\n' && !quoted:
			end()
			return list, s[i+1:]
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	end()
	return list, ""
}

// value gives the word after an option, empty if it is not there.
func (l line) value(option string) string {
	for i := 1; i < len(l); i++ {
		if l[i-1] == option {
			return l[i]
		}
	}
	return ""
}

// isChain reports whether l makes the named chain.
func (l line) isChain(name string) bool {
	return len(l) >= 2 && l[0] == "-N" && l[1] == name
}

// in reports whether l is a rule of the named chain.
func (l line) in(chain string) bool {
	return len(l) >= 2 && l[0] == "-A" && l[1] == chain
}

// leadsTo reports whether l is a rule that jumps or goes to the named chain.
func (l line) leadsTo(chain string) bool {
	return l[0] == "-A" && slices.Contains(l.targets(), chain)
}

// reaches reports whether a packet that comes to INPUT can come to the chain.
func reaches(lines []line, chain string) bool {
	reached := []string{input}
	for i := 0; i < len(reached); i++ {
		for _, l := range lines {
			if !l.in(reached[i]) {
				continue
			}
			for _, target := range l.targets() {
				if !slices.Contains(reached, target) {
					reached = append(reached, target)
				}
			}
		}
	}
	return slices.Contains(reached[1:], chain)
}

// targets are what l jumps or goes to.
func (l line) targets() []string {
	var targets []string
	for i := 3; i < len(l); i++ {
		if l[i-1] == "-j" || l[i-1] == "-g" {
			targets = append(targets, l[i])
		}
	}
	return targets
}

// isJump reports whether l is the jump to chain that we put into INPUT.
func (l line) isJump(chain string) bool {
	return l.in(input) && slices.Equal(l[2:], jumpArgs(chain))
}

// ours reports whether l is a rule with our comment, of whatever form: one left
// by another version of the daemon is ours too. The jump to a chain is not meant:
// straight in INPUT it is that of another daemon, which has the chain.
func (l line) ours() bool {
	if l[0] != "-A" || l.value("--comment") != comment {
		return false
	}
	target := l[len(l)-1]
	return CheckChain(target) != nil || !l.isJump(target)
}

// entry gives the Entry that l is, if it is of the form that Add makes.
func (l line) entry() (Entry, bool) {
	if len(l) < 5 {
		return Entry{}, false
	}
	src, err := netip.ParsePrefix(l[3])
	if err != nil {
		return Entry{}, false
	}
	e := Entry{Rule: Rule{Src: src.Addr(), Action: Drop}}
	if l[4] == "-p" {
		port, err := strconv.ParseUint(l.value("--dport"), 10, 16)
		if err != nil {
			return Entry{}, false
		}
		e.Port, e.Action = uint16(port), Accept
	}
	if date := l.value("--datestop"); date != "" {
		stop, err := time.Parse(dateForm, date)
		if err != nil {
			return Entry{}, false
		}
		e.End = stop.Add(time.Second)
	}
	return e, e.check() == nil && l.is(e, true)
}

// is reports whether l is exactly what Add makes of e.
func (l line) is(e Entry, timed bool) bool {
	return slices.Equal(l[2:], ruleArgs(e, timed))
}
