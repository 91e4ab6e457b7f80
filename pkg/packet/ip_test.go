package packet

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Packets as Linux sends them, in hexadecimal.
const (
	synIPv4 = `45 00 00 3c ac 4a 40 00 40 06 79 a9 0a 63 00 02 0a 63 00 01
		a9 1c 03 20 11 22 33 44 00 00 00 00 a0 02 fa f0 14 fb 00 00
		02 04 05 b4 04 02 08 0a 01 02 03 04 00 00 00 00 01 03 03 07`
	udpIPv4 = `45 00 00 1f 00 00 40 00 40 11 26 06 0a 63 00 02 0a 63 00 01
		a9 1c 03 20 00 0b 14 e0
		78 79 0a`
	ends16  = `20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 02 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01`
	synHead = `a9 1c 03 20 11 22 33 44 00 00 00 00 50 02 fa f0 00 00 00 00`
	synIPv6 = `60 01 23 45 00 14 06 40` + ends16 + synHead
	udpIPv6 = `60 00 00 00 00 08 11 40` + ends16 + `a9 1c 03 20 00 08 00 00`
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// set gives a copy of the packet with other bytes from place on, and an IPv4 head's checksum made right again.
func set(b []byte, place int, to ...byte) []byte {
	b = append([]byte{}, b...)
	copy(b[place:], to)
	if head := 4 * int(b[0]&0xf); b[0]>>4 == 4 && head >= 20 && head <= len(b) {
		b[10], b[11] = 0, 0
		sum := uint32(0)
		for i := 0; i < head; i += 2 {
			sum += uint32(b[i])<<8 | uint32(b[i+1])
		}
		for sum > 0xffff {
			sum = sum&0xffff + sum>>16
		}
		binary.BigEndian.PutUint16(b[10:], ^uint16(sum))
	}
	return b
}

// extended gives an IPv6 SYN behind extension headers, of the given kinds.
func extended(t testing.TB, extensions string, kinds ...byte) []byte {
	t.Helper()
	b, more := unhex(t, synIPv6), unhex(t, extensions)
	b[6] = kinds[0]
	binary.BigEndian.PutUint16(b[4:], uint16(20+len(more)))
	for i, at := 1, 0; i <= len(kinds); i++ {
		next := byte(TCP)
		if i < len(kinds) {
			next = kinds[i]
		}
		more[at] = next
		at += 8 * (int(more[at+1]) + 1)
	}
	return append(append(append([]byte{}, b[:40]...), more...), b[40:]...)
}

func TestDecodeIP(t *testing.T) {
	t.Parallel()
	syn4, syn6 := unhex(t, synIPv4), unhex(t, synIPv6)
	udp4, udp6 := unhex(t, udpIPv4), unhex(t, udpIPv6)
	four := Packet{Src: netip.MustParseAddr("10.99.0.2"), Dst: netip.MustParseAddr("10.99.0.1"), SrcPort: 43292, DstPort: 800, Proto: TCP, Flags: SYN}
	six := four
	six.Src, six.Dst = netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("2001:db8::1")
	with := func(p Packet, proto Proto, flags Flags) Packet {
		p.Proto, p.Flags = proto, flags
		if proto != TCP && proto != UDP {
			p.SrcPort, p.DstPort = 0, 0
		}
		return p
	}
	options := append(set(syn4[:20], 0, 0x46), 0x94, 0x04, 0, 0) // router alert
	options = set(append(options, syn4[20:]...), 2, 0, 64)
	bad := Packet{}
	for name, test := range map[string]struct {
		b    []byte
		want Packet // the zero Packet: ErrMalformed
	}{
		"SYN":                          {syn4, four},
		"the ports and flags, no more": {syn4[:40], four},
		"a frame's padding":            {append(append([]byte{}, syn4...), 1, 2, 3), four},
		"all flags":                    {set(syn4, 33, 0xff), with(four, TCP, 0xff)},
		"no flags":                     {set(syn4, 33, 0), with(four, TCP, 0)},
		"options":                      {options, four},
		"UDP":                          {udp4, with(four, UDP, 0)},
		"first fragment":               {set(syn4, 6, 0x20, 0), four},
		"first fragment, UDP":          {set(set(udp4, 6, 0x20, 0), 24, 0x05, 0xdc), with(four, UDP, 0)},
		"ICMP":                         {set(syn4, 9, 1), with(four, ICMP, 0)},
		"a head alone, ESP":            {set(syn4[:20], 9, 50), with(four, ESP, 0)},

		"nothing":                           {nil, bad},
		"one byte":                          {syn4[:1], bad},
		"version 5":                         {set(syn4, 0, 0x55), bad},
		"version 0":                         {set(syn4, 0, 0x05), bad},
		"a cut head":                        {syn4[:19], bad},
		"a head of 16 bytes":                {set(syn4, 0, 0x44), bad},
		"a head longer than the packet":     {set(syn4[:40], 0, 0x4f), bad},
		"cut before the flags":              {syn4[:39], bad},
		"a length before the head's end":    {set(syn4, 2, 0, 19), bad},
		"a length before the flags":         {set(syn4, 2, 0, 39), bad},
		"a wrong checksum":                  {append(append([]byte{}, syn4[:10]...), append([]byte{0x79, 0xaa}, syn4[12:]...)...), bad},
		"no checksum":                       {append(append([]byte{}, syn4[:10]...), append([]byte{0, 0}, syn4[12:]...)...), bad},
		"a later fragment":                  {set(syn4, 6, 0x00, 0x01), bad},
		"a middle fragment":                 {set(syn4, 6, 0x20, 0x01), bad},
		"a TCP head of 16 bytes":            {set(syn4, 32, 0x40), bad},
		"a TCP head longer than the packet": {set(syn4, 32, 0xf0), bad},
		"a cut UDP head":                    {udp4[:27], bad},
		"a UDP length of 7":                 {set(udp4, 24, 0, 7), bad},
		"a UDP length past the end":         {set(udp4, 24, 0, 12), bad},

		"IPv6, SYN":                   {syn6, six},
		"IPv6, UDP":                   {udp6, with(six, UDP, 0)},
		"IPv6, ICMPv6":                {set(syn6, 6, 58), with(six, ICMPv6, 0)},
		"IPv6, no next header":        {set(syn6, 6, 59), with(six, 59, 0)},
		"IPv6, hop by hop":            {extended(t, `00 00 01 04 00 00 00 00`, 0), six},
		"IPv6, destination, 16 bytes": {extended(t, `00 01 01 0c 00 00 00 00 00 00 00 00 00 00 00 00`, 60), six},
		"IPv6, a route at its end":    {extended(t, `00 02 00 00 00 00 00 00`+ends16[:48], 43), six},
		"IPv6, the only fragment":     {extended(t, `00 00 00 00 00 00 00 01`, 44), six},
		"IPv6, first fragment":        {extended(t, `00 00 00 01 00 00 00 01`, 44), six},
		"IPv6, all kinds": {extended(t, `00 00 01 04 00 00 00 00 00 00 01 04 00 00 00 00 00 00 00 00 00 00 00 00
			00 00 00 01 00 00 00 01 00 00 01 04 00 00 00 00`, 0, 60, 43, 44, 60), six},
		"IPv6, eight extensions": {extended(t, strings.Repeat(`00 00 01 04 00 00 00 00`, 8), 60, 60, 60, 60, 60, 60, 60, 60), six},

		"IPv6, a cut head":                {syn6[:39], bad},
		"IPv6, cut before the flags":      {syn6[:59], bad},
		"IPv6, a length before the flags": {set(syn6, 4, 0, 19), bad},
		"IPv6, no length":                 {set(syn6, 4, 0, 0), bad},
		"IPv6, nine extensions":           {extended(t, strings.Repeat(`00 00 01 04 00 00 00 00`, 9), 60, 60, 60, 60, 60, 60, 60, 60, 60), bad},
		"IPv6, a late hop by hop":         {extended(t, strings.Repeat(`00 00 01 04 00 00 00 00`, 2), 60, 0), bad},
		"IPv6, a later fragment":          {extended(t, `00 00 00 08 00 00 00 01`, 44), bad},
		"IPv6, a route not at its end":    {extended(t, `00 02 00 01 00 00 00 00`+ends16[:48], 43), bad},
		"IPv6, a cut extension":           {extended(t, `00 00 01 04 00 00 00 00`, 0)[:44], bad},
		"IPv6, an endless extension":      {set(extended(t, `00 00 01 04 00 00 00 00`, 60), 41, 0xff), bad},
		"IPv6, IPv4 as its source":        {set(syn6, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 99, 0, 2), bad},
		"IPv6, IPv4 as its destination":   {set(syn6, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 99, 0, 1), bad},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := DecodeIP(test.b)
			if diff := cmp.Diff(test.want, got, compareAddrs); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if test.want == bad && err != ErrMalformed || test.want != bad && err != nil {
				t.Errorf("error %v", err)
			}
		})
	}
}

// Whatever a stranger sends gives a whole packet or an error, and the same one that golang.org/x/net reads.
func FuzzDecodeIP(f *testing.F) {
	for _, text := range []string{synIPv4, udpIPv4, synIPv6, udpIPv6} {
		f.Add(unhex(f, text))
	}
	f.Add(extended(f, `00 00 01 04 00 00 00 00 00 00 00 01 00 00 00 01`, 0, 44))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := string(b)
		p, err := DecodeIP(b)
		if string(b) != before {
			t.Fatal("the packet was changed")
		}
		if err != nil {
			if p != (Packet{}) || !errors.Is(err, ErrMalformed) {
				t.Fatalf("half a packet %+v, or an unknown error %v", p, err)
			}
			return
		}
		if !p.At.IsZero() || p.Proto != TCP && p.Flags != 0 {
			t.Fatalf("%+v", p)
		}
		if p.Dst.Is4() {
			sameIPv4(t, p, b)
		} else {
			sameIPv6(t, p, b)
		}
	})
}

func sameIPv4(t *testing.T, p Packet, b []byte) {
	h, err := ipv4.ParseHeader(b)
	if err != nil {
		t.Fatalf("%+v of what is no IPv4: %v", p, err)
	}
	src, _ := netip.AddrFromSlice(h.Src.To4())
	dst, _ := netip.AddrFromSlice(h.Dst.To4())
	want := Packet{Src: src, Dst: dst, Proto: Proto(h.Protocol)}
	if want.Proto == TCP || want.Proto == UDP {
		want.SrcPort, want.DstPort = binary.BigEndian.Uint16(b[h.Len:]), binary.BigEndian.Uint16(b[h.Len+2:])
	}
	if want.Proto == TCP {
		want.Flags = Flags(b[h.Len+13])
	}
	if h.FragOff != 0 || h.TotalLen < h.Len || p != want {
		t.Fatalf("%+v, want %+v of %v", p, want, h)
	}
}

func sameIPv6(t *testing.T, p Packet, b []byte) {
	h, err := ipv6.ParseHeader(b)
	if err != nil {
		t.Fatalf("%+v of what is no IPv6: %v", p, err)
	}
	src, _ := netip.AddrFromSlice(h.Src)
	dst, _ := netip.AddrFromSlice(h.Dst)
	if p.Src != src || p.Dst != dst || p.Proto == TCP && h.PayloadLen < 20 {
		t.Fatalf("%+v of %v", p, h)
	}
	switch next := Proto(h.NextHeader); next {
	case hopByHop, routing, fragment, destination:
	default:
		if p.Proto != next || next == TCP && p.Flags != Flags(b[53]) {
			t.Fatalf("%+v of %v", p, h)
		}
	}
}

func BenchmarkDecodeIP(b *testing.B) {
	for name, text := range map[string]string{"IPv4": synIPv4, "IPv6": synIPv6} {
		b.Run(name, func(b *testing.B) {
			ip := unhex(b, text)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeIP(ip); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
