package sequence

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/portknock/knock/pkg/packet"
)

// Weak says why a plain sequence needs no knock: because somebody who scans all ports upwards or downwards, once or
// trying each up to three times in a row, would complete it before a Matcher that sees no more than the steps and the
// ports beside them; or because it has three steps or more, each as far from the one before, and somebody scans no ports
// but such. It gives "" if none of that is so. Steps are as New takes them. A scan in random order completes any sequence
// now and then; of 3 ports 1 scan in 12,000 does, and of 4 far fewer.
func Weak(steps []Step) string {
	if len(steps) == 1 {
		return "a single packet completes it"
	}
	m, err := New([]Section{{Steps: steps, Timeout: time.Hour}}, Options{MaxSources: 1})
	if err != nil || len(steps) == 0 {
		return ""
	}
	for _, way := range []struct {
		name string
		sign int
	}{{"upwards", 1}, {"downwards", -1}} {
		for _, order := range protoOrders(steps, way.sign) {
			ports := near(steps, order)
			for times := 1; times <= 3; times++ {
				if m.isCompletedBy(ports, times) {
					return "a scan of all ports " + way.name + " completes it"
				}
			}
		}
	}
	if areEven(steps) {
		return "its ports are evenly spaced: a scan in such steps completes it"
	}
	return ""
}

// areEven tells whether there are three steps or more, of any protocol, each as far from the one before, which is not 0.
func areEven(steps []Step) bool {
	if len(steps) < 3 || steps[0].Port == steps[1].Port {
		return false
	}
	for i := 2; i < len(steps); i++ {
		if int(steps[i].Port)-int(steps[i-1].Port) != int(steps[1].Port)-int(steps[0].Port) {
			return false
		}
	}
	return true
}

// protoOrders gives in what orders a scan can try the ports: with two protocols each port in both, or all ports in one
// and then in the other. Downwards the sign is -1.
func protoOrders(steps []Step, sign int) []func(a, b Step) int {
	port := func(a, b Step) int { return sign * cmp.Compare(a.Port, b.Port) }
	proto := func(a, b Step) int { return cmp.Compare(a.Proto, b.Proto) }
	other := func(a, b Step) int { return proto(b, a) }
	then := func(f, g func(a, b Step) int) func(a, b Step) int {
		return func(a, b Step) int { return cmp.Or(f(a, b), g(a, b)) }
	}
	if !slices.ContainsFunc(steps, func(s Step) bool { return s.Proto != steps[0].Proto }) {
		return []func(a, b Step) int{port}
	}
	return []func(a, b Step) int{then(port, proto), then(port, other), then(proto, port), then(other, port)}
}

// near gives the ports of steps and their neighbours, each once.
func near(steps []Step, order func(a, b Step) int) (ports []Step) {
	Section{Steps: steps}.ports(func(s Step, _ Flags) { ports = append(ports, s) })
	Section{Steps: steps}.guards(nil, func(s Step, _ Flags) {
		if s.Port != 0 {
			ports = append(ports, s)
		}
	})
	slices.SortFunc(ports, order)
	return slices.Compact(ports)
}

// isCompletedBy tells whether a scan of these ports in their order, each some times, completes a section.
func (m *Matcher) isCompletedBy(ports []Step, times int) bool {
	src := netip.AddrFrom4([4]byte{byte(m.number >> 24), byte(m.number >> 16), byte(m.number >> 8), byte(m.number)})
	from := uint16(0)
	for _, to := range ports {
		for range times {
			from++
			p := packet.Packet{Src: src, SrcPort: from, DstPort: to.Port, Proto: to.Proto}
			if len(m.Observe(p, time.Time{})) > 0 {
				return true
			}
		}
	}
	return false
}
