package check

import (
	"fmt"
	"math"
	"strings"

	"github.com/portknock/knock/pkg/packet"
)

// A logRule is a rule that is missing: it would bring packets of a protocol to the daemon.
type logRule struct {
	program, match, target string
	before                 int // it must stand before this rule of INPUT, from 1; atEnd: anywhere
}

const atEnd = math.MaxInt

func (s *site) newLogRule(proto packet.Proto) *logRule {
	match := "-p tcp --syn"
	if proto == packet.UDP {
		match = "-p udp"
	}
	return &logRule{s.program, match, s.target(), atEnd}
}

// mustPrecede says what ends packets that r is to log.
func (r *logRule) mustPrecede(e end) {
	switch {
	case e.rule == nil:
	case e.rule.chain == input:
		r.before = min(r.before, e.rule.number)
	default:
		r.before = 1 // which rule leads there is not known
	}
}

// maxMultiport is how many ports a rule's multiport takes; a range is two.
const maxMultiport = 15

// commands gives what adds r for ports, which are in their order: one command, or as many as it takes.
func (r *logRule) commands(ports []int) string {
	place := "-A " + input
	if r.before != atEnd {
		place = fmt.Sprintf("-I %s %d", input, r.before)
	}
	var commands []string
	for parts := ranges(ports, ":"); len(parts) > 0; {
		n, room := 0, maxMultiport
		for ; n < len(parts); n++ {
			if room -= 1 + strings.Count(parts[n], ":"); room < 0 {
				break
			}
		}
		match := "--dport " + parts[0]
		if n > 1 {
			match = "-m multiport --dports " + strings.Join(parts[:n], ",")
		}
		parts = parts[n:]
		commands = append(commands, fmt.Sprintf("%s %s %s %s -j %s", r.program, place, r.match, match, r.target))
	}
	return strings.Join(commands, "; ")
}
