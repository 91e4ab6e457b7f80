package sniff

import (
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/packet"
)

const (
	// maxSpans keeps the program far below the 4096 instructions that the kernel takes. More ranges of ports are made
	// fewer and wider: some packets then are handed over in vain.
	maxSpans = 512
	// snap is how much of a packet is handed over, in bytes: an IPv4 head with options and a TCP head without.
	snap = 80
)

// A family is what the filters of IPv4 and IPv6 differ in.
type family struct {
	ethernet int // EtherType
	// length loads the IP packet's length, as its head has it, into A.
	length []bpf.Instruction
	// heads ends the filter for later fragments, and else loads the transport's place into X and its protocol into A.
	heads []bpf.Instruction
}

var families = []family{
	{
		ethernet: unix.ETH_P_IP,
		length:   []bpf.Instruction{bpf.LoadAbsolute{Off: 2, Size: 2}},
		heads: join(
			[]bpf.Instruction{bpf.LoadAbsolute{Off: 6, Size: 2}}, unless(bpf.JumpBitsNotSet, 0x1fff),
			[]bpf.Instruction{bpf.LoadMemShift{Off: 0}, bpf.LoadAbsolute{Off: 9, Size: 1}},
		),
	}, {
		ethernet: unix.ETH_P_IPV6,
		length:   []bpf.Instruction{bpf.LoadAbsolute{Off: 4, Size: 2}, bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: 40}},
		heads:    []bpf.Instruction{bpf.LoadConstant{Dst: bpf.RegX, Val: 40}, bpf.LoadAbsolute{Off: 6, Size: 1}},
	},
}

// unless ends the filter if A does not compare with value.
func unless(test bpf.JumpTest, value uint32) []bpf.Instruction {
	return []bpf.Instruction{bpf.JumpIf{Cond: test, Val: value, SkipTrue: 1}, bpf.RetConstant{Val: 0}}
}

// program gives the filter of one family for the interface of an index. It starts at the IP head. No jump of a
// condition is longer than a few instructions, however many classes there are.
func (f family) program(classes []class, index int) []bpf.Instruction {
	all := join(
		[]bpf.Instruction{bpf.LoadExtension{Num: bpf.ExtType}}, unless(bpf.JumpEqual, unix.PACKET_HOST),
		// A packet for a VLAN, or for the bond that an interface is part of, passes by here as well.
		[]bpf.Instruction{bpf.LoadExtension{Num: bpf.ExtInterfaceIndex}}, unless(bpf.JumpEqual, uint32(index)),
		// The kernel lets no packet in whose end is missing.
		f.length, []bpf.Instruction{bpf.TAX{}, bpf.LoadExtension{Num: bpf.ExtLen},
			bpf.JumpIfX{Cond: bpf.JumpGreaterOrEqual, SkipTrue: 1}, bpf.RetConstant{Val: 0}},
	)
	for _, proto := range []packet.Proto{packet.TCP, packet.UDP} {
		var body []bpf.Instruction
		for _, c := range classes {
			if c.proto == proto {
				body = append(body, c.program()...)
			}
		}
		if len(body) == 0 {
			continue
		}
		body = append(body, bpf.RetConstant{Val: 0})
		all = join(all, f.heads, []bpf.Instruction{
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(proto), SkipTrue: 1}, bpf.Jump{Skip: uint32(len(body))},
		}, body)
	}
	return append(all, bpf.RetConstant{Val: 0})
}

// program ends the filter for what the class has, and else goes on behind it. X is the transport's place.
func (c class) program() (all []bpf.Instruction) {
	for _, s := range c.spans {
		all = append(all,
			bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: uint32(s.low), SkipFalse: 2},
			bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: uint32(s.high), SkipTrue: 1},
			bpf.RetConstant{Val: snap})
	}
	all = append([]bpf.Instruction{bpf.LoadIndirect{Off: 2, Size: 2}}, all...)
	if c.mask == 0 {
		return all
	}
	return append([]bpf.Instruction{
		bpf.LoadIndirect{Off: 13, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: uint32(c.mask)},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(c.set), SkipTrue: 1},
		bpf.Jump{Skip: uint32(len(all))},
	}, all...)
}

func join(parts ...[]bpf.Instruction) (all []bpf.Instruction) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
