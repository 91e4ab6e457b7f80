package sequence

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/portknock/knock/pkg/packet"
)

// MaxSteps is the longest sequence.
const MaxSteps = 32

// A Step is one packet of a sequence.
type Step struct {
	Proto packet.Proto // TCP or UDP
	Port  uint16       // 1..65535
}

// String gives "7000" for TCP and "7000:udp" for UDP.
func (s Step) String() string {
	if s.Proto == packet.UDP {
		return fmt.Sprintf("%d:udp", s.Port)
	}
	return strconv.Itoa(int(s.Port))
}

// Parse reads a sequence as knockd's configuration and knock's command line have it: "7000,8000:udp,9000:tcp", with
// blanks around a part. A port without a protocol is one of TCP. There are 1 to MaxSteps parts.
func Parse(text string) ([]Step, error) {
	var steps []Step
	for part := range strings.SplitSeq(text, ",") {
		s, err := parseStep(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
	if len(steps) > MaxSteps {
		return nil, fmt.Errorf("a sequence of %d ports is too long: want 1 to %d", len(steps), MaxSteps)
	}
	return steps, nil
}

func parseStep(part string) (Step, error) {
	number, proto, named := strings.Cut(part, ":")
	s := Step{Proto: packet.TCP}
	switch {
	case part == "":
		return Step{}, errors.New("a part of the sequence is empty: want ports with commas, like 7000,8000:udp,9000")
	case named && strings.EqualFold(proto, "udp"):
		s.Proto = packet.UDP
	case named && !strings.EqualFold(proto, "tcp"):
		return Step{}, fmt.Errorf("%q is no protocol: want %s:tcp or %s:udp", proto, number, number)
	}
	port, err := strconv.ParseUint(number, 10, 16)
	if err != nil || port == 0 || strings.HasPrefix(number, "+") {
		return Step{}, fmt.Errorf("%q is no port: want 1..65535", number)
	}
	s.Port = uint16(port)
	return s, nil
}

// Format gives a sequence as Parse reads it.
func Format(steps []Step) string {
	parts := make([]string, len(steps))
	for i, s := range steps {
		parts[i] = s.String()
	}
	return strings.Join(parts, ",")
}
