package sniff

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/packet"
)

var (
	knocks = Want{Proto: packet.TCP, Low: 745, High: 1000, Set: packet.SYN, Mask: packet.SYN | packet.ACK}
	udp    = Want{Proto: packet.UDP, Low: 7000, High: 7000}
	xmas   = Want{Proto: packet.TCP, Low: 9000, High: 9001, Set: packet.FIN | packet.PSH | packet.URG, Mask: 0xff}
	sorts  = []Want{knocks, udp, xmas}
)

// build gives the bytes of a packet, from the IP head on. TCP carries no checksum, so nobody answers it.
func build(p packet.Packet) []byte {
	body := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, p.SrcPort), p.DstPort)
	if p.Proto == packet.TCP {
		body = append(body, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, byte(p.Flags), 0xfa, 0xf0, 0, 0, 0, 0)
	} else {
		body = append(body, 0, 12, 0, 0, 'k', 'n', 'o', 'k')
	}
	if p.Dst.Is6() {
		head := []byte{0x60, 0, 0, 0, 0, byte(len(body)), byte(p.Proto), 64}
		return append(append(append(head, p.Src.AsSlice()...), p.Dst.AsSlice()...), body...)
	}
	head := []byte{0x45, 0, 0, byte(20 + len(body)), 0, 0, 0x40, 0, 64, byte(p.Proto), 0, 0}
	return reckon(append(append(append(head, p.Src.AsSlice()...), p.Dst.AsSlice()...), body...))
}

// reckon puts the checksum into an IPv4 head.
func reckon(b []byte) []byte {
	b[10], b[11] = 0, 0
	sum := uint32(0)
	for i := 0; i < 4*int(b[0]&0xf); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum&0xffff+sum>>16))
	return b
}

// change gives a copy of b with other bytes from place on.
func change(b []byte, place int, to ...byte) []byte {
	b = append([]byte{}, b...)
	copy(b[place:], to)
	if b[0]>>4 == 4 {
		reckon(b)
	}
	return b
}

func withOptions(b []byte) []byte {
	return change(append(append(append([]byte{}, b[:20]...), 1, 1, 1, 0), b[20:]...), 0, 0x46, 0, 0, byte(len(b)+4))
}

// passes runs a filter as the kernel would for a packet that came in by interface 7.
func passes(t testing.TB, f family, classes []class, kind uint32, b []byte) bool {
	t.Helper()
	program := f.program(classes, 7)
	if raw, err := bpf.Assemble(program); err != nil || len(raw) >= 4096 {
		t.Fatalf("%d instructions: %v", len(raw), err)
	}
	for i, ins := range program { // what the machine here does not know
		switch ins {
		case bpf.LoadExtension{Num: bpf.ExtType}:
			program[i] = bpf.LoadConstant{Dst: bpf.RegA, Val: kind}
		case bpf.LoadExtension{Num: bpf.ExtInterfaceIndex}:
			program[i] = bpf.LoadConstant{Dst: bpf.RegA, Val: 7}
		}
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	n, err := vm.Run(b)
	if err != nil || n != 0 && n != snap {
		t.Fatalf("%d, %v", n, err)
	}
	return n > 0
}

// ends are the addresses of a test: one of each family for the sender and the receiver.
type ends struct{ src4, dst4, src6, dst6 netip.Addr }

func (e ends) packet(v6 bool, proto packet.Proto, port uint16, flags packet.Flags) packet.Packet {
	p := packet.Packet{Src: e.src4, Dst: e.dst4, SrcPort: 43292, DstPort: port, Proto: proto, Flags: flags}
	if v6 {
		p.Src, p.Dst = e.src6, e.dst6
	}
	return p
}

// A sample is a packet that the filter of sorts passes, or does not.
type sample struct {
	name string
	b    []byte
	pass bool
}

// samples gives packets of one family, between the given ends.
func (e ends) samples(v6 bool) []sample {
	tcp := func(port uint16, flags packet.Flags) []byte { return build(e.packet(v6, packet.TCP, port, flags)) }
	dgram := build(e.packet(v6, packet.UDP, 7000, 0))
	syn := tcp(800, packet.SYN)
	all := []sample{
		{"SYN", syn, true},
		{"SYN to the first port", tcp(745, packet.SYN), true},
		{"SYN to the last port", tcp(1000, packet.SYN), true},
		{"SYN below", tcp(744, packet.SYN), false},
		{"SYN above", tcp(1001, packet.SYN), false},
		{"SYN with ECN", tcp(800, packet.SYN|packet.ECE|packet.CWR), true},
		{"SYN ACK", tcp(800, packet.SYN|packet.ACK), false},
		{"ACK", tcp(800, packet.ACK), false},
		{"no flags", tcp(800, 0), false},
		{"the other flags", tcp(9000, packet.FIN|packet.PSH|packet.URG), true},
		{"the other flags and one more", tcp(9000, packet.FIN|packet.PSH|packet.URG|packet.SYN), false},
		{"the other flags, a knock port", tcp(800, packet.FIN|packet.PSH|packet.URG), false},
		{"SYN, the other ports", tcp(9001, packet.SYN), false},
		{"SYN, the port of UDP", tcp(7000, packet.SYN), false},
		{"UDP", dgram, true},
		{"UDP, another port", build(e.packet(v6, packet.UDP, 7001, 0)), false},
		{"UDP, a knock port", build(e.packet(v6, packet.UDP, 800, 0)), false},
		{"cut", syn[:len(syn)-1], false},
		{"padding", append(append([]byte{}, syn...), 0, 0, 0, 0, 0, 0), true},
		{"another protocol", build(e.packet(v6, 47, 800, packet.SYN)), false},
	}
	if v6 {
		return append(all, sample{"an extension", change(syn, 6, 0), false})
	}
	return append(all,
		sample{"options", withOptions(syn), true},
		sample{"first fragment", change(syn, 6, 0x20, 0), true},
		sample{"later fragment", change(syn, 6, 0x00, 0x01), false},
		sample{"middle fragment", change(syn, 6, 0x20, 0x01), false})
}

var docs = ends{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("2001:db8::1")}

func mustClasses(t testing.TB, wants ...Want) []class {
	t.Helper()
	classes, err := classesOf(wants)
	if err != nil {
		t.Fatal(err)
	}
	return classes
}

func TestFilter(t *testing.T) {
	t.Parallel()
	classes := mustClasses(t, sorts...)
	for i, f := range families {
		for _, s := range docs.samples(i == 1) {
			if got := passes(t, f, classes, unix.PACKET_HOST, s.b); got != s.pass {
				t.Errorf("family %d, %s: passes %v", i, s.name, got)
			}
			for _, kind := range []uint32{unix.PACKET_BROADCAST, unix.PACKET_MULTICAST, unix.PACKET_OTHERHOST, unix.PACKET_OUTGOING} {
				if passes(t, f, classes, kind, s.b) {
					t.Errorf("family %d, %s: passes as one of kind %d", i, s.name, kind)
				}
			}
		}
	}
}

// What is wanted passes, and what passes is wanted or lies in a gap between two ranges.
func FuzzFilter(f *testing.F) {
	for _, v6 := range []bool{false, true} {
		for _, s := range docs.samples(v6) {
			f.Add(s.b, 1)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, most int) {
		p, err := packet.DecodeIP(b)
		if err != nil {
			return
		}
		classes := mustClasses(t, knocks, udp, xmas, Want{Proto: packet.UDP, Low: 7010, High: 7011}, Want{Proto: packet.TCP, Low: 22, High: 22})
		wide := widened(classes, most&7)
		v6, size := p.Dst.Is6(), int(binary.BigEndian.Uint16(b[2:]))
		family := families[0]
		if v6 {
			family, size = families[1], 40+int(binary.BigEndian.Uint16(b[4:]))
		}
		wanted := has(classes, p) && size <= len(b) && !(v6 && packet.Proto(b[6]) != p.Proto)
		got := passes(t, family, wide, unix.PACKET_HOST, b)
		if wanted && !got || got && !has(wide, p) {
			t.Errorf("%+v: passes %v, wanted %v", p, got, wanted)
		}
	})
}

func has(classes []class, p packet.Packet) bool {
	for _, c := range classes {
		if c.has(p) {
			return true
		}
	}
	return false
}

// The greatest number of Wants still gives a filter that the kernel can take, and that lets all of them pass.
func TestFilterOfManyWants(t *testing.T) {
	t.Parallel()
	var wants []Want
	for port := uint16(1); port < 20000; port += 2 {
		wants = append(wants, Want{Proto: packet.UDP, Low: port, High: port})
	}
	for i := range maxClasses - 1 {
		wants = append(wants, Want{Proto: packet.TCP, Low: 80, High: 80, Set: packet.Flags(i), Mask: 0x3f})
	}
	classes := mustClasses(t, wants...)
	wide := widened(classes, maxSpans)
	for _, port := range []uint16{1, 9999, 19999, 19998, 0, 20000, 20001} {
		want := port > 0 && port < 20000
		if got := passes(t, families[0], wide, unix.PACKET_HOST, build(docs.packet(false, packet.UDP, port, 0))); got != want {
			t.Errorf("UDP %d: passes %v", port, got)
		}
	}
	for i := range 64 {
		p := docs.packet(true, packet.TCP, 80, packet.Flags(i)|packet.ECE)
		if got := passes(t, families[1], wide, unix.PACKET_HOST, build(p)); got != (i < maxClasses-1) {
			t.Errorf("flags %#x: passes %v", i, got)
		}
	}
}

func TestClasses(t *testing.T) {
	t.Parallel()
	text := func(classes []class) (lines []string) {
		for _, c := range classes {
			lines = append(lines, fmt.Sprintf("%d %#x/%#x %v", c.proto, c.set, c.mask, c.spans))
		}
		return lines
	}
	port := func(low, high uint16) Want { return Want{Proto: packet.UDP, Low: low, High: high} }
	classes := mustClasses(t, port(30, 39), knocks, port(20, 29), port(1, 5), port(2, 3), port(65535, 65535), port(65000, 65534), port(0, 0), port(41, 41), xmas, port(50, 60))
	for most, want := range map[int][]string{
		7: {"6 0x2/0x12 [{745 1000}]", "6 0x29/0xff [{9000 9001}]", "17 0x0/0x0 [{0 5} {20 39} {41 41} {50 60} {65000 65535}]"},
		6: {"6 0x2/0x12 [{745 1000}]", "6 0x29/0xff [{9000 9001}]", "17 0x0/0x0 [{0 5} {20 41} {50 60} {65000 65535}]"},
		5: {"6 0x2/0x12 [{745 1000}]", "6 0x29/0xff [{9000 9001}]", "17 0x0/0x0 [{0 5} {20 60} {65000 65535}]"},
		3: {"6 0x2/0x12 [{745 1000}]", "6 0x29/0xff [{9000 9001}]", "17 0x0/0x0 [{0 65535}]"},
		0: {"6 0x2/0x12 [{745 1000}]", "6 0x29/0xff [{9000 9001}]", "17 0x0/0x0 [{0 65535}]"},
	} {
		if diff := cmp.Diff(want, text(widened(classes, most))); diff != "" {
			t.Errorf("at most %d (-want +got)\n%s", most, diff)
		}
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	many := make([]Want, maxClasses+1)
	for i := range many {
		many[i] = Want{Proto: packet.TCP, Set: packet.Flags(i), Mask: 0xff}
	}
	const name = " cannot be the name of an interface: 1 to 15 bytes, no blank, slash or colon"
	for what, test := range map[string]struct {
		options Options
		err     string
	}{
		"right":            {Options{Interface: "eth0", Wants: sorts}, ""},
		"15 bytes":         {Options{Interface: "wlan-0123456789", Wants: sorts}, ""},
		"no name":          {Options{Wants: sorts}, `""` + name},
		"16 bytes":         {Options{Interface: "wlan-01234567890", Wants: sorts}, `"wlan-01234567890"` + name},
		"a slash":          {Options{Interface: "a/b", Wants: sorts}, `"a/b"` + name},
		"a blank":          {Options{Interface: "eth0 ", Wants: sorts}, `"eth0 "` + name},
		"an alias":         {Options{Interface: "eth0:1", Wants: sorts}, `"eth0:1"` + name},
		"a dot":            {Options{Interface: ".", Wants: sorts}, `"."` + name},
		"too many wants":   {Options{Interface: "eth0", Wants: many}, "failed to want packets: 65 combinations of protocol and flags, can be 64 at most"},
		"a protocol":       {Options{Interface: "eth0", Wants: []Want{{Proto: packet.ICMP}}}, "failed to want packets: protocol 1 is neither TCP nor UDP"},
		"no range":         {Options{Interface: "eth0", Wants: []Want{{Proto: packet.TCP, Low: 2, High: 1}}}, "failed to want packets: ports 2-1 are no range"},
		"flags of UDP":     {Options{Interface: "eth0", Wants: []Want{{Proto: packet.UDP, Mask: 2}}}, "failed to want packets: UDP has no flags"},
		"impossible flags": {Options{Interface: "eth0", Wants: []Want{{Proto: packet.TCP, Set: 3, Mask: 1}}}, "failed to want packets: flags 0x3 are not under the mask 0x1"},
		"a bad target":     {Options{Interface: "eth0", Wants: sorts, Targets: make([]netip.Addr, 1)}, "a target is no address"},
	} {
		s, err := New(test.options)
		if got := fmt.Sprint(err); err == nil != (test.err == "") || err != nil && got != test.err || (s == nil) != (err != nil) {
			t.Errorf("%s: error %v, want %q", what, err, test.err)
		}
	}
}

// Where the kernel has to hand over more than is wanted, the rest is left out here.
func TestTakes(t *testing.T) {
	t.Parallel()
	tap := &tap{Sniffer: mustNew(t, Options{Interface: "eth0"}), ours: NewOurs([]netip.Addr{docs.dst4})}
	tap.ours.list = func() ([]net.Addr, error) { return nil, nil }
	for port, want := range map[uint16]bool{7000: true, 7001: false, 6999: false} {
		if got := tap.takes(docs.packet(false, packet.UDP, port, 0)); got != want {
			t.Errorf("UDP %d: taken %v", port, got)
		}
	}
}
