package sequence

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/portknock/knock/pkg/packet"
)

// maxDigits is how many digits a port has at most.
const maxDigits = 5

// A Section is one sequence to look for.
type Section struct {
	// Steps are the sequence, 0 to MaxSteps. None match nothing: a list of one-time sequences that is used up.
	Steps []Step
	// Timeout is the longest time from the first packet to the last, more than 0.
	Timeout time.Duration
	// Flags are for TCP. A packet of TCP that does not fit them is for this section as if it were not there. So is one
	// of a protocol that no step has.
	Flags Flags
	// Target, if it is not the zero Addr, is the destination of all packets. What goes there is for the sections with that
	// Target alone, unless it is one of Options.Ours.
	Target netip.Addr
	// Digits, if it is not 0, is the TCP port of digit 0, 1..65526, and the section a dynamic one: Steps, then the 1 to 5
	// digits of a port (1..65535, no zero in front) as packets to Digits+digit, then Steps again. Steps may be ports of
	// digits. Between the first and the last packet there is no other packet to a step or digit.
	Digits uint16
}

func (s Section) check() error {
	switch {
	case len(s.Steps) > MaxSteps:
		return fmt.Errorf("a sequence of %d ports is too long: want at most %d", len(s.Steps), MaxSteps)
	case s.Timeout <= 0:
		return fmt.Errorf("%s is no time for a sequence: want more than 0", s.Timeout)
	case s.Flags.Set&s.Flags.Clear != 0:
		return errors.New("a TCP flag is both wanted and excluded")
	case s.Digits > 65535-9:
		return fmt.Errorf("%d is no port for digit 0: want 1..65526", s.Digits)
	}
	return checkSteps(s.Steps)
}

func checkSteps(steps []Step) error {
	for _, step := range steps {
		if step.Port == 0 || step.Proto != packet.TCP && step.Proto != packet.UDP {
			return fmt.Errorf("port %d of protocol %d is no step: want TCP or UDP, 1..65535", step.Port, step.Proto)
		}
	}
	return nil
}

// uses tells whether a packet of s is one of p.
func (s Section) uses(p packet.Proto) bool {
	return p == packet.TCP && s.Digits != 0 || slices.ContainsFunc(s.Steps, func(step Step) bool { return step.Proto == p })
}

// isDigit tells whether step is a digit of a dynamic section.
func (s Section) isDigit(step Step) bool {
	return s.Digits != 0 && step.Proto == packet.TCP && step.Port >= s.Digits && step.Port <= s.Digits+9
}

// size is how many packets the longest knock of s has.
func (s Section) size() int {
	if s.Digits == 0 {
		return len(s.Steps)
	}
	return 2*len(s.Steps) + maxDigits
}

// same tells whether both are made by the same packets.
func (s Section) same(t Section) bool { return s.Digits == t.Digits && slices.Equal(s.Steps, t.Steps) }

// contains tells whether whoever sends s may, on the way, send t: t is a plain sequence, shorter than s, and its steps
// are in s in their order.
func (s Section) contains(t Section) bool {
	if t.Digits != 0 || t.size() >= s.size() {
		return false
	}
	rest := s.contain(t.Steps)
	if s.Digits != 0 {
		for n := 0; n < maxDigits && len(rest) > 0 && s.isDigit(rest[0]); n++ {
			rest = rest[1:]
		}
		rest = s.contain(rest)
	}
	return len(rest) == 0
}

// contain gives what is left of steps after those that are found in the sequence.
func (s Section) contain(steps []Step) []Step {
	for _, step := range s.Steps {
		if len(steps) > 0 && steps[0] == step {
			steps = steps[1:]
		}
	}
	return steps
}
