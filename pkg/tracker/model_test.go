package tracker

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/portknock/knock/pkg/packet"
)

// model is a Tracker for one who reads: one list of all tries, looked through from end to end.
type model struct {
	o     Options
	match Match
	tries []modelTry // the newest last

	ordered int // knocks that came in another order than they left
}

type modelTry struct {
	src       netip.Addr
	ports     [2]uint16
	touched   time.Time
	anew      bool // those of its source before it do not count
	endsKnock bool
}

// of gives the places of what counts of src, the newest first.
func (m *model) of(src netip.Addr) (places []int) {
	for i := len(m.tries) - 1; i >= 0; i-- {
		if m.tries[i].src != src {
			continue
		}
		places = append(places, i)
		if m.tries[i].anew {
			break
		}
	}
	return places
}

func (m *model) observe(p packet.Packet, now time.Time) Verdict {
	if !p.IsSYN() || p.DstPort < m.o.Low || p.DstPort > m.o.High {
		return Ignored
	}
	n := modelTry{src: p.Src, ports: [2]uint16{p.SrcPort, p.DstPort}, touched: now, anew: true}
	if places := m.of(p.Src); len(places) > 0 {
		last := &m.tries[places[0]]
		if now.Sub(last.touched) <= m.o.Timeout {
			n.anew = false
			if last.touched.Before(now) {
				last.touched = now
			}
			n.touched = last.touched
			seen := func(i int) bool { return p.SrcPort != 0 && m.tries[i].ports == n.ports }
			if slices.ContainsFunc(places[:min(len(places), seenMax)], seen) {
				return Duplicate
			}
		}
	}
	m.tries = append(m.tries, n)
	m.tries = m.tries[max(0, len(m.tries)-m.o.MaxPackets):]
	verdict := Queued
	for _, length := range m.o.Lengths {
		window := m.window(p.Src, length)
		if len(window) < length {
			continue
		}
		verdict = Failed
		if m.knocked(p.Src, window) {
			m.tries[len(m.tries)-1].endsKnock = true
			return Knock
		}
	}
	return verdict
}

// window gives the last tries of src since its last knock, the oldest first, if there are as many as length.
func (m *model) window(src netip.Addr, length int) (window [][2]uint16) {
	for _, i := range m.of(src) {
		if m.tries[i].endsKnock || len(window) == length {
			break
		}
		window = append(window, m.tries[i].ports)
	}
	slices.Reverse(window)
	return window
}

// knocked asks about a window as it came, and as it may have been sent.
func (m *model) knocked(src netip.Addr, window [][2]uint16) bool {
	if m.match(src, destinations(window)) {
		return true
	}
	slices.SortFunc(window, func(a, b [2]uint16) int { return cmp.Compare(a[0], b[0]) })
	if !consecutive(window) || !m.match(src, destinations(window)) {
		return false
	}
	m.ordered++
	return true
}

func destinations(window [][2]uint16) (ports []uint16) {
	for _, pair := range window {
		ports = append(ports, pair[1])
	}
	return ports
}

// consecutive tells whether the source ports of a sorted window are.
func consecutive(window [][2]uint16) bool {
	for i, pair := range window {
		if pair[0] == 0 || int(pair[0]) != int(window[0][0])+i {
			return false
		}
	}
	return true
}

// Traffic of some busy sources gives the verdicts that the model gives, whether they are kept at hand or not.
func TestBusySources(t *testing.T) {
	t.Parallel()
	for _, lengths := range [][]int{{1}, {3}, {8}, {24}, {8, 24}, {15, 3, 8}} {
		for _, places := range []int{1, 64} {
			t.Run(fmt.Sprintf("%v ports, %d places", lengths, places), func(t *testing.T) {
				t.Parallel()
				length := slices.Max(lengths)
				o := Options{Lengths: lengths, Low: 745, High: 1000, Timeout: time.Minute, MaxPackets: 1 << 10}
				match := func(_ netip.Addr, ports []uint16) bool { return (ports[0]+ports[len(ports)-1])%16 == 0 }
				tr, m, now := New(o, match), &model{o: o, match: match}, start
				tr.busy = make(busy, places)
				random := rand.New(rand.NewPCG(1, 2))
				var swapped []packet.Packet // a knock that comes next
				for i := range 10_000 {
					p := syn(tenDot(random.Uint32N(12)), uint16(random.Uint32N(10)), 745+uint16(random.Uint32N(16)))
					if random.Uint32N(200) == 0 {
						// Above the source ports of the others, so that each is new for a while.
						swapped = knockOf(random, p.Src, 100+uint16(i), length)
					}
					if len(swapped) > 0 {
						p, swapped = swapped[0], swapped[1:]
					}
					now = now.Add(time.Duration(random.Uint32N(3)) * time.Second)
					if random.Uint32N(1000) == 0 {
						now = now.Add(50 * time.Second)
					}
					if got, want := tr.Observe(p, now), m.observe(p, now); got != want {
						t.Fatalf("packet %d, %+v: verdict %d, want %d", i, p, got, want)
					}
				}
				if s := tr.Stats(); s.Knocks < 10 || s.Duplicates < 1000 || length > 1 && (s.Failed < 1000 || m.ordered < 5) {
					t.Errorf("little has happened: %+v, %d knocks put in order", s, m.ordered)
				}
			})
		}
	}
}

// knockOf gives what TestBusySources takes for a knock, in any order.
func knockOf(random *rand.Rand, src netip.Addr, first uint16, length int) []packet.Packet {
	var knock []packet.Packet
	for i := range length {
		knock = append(knock, syn(src, first+uint16(i), 745+uint16(random.Uint32N(16))))
	}
	knock[0].DstPort, knock[length-1].DstPort = 752, 752
	random.Shuffle(length, func(i, j int) { knock[i], knock[j] = knock[j], knock[i] })
	return knock
}

// Any traffic gives the verdicts that the model gives, also while the numbers of the tries come round. Each four bytes
// are a packet: source, source port, destination port, seconds since the last, or before it.
func FuzzObserve(f *testing.F) {
	f.Add([]byte{1, 1, 0, 0, 1, 2, 1, 0, 1, 3, 2, 0}, uint8(2), uint8(2))
	f.Add([]byte{1, 1, 0, 0, 2, 2, 1, 0, 1, 1, 0, 0, 1, 4, 1, 61}, uint8(1), uint8(1))
	random := make([]byte, 1200)
	for i := range random {
		random[i] = byte(i*i*7 + i>>3)
	}
	f.Add([]byte{1, 9, 9, 0, 1, 3, 3, 0, 1, 1, 4, 0, 1, 3, 3, 0, 1, 2, 9, 0}, uint8(2), uint8(7)) // swapped
	f.Add(random, uint8(2), uint8(7))
	f.Add(random, uint8(1), uint8(3))
	f.Add(random, uint8(144+2), uint8(7))
	f.Fuzz(func(t *testing.T, traffic []byte, length, size uint8) {
		lengths := []int{int(length%24) + 1}
		if length >= 128 {
			lengths = append(lengths, 8)
		}
		o := Options{Lengths: lengths, Low: 745, High: 1000, Timeout: time.Minute, MaxPackets: 2 << (size % 8)}
		match := func(_ netip.Addr, ports []uint16) bool { return ports[0]%4 == 1 && ports[len(ports)-1]%2 == 0 }
		tr, m, now := New(o, match), &model{o: o, match: match}, start
		tr.busy = make(busy, 1) // the sources are more than are kept at hand
		tr.ring.last = math.MaxUint32 - uint32(3*o.MaxPackets)
		for i := 0; i+4 <= len(traffic); i += 4 {
			b := traffic[i : i+4]
			p := syn(netip.AddrFrom4([4]byte{192, 0, 2, b[0] % 8}), uint16(b[1]), 743+uint16(b[2]))
			if b[0] >= 250 {
				p.Flags |= packet.ACK
			}
			now = now.Add(time.Duration(int8(b[3])) * time.Second)
			got, want := tr.Observe(p, now), m.observe(p, now)
			if got != want {
				t.Fatalf("packet %d, %+v: verdict %d, want %d", i/4, p, got, want)
			}
			if packets := tr.Stats().Packets; packets != len(m.tries) {
				t.Fatalf("packet %d: %d remembered, want %d", i/4, packets, len(m.tries))
			}
		}
	})
}
