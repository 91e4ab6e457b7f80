package check

import (
	"slices"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/pad"
	"github.com/portknock/knock/pkg/sequence"
)

// portMin is the first knock port.
func (m *machine) portMin() int {
	low, _ := m.config.KnockPorts()
	return int(low)
}

// knockLength is how many packets the longest knock has.
func (m *machine) knockLength() int {
	longest := 8
	for _, k := range m.config.Keys {
		if k.Pad != "" {
			longest = max(longest, pad.Length)
		} else if codec, err := knock.New(k.Knock); err == nil {
			longest = max(longest, codec.Len())
		}
	}
	for _, e := range m.config.Events {
		longest = max(longest, len(stepsOf(e)))
		if e.Match.Digits != 0 {
			longest = max(longest, 2*len(e.Match.Steps)+maxDigits)
		}
	}
	return longest
}

// maxDigits is how many digits a port has.
const maxDigits = 5

// stepsOf gives the sequence of e that counts now; of a list that cannot be read, none.
func stepsOf(e config.Event) []sequence.Step {
	if e.OneTime == "" {
		return e.Match.Steps
	}
	list, err := openList(e)
	if err != nil {
		return nil // which sections tells
	}
	return list.Steps()
}

// allowed gives the ports that knocks may open, in their order; if sealed knocks may open any, the one of these that
// they are made for.
func (m *machine) allowed() (ports []config.PortProto) {
	for port := range uint16(256) {
		if slices.ContainsFunc(m.config.Keys, func(k config.Key) bool { return k.Allow.Ports.Contains(port) && !forwards(k, port) }) {
			ports = append(ports, tcp(port))
		}
	}
	const ssh = 22
	anyPort := func(k config.Key) bool { return k.Allow.Ports == nil && !forwards(k, ssh) }
	if len(ports) == 0 && slices.ContainsFunc(m.config.Keys, anyPort) {
		ports = append(ports, tcp(ssh))
	}
	for _, e := range m.config.Events {
		ports = append(ports, e.Open...)
		for _, r := range e.Dynamic {
			for port := int(r.Low); port <= int(r.High); port++ {
				ports = append(ports, tcp(uint16(port)))
			}
		}
	}
	return inOrder(ports)
}

func tcp(port uint16) config.PortProto { return config.PortProto{Port: port, Proto: packet.TCP} }

// isKnock gives what tells packets that may be of a knock, by their port.
func (m *machine) isKnock() func(packet.Packet) bool {
	wanted := map[config.PortProto]bool{}
	for _, p := range m.steps() {
		wanted[p] = true
	}
	low, high := m.config.KnockPorts()
	for port := int(low); len(m.config.Keys) > 0 && port <= int(high); port++ {
		wanted[tcp(uint16(port))] = true
	}
	return func(p packet.Packet) bool {
		return (p.Proto == packet.UDP || p.IsSYN()) && wanted[config.PortProto{Port: p.DstPort, Proto: p.Proto}]
	}
}

// forwards tells whether what knocks of k ask for as a port is not opened here.
func forwards(k config.Key, port uint16) bool {
	return slices.ContainsFunc(k.Forward, func(f config.Forward) bool { return f.Port == tcp(port) })
}

// steps gives the ports of sequences. Those of TCP in whose place no SYN can come are left out: what becomes of other
// packets is not looked at.
func (m *machine) steps() (ports []config.PortProto) {
	for _, e := range m.config.Events {
		f := e.Match.Flags
		syn := f.Set&^packet.SYN == 0 && f.Clear&packet.SYN == 0
		for _, s := range stepsOf(e) {
			if syn || s.Proto == packet.UDP {
				ports = append(ports, config.PortProto{Port: s.Port, Proto: s.Proto})
			}
		}
		for digit := uint16(0); syn && e.Match.Digits != 0 && digit < 10; digit++ {
			ports = append(ports, tcp(e.Match.Digits+digit))
		}
	}
	return ports
}
