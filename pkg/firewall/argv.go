package firewall

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ruleArgs is r as iptables takes it and as it prints it, so that a rule read
// back can be compared word by word.
func ruleArgs(r Rule) []string {
	return []string{"-s", r.Src.String() + "/32", "-p", "tcp", "-m", "tcp", "--dport", strconv.Itoa(int(r.Port)),
		"-m", "comment", "--comment", comment, "-j", "ACCEPT"}
}

// insertArgs puts r at the top: straight in INPUT it must come before the
// administrator's own DROP.
func insertArgs(chain string, r Rule) []string {
	return append([]string{"-I", chain}, ruleArgs(r)...)
}

func checkArgs(chain string, r Rule) []string {
	return append([]string{"-C", chain}, ruleArgs(r)...)
}

func deleteArgs(chain string, r Rule) []string {
	return append([]string{"-D", chain}, ruleArgs(r)...)
}

func jumpArgs(chain string) []string {
	return []string{"-m", "comment", "--comment", comment, "-j", chain}
}

func insertJumpArgs(chain string) []string {
	return append([]string{"-I", input, "1"}, jumpArgs(chain)...)
}

func deleteJumpArgs(chain string) []string {
	return append([]string{"-D", input}, jumpArgs(chain)...)
}

// line is one rule or chain as "iptables -S" prints it, in words.
type line []string

// parseListing splits what "iptables -S" printed. Lines that are no option of
// iptables (the warnings of the nf_tables variant) are left out.
func parseListing(out string) []line {
	var lines []line
	for s := range strings.Lines(out) {
		if strings.HasPrefix(s, "-") {
			lines = append(lines, words(strings.TrimRight(s, "\n")))
		}
	}
	return lines
}

// words splits s at spaces. A word in double quotes may hold spaces, and quotes
// after a backslash: iptables prints comments so, and a comment can hold text
// that looks like a jump.
func words(s string) []string {
	var (
		list   []string
		word   strings.Builder
		inWord bool
		quoted bool
	)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted, inWord = !quoted, true
		case c == '\\' && quoted && i+1 < len(s):
			i++
			word.WriteByte(s[i])
		case c == ' ' && !quoted:
			if inWord {
				list = append(list, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		list = append(list, word.String())
	}
	return list
}

// has reports whether option is in l with the given value.
func (l line) has(option, value string) bool {
	for i := 1; i < len(l); i++ {
		if l[i-1] == option && l[i] == value {
			return true
		}
	}
	return false
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
// by another version of the daemon is ours too.
func (l line) ours() bool {
	return l[0] == "-A" && l.has("--comment", comment)
}

// rule gives the Rule that l is, if it is one of the form that Add makes.
func (l line) rule() (Rule, bool) {
	if len(l) != 2+len(ruleArgs(Rule{})) {
		return Rule{}, false
	}
	src, err := netip.ParsePrefix(l[3])
	if err != nil {
		return Rule{}, false
	}
	port, err := strconv.ParseUint(l[9], 10, 16)
	if err != nil {
		return Rule{}, false
	}
	r := Rule{Src: src.Addr(), Port: uint16(port)}
	return r, slices.Equal(l[2:], ruleArgs(r))
}
