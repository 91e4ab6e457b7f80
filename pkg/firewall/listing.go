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

// reaches reports whether a packet that comes to one chain, base, can come to
// another.
func reaches(lines []line, base, chain string) bool {
	reached := []string{base}
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

// entry gives the Entry that l is, if it is of the form that Add makes.
func (p *place) entry(l line) (Entry, bool) {
	if len(l) < 5 {
		return Entry{}, false
	}
	e := Entry{Rule: p.read(l)}
	if date := l.value("--datestop"); date != "" {
		stop, err := time.Parse(dateForm, date)
		if err != nil {
			return Entry{}, false
		}
		e.End = stop.Add(time.Second)
	}
	return e, e.Check() == nil && p.is(l, e, true)
}

// is reports whether l is exactly what Add makes of e.
func (p *place) is(l line, e Entry, timed bool) bool {
	return slices.Equal(l[2:], p.ruleArgs(e, timed))
}

// What a read function cannot read it leaves zero: then l is not what Add would
// make of the rule.

func readInput(l line) Rule {
	r := Rule{Src: l.addr("-s"), Action: Drop}
	if proto := l.value("-p"); proto != "" {
		r.Proto, r.Port, r.Action = readProto(proto), l.port("--dport"), Accept
	}
	return r
}

func readForward(l line) Rule {
	return Rule{
		Src: l.addr("-s"), Port: l.port("--ctorigdstport"), Action: Forward, Proto: readProto(l.value("-p")),
		To: netip.AddrPortFrom(l.addr("-d"), l.port("--dport")),
	}
}

func readNAT(l line) Rule {
	r := Rule{Src: l.addr("-s"), Port: l.port("--dport"), Action: Forward, Proto: readProto(l.value("-p"))}
	r.To, _ = netip.ParseAddrPort(l.value("--to-destination"))
	return r
}

func readProto(name string) Proto {
	if name == UDP.String() {
		return UDP
	}
	return TCP
}

// addr gives the address after an option.
func (l line) addr(option string) netip.Addr {
	prefix, _ := netip.ParsePrefix(l.value(option))
	return prefix.Addr()
}

// port gives the port after an option.
func (l line) port(option string) uint16 {
	port, _ := strconv.ParseUint(l.value(option), 10, 16)
	return uint16(port)
}
