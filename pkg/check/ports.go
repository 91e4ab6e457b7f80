package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/packet"
)

// An issue is a finding about a port: its text stands around the ports that share it.
type issue struct {
	level         level
	before, after string // "" and " is closed", of "TCP 22..23 is closed"
	fix           string
}

// addLogRule is the fix of ports that are not logged: it stands for a rule that logs all of them.
const addLogRule = "log them"

// issues collects the issues of many ports.
type issues struct {
	order   []portIssue // as they came
	ports   map[portIssue][]int
	missing map[packet.Proto]*logRule // what addLogRule stands for
}

// A portIssue is one of ports of a protocol.
type portIssue struct {
	issue
	proto packet.Proto
}

// add notes an issue of a port. The ports of a protocol must come in their order.
func (s *issues) add(port config.PortProto, one issue) {
	if s.ports == nil {
		s.ports = map[portIssue][]int{}
	}
	i := portIssue{one, port.Proto}
	if s.ports[i] == nil {
		s.order = append(s.order, i)
	}
	if n := len(s.ports[i]); n == 0 || s.ports[i][n-1] != int(port.Port) {
		s.ports[i] = append(s.ports[i], int(port.Port))
	}
}

// findings gives one finding for each issue, and of those of one level not more than a person reads.
func (s *issues) findings() []finding {
	const most = 12
	var all []finding
	count := map[level]int{}
	for _, i := range s.order {
		if count[i.level]++; count[i.level] > most {
			continue
		}
		ports := s.ports[i]
		if i.fix == addLogRule {
			i.fix = s.missing[i.proto].commands(ports)
		}
		all = append(all, finding{i.level, i.before + protoName(i.proto) + " " + portList(ports) + i.after, i.fix})
	}
	for _, l := range []level{note, problem} {
		if more := count[l] - most; more > 0 {
			all = append(all, finding{Level: l, Text: fmt.Sprintf("and %d more of this kind about these ports", more)})
		}
	}
	return all
}

func protoName(p packet.Proto) string {
	if p == packet.UDP {
		return "UDP"
	}
	return "TCP"
}

// inOrder sorts ports, each of which is there once then: those of TCP first.
func inOrder(ports []config.PortProto) []config.PortProto {
	slices.SortFunc(ports, func(a, b config.PortProto) int {
		return cmp.Or(cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.Port, b.Port))
	})
	return slices.Compact(ports)
}

// portList gives "22, 80..90".
func portList(ports []int) string { return strings.Join(ranges(ports, ".."), ", ") }

// ranges gives "22", "80..90" for ports in their order.
func ranges(ports []int, upto string) (parts []string) {
	for i := 0; i < len(ports); {
		last := i
		for last+1 < len(ports) && ports[last+1] == ports[last]+1 {
			last++
		}
		if last == i {
			parts = append(parts, fmt.Sprint(ports[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d%s%d", ports[i], upto, ports[last]))
		}
		i = last + 1
	}
	return parts
}
