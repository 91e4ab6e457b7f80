package tracker

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/portknock/knock/pkg/packet"
)

// tenDot gives the address n of 10.0.0.0/8.
func tenDot(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// floods are the shapes of a flood: its packet n.
var floods = map[string]func(n uint32) packet.Packet{
	"one source": func(n uint32) packet.Packet {
		return syn(bob, 1+uint16(n/256%65535), 745+uint16(n%256))
	},
	"1000 sources": func(n uint32) packet.Packet {
		return syn(tenDot(n*2654435761>>8%1000), 1+uint16(n/256%65535), 745+uint16(n%256))
	},
	// More than are kept at hand, and each with a past.
	"20000 sources": func(n uint32) packet.Packet {
		return syn(tenDot(n%20000), 1+uint16(n/256%65535), 745+uint16(n%256))
	},
	"new sources": func(n uint32) packet.Packet {
		return syn(tenDot(n), 1, 745+uint16(n%256))
	},
	// Each sends 2 to 7 packets, among those of 15 others.
	"new sources, some packets each": func(n uint32) packet.Packet {
		turn, who := n/64, n%16
		return syn(tenDot(turn*16+who), uint16(n)|1, 745+uint16(n*31%256))
	},
	// Every second window is asked about twice.
	"one source, numbered and swapped": func(n uint32) packet.Packet {
		return syn(bob, uint16(n^1), 745+uint16(n*31%256))
	},
	"one source, no source ports": func(n uint32) packet.Packet {
		return syn(bob, 0, 745+uint16(n%256))
	},
	"the same packet": func(uint32) packet.Packet {
		return syn(bob, 1, 800)
	},
}

// Whatever a flood looks like, a knock gets through it if the ring holds what came meanwhile, and else does not.
func TestFlood(t *testing.T) {
	t.Parallel()
	for name, flood := range floods {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ports, match := secret(8)
			o := options(8)
			o.MaxPackets = 1 << 12
			for _, between := range []int{10, 584, 585} {
				tr := New(o, func(src netip.Addr, got []uint16) bool { return src == alice && match(src, got) })
				var n uint32
				wave := func(count int) {
					for range count {
						tr.Observe(flood(n), start)
						n++
					}
				}
				wave(3 * o.MaxPackets)
				for i, port := range ports {
					if i > 0 {
						wave(between)
					}
					want := Queued
					if i == 7 && (between != 585 || name == "the same packet") {
						want = Knock
					}
					if got := tr.Observe(syn(alice, 1000+port, port), start); got != want {
						t.Fatalf("knock %d, with %d packets between: verdict %d, want %d", i, between, got, want)
					}
				}
			}
		})
	}
}

// Of what is overwritten, only what is young is counted as a loss.
func TestOverwritten(t *testing.T) {
	t.Parallel()
	tr := New(options(8), func(netip.Addr, []uint16) bool { return false })
	size := 1 << 10
	for n := range 3 * size {
		now := start
		if n >= 2*size {
			now = now.Add(time.Minute + 1)
		}
		tr.Observe(syn(tenDot(uint32(n)), 1, 800), now)
	}
	want := Stats{Queued: uint64(3 * size), Overwritten: uint64(size), Packets: size}
	if diff := cmp.Diff(want, tr.Stats()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// No chain becomes longer than chance has it, whatever a flood looks like: foreign tries do not hold a search up. And no
// number becomes so old that it could come round.
func TestBuckets(t *testing.T) {
	t.Parallel()
	for name, flood := range floods {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(8)
			o.MaxPackets = 1 << 12
			tr := New(o, func(netip.Addr, []uint16) bool { return false })
			for n := range uint32(3 * o.MaxPackets) {
				tr.Observe(flood(n), start)
			}
			r := tr.ring
			for i := range r.tries {
				if age := r.last - r.tries[i].next; int(age) > 2*len(r.tries) {
					t.Fatalf("try %d has a number of %d tries ago: it will be taken for a new one", i, age)
				}
			}
			for bucket := range r.heads {
				if age := r.last - r.heads[bucket]; int(age) > 2*len(r.tries) {
					t.Fatalf("bucket %d has a number of %d tries ago: it will be taken for a new one", bucket, age)
				}
				length := 0
				for n := r.heads[bucket]; r.live(n); n = r.at(n).next {
					length++
				}
				if length > 30 { // one is expected; 30 have a chance of 10 to the power of -30 or so
					t.Fatalf("bucket %d has a chain of %d", bucket, length)
				}
			}
		})
	}
}

// The flood is of one kind, the ring is full.
func BenchmarkFlood(b *testing.B) {
	for name, flood := range floods {
		b.Run(name, func(b *testing.B) {
			o := options(8)
			o.MaxPackets = 1 << 20
			tr := New(o, func(netip.Addr, []uint16) bool { return false })
			var n uint32
			for range 1 << 21 {
				tr.Observe(flood(n), start)
				n++
			}
			b.ReportAllocs()
			for b.Loop() {
				tr.Observe(flood(n), start)
				n++
			}
		})
	}
}
