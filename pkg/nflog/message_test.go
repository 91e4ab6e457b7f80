package nflog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portknock/knock/pkg/packet"
)

// datagram is a message as the kernel writes it.
func datagram(kind uint16, seq uint32, body []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(headMessage+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, 0)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, body...)
	return append(b, make([]byte, aligned(len(body))-len(body))...)
}

// encode is the body of a message about e, as the kernel writes it, with attributes that nobody asked for.
func (e entry) encode() []byte {
	number := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	b := []byte{e.family, 0, byte(e.group >> 8), byte(e.group)}
	b = appendAttribute(b, 1, 8, 0, 1, 0)              // NFULA_PACKET_HDR
	b = appendAttribute(b, 10, []byte("DENY \x00")...) // NFULA_PREFIX
	if e.in != 0 {
		b = appendAttribute(b, attrIn, number(e.in)...)
	}
	if e.out != 0 {
		b = appendAttribute(b, attrOut, number(e.out)...)
	}
	if e.hasSeq {
		b = appendAttribute(b, attrSeq, number(e.seq)...)
	}
	if e.payload != nil {
		b = appendAttribute(b, attrPayload, e.payload...)
	}
	return b
}

// knocked is UDP from 192.0.2.1, port 1000, to port 7 of 192.0.2.2.
var knocked = []byte{
	0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0xf6, 0xcd, 192, 0, 2, 1, 192, 0, 2, 2,
	0x03, 0xe8, 0, 7, 0, 8, 0, 0,
}

func TestTake(t *testing.T) {
	t.Parallel()
	good := entry{family: familyIPv4, group: 5, in: 2, hasSeq: true, payload: knocked}
	with := func(change func(*entry)) []byte {
		e := good
		change(&e)
		return datagram(typePacket, 0, e.encode())
	}
	one := with(func(*entry) {})
	tests := map[string]struct {
		b    []byte
		want int // packets
		lost uint64
	}{
		"one":                      {one, 1, 0},
		"a batch":                  {append(append(bytes.Clone(one), with(func(e *entry) { e.seq = 1 })...), datagram(3, 0, make([]byte, 4))...), 2, 0},
		"some missing":             {append(bytes.Clone(one), with(func(e *entry) { e.seq = 10 })...), 2, 9},
		"numbers that begin again": {append(with(func(e *entry) { e.seq = 1<<32 - 1 }), with(func(e *entry) { e.seq = 1 })...), 2, 1},
		"no numbers":               {append(bytes.Clone(one), with(func(e *entry) { e.hasSeq = false })...), 2, 0},
		"forwarded":                {with(func(e *entry) { e.out = 3 }), 0, 0},
		"sent":                     {with(func(e *entry) { e.in, e.out = 0, 3 }), 0, 0},
		"no interface":             {with(func(e *entry) { e.in = 0 }), 0, 0},
		"of a bridge":              {with(func(e *entry) { e.family = 7 }), 0, 0},
		"ARP":                      {with(func(e *entry) { e.family = 3 }), 0, 0},
		"another group":            {with(func(e *entry) { e.group = 6 }), 0, 0},
		"no payload":               {with(func(e *entry) { e.payload = nil }), 0, 0},
		"cut payload":              {with(func(e *entry) { e.payload = knocked[:20] }), 0, 0},
		"another kind of message":  {datagram(typeConfig, 0, good.encode()), 0, 0},
		"cut message":              {one[:len(one)-4], 0, 0},
		"garbage":                  {[]byte("garbage, garbage, garbage"), 0, 0},
		"nothing":                  {nil, 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var (
				got, want []packet.Packet
				sum       tally
			)
			New(Options{Group: 5}).take(tt.b, &sum, func(p packet.Packet) { got = append(got, p) })
			for range tt.want {
				want = append(want, packet.Packet{
					Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"),
					SrcPort: 1000, DstPort: 7, Proto: packet.UDP,
				})
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || sum.lost != tt.lost {
				t.Errorf("%d lost, want %d; packets (-want +got):\n%s", sum.lost, tt.lost, diff)
			}
		})
	}
}

func TestParseEntryRefuses(t *testing.T) {
	t.Parallel()
	head := []byte{familyIPv4, 0, 0, 5}
	tests := map[string][]byte{
		"nothing":              nil,
		"half a head":          head[:3],
		"half an attribute":    append(bytes.Clone(head), 8, 0),
		"an attribute too far": append(bytes.Clone(head), binary.NativeEndian.AppendUint16(nil, 9)...),
		"no length":            append(bytes.Clone(head), 0, 0, 0, 0, 0, 0, 0, 0),
		"a short interface":    appendAttribute(bytes.Clone(head), attrIn, 0, 1),
		"a long number":        appendAttribute(bytes.Clone(head), attrSeq, 0, 1, 2, 3, 4, 5, 6, 7),
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if e, ok := parseEntry(b); ok {
				t.Errorf("parseEntry(%x) = %+v", b, e)
			}
		})
	}
}

func TestErrorCode(t *testing.T) {
	t.Parallel()
	refused := binary.NativeEndian.AppendUint32(nil, ^uint32(0)) // -1, EPERM
	tests := map[string]struct {
		kind uint16
		body []byte
		want string
	}{
		"refused": {typeError, append(refused, make([]byte, 16)...), "1 true"},
		"done":    {typeError, make([]byte, 20), "0 true"},
		"cut":     {typeError, refused[:3], "0 false"},
		"packet":  {typePacket, refused, "0 false"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, _, ok := cutMessage(datagram(tt.kind, 7, tt.body))
			errno, isError := m.code()
			if got := fmt.Sprint(errno, isError); !ok || m.seq != 7 || got != tt.want {
				t.Errorf("code of %+v: %s, want %s", m, got, tt.want)
			}
		})
	}
}

func TestTallyIsToldOnceAMinute(t *testing.T) {
	t.Parallel()
	var (
		sum tally
		got []string
	)
	for second := range uint32(150) {
		if second < 100 {
			sum.add(entry{hasSeq: true, seq: 2 * second}) // every second one is missing
		}
		if n := sum.due(time.Unix(1000+int64(second), 0)); n > 0 {
			got = append(got, fmt.Sprint(second, "s: ", n))
		}
	}
	if diff := cmp.Diff([]string{"1s: 1", "61s: 60", "121s: 38"}, got); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
}

// FuzzMessage: whatever comes, what is read lies inside it and reading ends; and an entry that is encoded comes back.
func FuzzMessage(f *testing.F) {
	e := entry{family: familyIPv4, group: 5, in: 2, hasSeq: true, payload: knocked}
	f.Add(datagram(typePacket, 0, e.encode()), uint16(5), uint32(2), uint32(0), uint32(1), knocked)
	f.Add(append(datagram(3, 1, nil), datagram(typeError, 1, make([]byte, 4))...), uint16(0), uint32(0), uint32(3), uint32(1<<31), []byte{})
	f.Fuzz(func(t *testing.T, raw []byte, group uint16, in, out, seq uint32, payload []byte) {
		left := len(raw)
		for m, rest, ok := cutMessage(raw); ok; m, rest, ok = cutMessage(rest) {
			if len(rest) > left-headMessage || len(m.body) > left-headMessage {
				t.Fatalf("message of %d bytes, then %d, of %d", len(m.body), len(rest), left)
			}
			left = len(rest)
			if e, ok := parseEntry(m.body); ok && len(e.payload) > len(m.body)-headNetfilter-headAttribute && e.payload != nil {
				t.Fatalf("payload of %d bytes in %d", len(e.payload), len(m.body))
			}
			if _, ok := m.code(); ok && len(m.body) < 4 {
				t.Fatalf("code of a message of %d bytes", len(m.body))
			}
		}
		New(Options{Group: group}).take(raw, new(tally), func(p packet.Packet) {
			if !p.Src.IsValid() || !p.At.IsZero() {
				t.Fatalf("packet %+v", p)
			}
		})

		want := entry{family: familyIPv6, group: group, in: in, out: out, seq: seq, hasSeq: true, payload: payload[:min(len(payload), 1<<15)]}
		m, rest, ok := cutMessage(datagram(typePacket, 0, want.encode()))
		got, okEntry := parseEntry(m.body)
		if !ok || !okEntry || len(rest) > 0 {
			t.Fatalf("refused: %+v", want)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("entry (-want +got):\n%s", diff)
		}
	})
}

func BenchmarkTake(b *testing.B) {
	e := entry{family: familyIPv4, group: 5, in: 2, hasSeq: true, payload: knocked}
	raw := datagram(typePacket, 0, e.encode())
	l, sum, n := New(Options{Group: 5}), new(tally), 0
	b.ReportAllocs()
	for b.Loop() {
		l.take(raw, sum, func(packet.Packet) { n++ })
	}
	if n == 0 {
		b.Fatal("no packet")
	}
}
