package sequence

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/packet"
)

// tenDot gives the address n of 10.0.0.0/8.
func tenDot(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

func syn(src netip.Addr, from, to uint16) packet.Packet {
	return packet.Packet{Src: src, SrcPort: from, DstPort: to, Proto: packet.TCP, Flags: packet.SYN}
}

// floods are the shapes of a flood: its packet n. The sequence is 7000,8000,9000.
var floods = map[string]func(n uint32) packet.Packet{
	"new sources":             func(n uint32) packet.Packet { return syn(tenDot(n), 1, uint16(10000+n%50000)) },
	"new sources, first step": func(n uint32) packet.Packet { return syn(tenDot(n), 1, 7000) },
	"new sources, IPv6": func(n uint32) packet.Packet {
		return syn(netip.AddrFrom16([16]byte{0x20, 1, 12: byte(n >> 16), 13: byte(n >> 8), 14: byte(n)}), 1, 7000)
	},
	"new sources, twelve tries": func(n uint32) packet.Packet { return syn(tenDot(n/12), uint16(n), 7000+uint16(n%12)) },
	"a hundred sources":         func(n uint32) packet.Packet { return syn(tenDot(n*2654435761>>8%100), uint16(n), 7000+uint16(n%3)) },
	"one source":                func(n uint32) packet.Packet { return syn(tenDot(1), uint16(n), 7000+uint16(n%12)) },
	"one source, no ports":      func(uint32) packet.Packet { return syn(tenDot(1), 0, 7000) },
	"knocks":                    func(n uint32) packet.Packet { return syn(tenDot(n/3), 1, 7000+1000*uint16(n%3)) },
}

// Whatever a flood looks like, a knock gets through it if fewer sources began a knock meanwhile than are remembered. And
// the table is whole, and as large as before.
func TestFlood(t *testing.T) {
	t.Parallel()
	const sources = 1000
	for name, flood := range floods {
		for _, between := range []int{10, sources - 1, sources} {
			t.Run(fmt.Sprintf("%s, %d between", name, between), func(t *testing.T) {
				t.Parallel()
				m := mustNew(t, Options{MaxSources: sources}, plain("7000,8000,9000"))
				size := memory(m.table)
				var n uint32
				wave := func(count int) {
					for range count {
						m.Observe(flood(n), start)
						n++
					}
				}
				wave(20 * sources)
				for i, port := range []uint16{7000, 8000, 9000} {
					if i > 0 {
						wave(between)
					}
					want := 0
					lost := between == sources && (name == "new sources, first step" || name == "new sources, IPv6")
					if i == 2 && !lost {
						want = 1
					}
					if got := m.Observe(syn(names["a"], 1, port), start); len(got) != want {
						t.Fatalf("knock %d: %d matches, want %d", i, len(got), want)
					}
				}
				m.table.check(t)
				if got := memory(m.table); got != size {
					t.Errorf("%d bytes have become %d", size, got)
				}
				if got := m.Stats(); got.Sources > sources || name == "new sources" && got.Sources > 1 {
					t.Errorf("%+v", got)
				}
			})
		}
	}
}

// memory is what the table takes, in bytes.
func memory(t *table) int {
	size := func(v any) int { return reflect.ValueOf(v).Cap() * int(reflect.TypeOf(v).Elem().Size()) }
	return size(t.tries) + size(t.sources) + size(t.heads)
}

// By default it is 16 MB, and what Options says.
func TestMemory(t *testing.T) {
	t.Parallel()
	for sources, most := range map[int]int{0: 250 << 16, 1: 16 << 10, 1 << 14: 250 << 14} {
		m := mustNew(t, Options{MaxSources: sources}, plain("7000,8000,9000"))
		if got := memory(m.table); got > most {
			t.Errorf("%d sources: %d bytes, want at most %d", sources, got, most)
		}
	}
}

// check fails if the table is not whole: each source and each try is in its place, once, or free.
func (t *table) check(tb testing.TB) {
	tb.Helper()
	tries, sources := 0, 0
	for n := t.sources[0].after; n != 0; n = t.sources[n].after {
		s := &t.sources[n]
		if t.sources[s.after].before != n || t.sources[s.before].after != n || t.find(s.key) != n {
			tb.Fatalf("source %d is not in its place", n)
		}
		sources++
		var back, forth []uint32
		for place := s.newest; place != 0; place = t.tries[place].older {
			back = append(back, place)
		}
		for place := s.oldest; place != 0; place = t.tries[place].newer {
			forth = append([]uint32{place}, forth...)
		}
		if diff := cmp.Diff(back, forth); diff != "" || len(back) != int(s.count) || s.count == 0 {
			tb.Fatalf("source %d has not its %d tries (-back +forth)\n%s", n, s.count, diff)
		}
		tries += len(back)
	}
	if tries != t.taken {
		tb.Fatalf("%d tries of sources, want %d", tries, t.taken)
	}
	hashed := 0
	for _, n := range t.heads {
		for ; n != 0; n = t.sources[n].next {
			hashed++
		}
	}
	if hashed != sources {
		tb.Fatalf("%d sources in the ring, %d by hash", sources, hashed)
	}
	for n := t.freeSource; n != 0; n = t.sources[n].next {
		sources++
	}
	for n := t.freeTry; n != 0; n = t.tries[n].older {
		tries++
	}
	if sources != int(t.freshSource)-1 || tries != int(t.freshTry)-1 {
		tb.Fatalf("%d sources and %d tries, want %d and %d", sources, tries, t.freshSource-1, t.freshTry-1)
	}
}
