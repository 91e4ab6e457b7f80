package sequence

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"slices"

	"github.com/portknock/knock/pkg/packet"
)

// A Port is packets that a Matcher must see: those of a protocol to a port; of TCP only those whose flags, as far as Mask
// goes, are Set.
type Port struct {
	Proto     packet.Proto
	Port      uint16
	Set, Mask packet.Flags
}

// drawn is how many guard ports are drawn at random. Somebody who tries the ports in shares, one share for each step,
// has to make the shares so small that they hold hardly any of these: four times as many make that sixteen times dearer.
// They fit the filter of a sniffer, which costs the kernel less than half a microsecond for a SYN then.
const drawn = 256

// scanned are guard ports of TCP that hardly any scan leaves out and that clients of a gate seldom connect to: telnet,
// portmap, Windows, databases, remote desktops.
var scanned = []uint16{23, 111, 135, 139, 445, 1433, 3389, 5900}

// Ports gives what a Matcher must see at least, ordered, each port of a protocol once. These are the ports of all
// sections, and guards: ports that only a scan tries, which is how the Matcher knows a scan though the rest of it is
// kept from it. Guards are the two ports beside each step, 256 that were drawn when the Matcher was made, of each
// protocol that sections use, and, for sections that look at SYNs, some that every scan tries. Packets to other ports may be given to the Matcher or not.
func (m *Matcher) Ports() []Port {
	all := map[Step]Flags{}
	add := func(step Step, f Flags) {
		if step.Port == 0 {
			return
		}
		if step.Proto == packet.UDP {
			f = Flags{}
		}
		if old, ok := all[step]; ok {
			f = f.or(old)
		}
		all[step] = f
	}
	for _, s := range m.sections {
		s.ports(add)
		s.guards(m.guards, add)
	}
	var ports []Port
	for step, f := range all {
		ports = append(ports, Port{step.Proto, step.Port, f.Set, f.Set | f.Clear})
	}
	slices.SortFunc(ports, func(a, b Port) int {
		return cmp.Or(cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.Port, b.Port))
	})
	return ports
}

// ports adds the ports that are part of a knock.
func (s Section) ports(add func(Step, Flags)) {
	for _, step := range s.Steps {
		add(step, s.Flags)
	}
	if s.Digits == 0 {
		return
	}
	for digit := range uint16(10) {
		add(Step{packet.TCP, s.Digits + digit}, s.Flags)
	}
}

// guards adds the ports that are not.
func (s Section) guards(drawn []uint16, add func(Step, Flags)) {
	for _, step := range s.Steps {
		add(Step{step.Proto, step.Port - 1}, s.Flags)
		add(Step{step.Proto, step.Port + 1}, s.Flags) // 65535 has one neighbour: add leaves out port 0
	}
	for _, proto := range []packet.Proto{packet.TCP, packet.UDP} {
		if !s.uses(proto) {
			continue
		}
		for _, port := range drawn {
			add(Step{proto, port}, s.Flags)
		}
	}
	if s.uses(packet.TCP) && s.Flags.Set&packet.SYN != 0 {
		for _, port := range scanned {
			add(Step{packet.TCP, port}, s.Flags)
		}
	}
}

// isKnock tells whether a port, of any protocol, is a part of a knock.
func (m *Matcher) isKnock(port uint16) (is bool) {
	for _, s := range m.sections {
		s.ports(func(step Step, _ Flags) { is = is || step.Port == port })
	}
	return is
}

// drawGuards draws ports from 1025 on that are no part of a knock.
func drawGuards(isKnock func(uint16) bool) (ports []uint16) {
	for tried := 0; len(ports) < drawn && tried < 100*drawn; tried++ { // sections may leave no port
		var b [2]byte
		rand.Read(b[:]) // it never fails
		port := binary.BigEndian.Uint16(b[:])
		if port > 1024 && !slices.Contains(ports, port) && !isKnock(port) {
			ports = append(ports, port)
		}
	}
	return ports
}
