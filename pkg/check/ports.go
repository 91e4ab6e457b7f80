package check

import (
	"fmt"
	"strings"
)

// An issue is a finding about a port: its text stands around the ports that share it.
type issue struct {
	level         level
	before, after string
	fix           string
}

// issues collects the issues of many ports.
type issues struct {
	order []issue // as they came
	ports map[issue][]int
}

// add notes an issue of a port. The ports must come in their order.
func (s *issues) add(port int, i issue) {
	if s.ports == nil {
		s.ports = map[issue][]int{}
	}
	if s.ports[i] == nil {
		s.order = append(s.order, i)
	}
	if n := len(s.ports[i]); n == 0 || s.ports[i][n-1] != port {
		s.ports[i] = append(s.ports[i], port)
	}
}

// findings gives one finding for each issue, and of those of one level not more than a person reads.
func (s *issues) findings() []finding {
	const most = 12
	var all []finding
	count := map[level]int{}
	for _, i := range s.order {
		if count[i.level]++; count[i.level] <= most {
			all = append(all, finding{i.level, i.before + portList(s.ports[i]) + i.after, i.fix})
		}
	}
	for _, l := range []level{note, problem} {
		if more := count[l] - most; more > 0 {
			all = append(all, finding{Level: l, Text: fmt.Sprintf("and %d more of this kind about these ports", more)})
		}
	}
	return all
}

// portList gives "22, 80..90".
func portList(ports []int) string {
	var parts []string
	for i := 0; i < len(ports); {
		last := i
		for last+1 < len(ports) && ports[last+1] == ports[last]+1 {
			last++
		}
		if last == i {
			parts = append(parts, fmt.Sprint(ports[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d..%d", ports[i], ports[last]))
		}
		i = last + 1
	}
	return strings.Join(parts, ", ")
}
