package tracker

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/portknock/knock/pkg/packet"
)

var (
	start = time.Date(2026, 11, 20, 20, 0, 0, 0, time.UTC)
	alice = netip.MustParseAddr("192.0.2.1")
	bob   = netip.MustParseAddr("192.0.2.2")
)

func syn(src netip.Addr, srcPort, dstPort uint16) packet.Packet {
	return packet.Packet{Src: src, SrcPort: srcPort, DstPort: dstPort, Proto: packet.TCP, Flags: packet.SYN}
}

// secret gives a matcher for one sequence, and the sequence: 800, 801, …
func secret(length int) ([]uint16, Match) {
	ports := make([]uint16, length)
	for i := range ports {
		ports[i] = 800 + uint16(i)
	}
	return ports, func(_ netip.Addr, got []uint16) bool { return slices.Equal(ports, got) }
}

func options(length int) Options {
	return Options{Length: length, Low: 745, High: 1000, Timeout: time.Minute, MaxQueues: 1 << 16}
}

func TestObserve(t *testing.T) {
	t.Parallel()
	type step struct {
		packet packet.Packet
		wait   time.Duration // before it
		want   Verdict
	}
	for _, length := range []int{1, 8, 17, 24} {
		ports, match := secret(length)
		// knock gives the whole sequence from src, each with a source port of its own, and what becomes of it.
		knock := func(src netip.Addr, firstSrcPort uint16) []step {
			var steps []step
			for i, port := range ports {
				steps = append(steps, step{packet: syn(src, firstSrcPort+uint16(i), port), want: Queued})
			}
			steps[length-1].want = Knock
			return steps
		}
		change := func(steps []step, i int, f func(*step)) []step {
			steps = slices.Clone(steps)
			f(&steps[i])
			return steps
		}
		twice := func(steps []step) (doubled []step) {
			for _, s := range steps {
				again := s
				again.want = Duplicate
				doubled = append(doubled, s, again)
			}
			return doubled
		}
		interleave := func(a, b []step) (both []step) {
			for i := range a {
				both = append(both, a[i], b[i])
			}
			return both
		}
		again := func(steps []step, want Verdict) []step {
			steps = slices.Clone(steps)
			for i := range steps {
				steps[i].want = want
			}
			return steps
		}
		unfinished := again(knock(alice, 5000)[:length-1], Queued)
		tests := map[string][]step{
			"a knock":                      knock(alice, 1000),
			"two knocks":                   slices.Concat(knock(alice, 1000), knock(alice, 2000)),
			"each packet logged twice":     twice(knock(alice, 1000)),
			"two sources at once":          interleave(knock(alice, 1000), knock(bob, 1000)),
			"noise before it":              slices.Concat([]step{{packet: syn(alice, 9, 999), want: Queued}}, knock(alice, 1000)),
			"an unfinished one before it":  slices.Concat(unfinished, knock(alice, 1000)),
			"all SYNs sent again after it": slices.Concat(knock(alice, 1000), again(knock(alice, 1000), Duplicate), knock(alice, 2000)),
			"other ports between":          slices.Concat([]step{{packet: syn(alice, 9, 744), want: Ignored}, {packet: syn(alice, 9, 1001), want: Ignored}}, knock(alice, 1000)),
			"just not too late":            change(knock(alice, 1000), length-1, func(s *step) { s.wait = time.Minute }),
			"with ECN": change(knock(alice, 1000), 0, func(s *step) {
				s.packet.Flags |= packet.ECE | packet.CWR
			}),
		}
		if length > 1 {
			tests["too late"] = change(knock(alice, 1000), length-1, func(s *step) { s.wait, s.want = time.Minute+1, Queued })
			tests["the second half later, a copy of the first SYN between"] = slices.Insert(knock(alice, 1000), length-1,
				step{packet: syn(alice, 1000, ports[0]), wait: time.Second, want: Duplicate})
			tests["from two sources"] = change(knock(alice, 1000), length-1, func(s *step) { s.packet.Src, s.want = bob, Queued })
			tests["a port wrong"] = again(change(knock(alice, 1000), 0, func(s *step) { s.packet.DstPort = 745 }), Queued)
		}
		for name, flags := range map[string]packet.Flags{"SYN ACK": packet.SYN | packet.ACK, "FIN": packet.FIN, "none": 0, "all": 0xff} {
			tests["with flags "+name] = change(again(knock(alice, 1000), Queued), 0, func(s *step) { s.packet.Flags, s.want = flags, Ignored })
		}
		tests["over UDP"] = change(again(knock(alice, 1000), Queued), 0, func(s *step) { s.packet.Proto, s.want = packet.UDP, Ignored })
		for name, steps := range tests {
			t.Run(fmt.Sprintf("%d knocks/%s", length, name), func(t *testing.T) {
				t.Parallel()
				tr, now := New(options(length), match), start
				for i, s := range steps {
					now = now.Add(s.wait)
					if got := tr.Observe(s.packet, now); got != s.want {
						t.Fatalf("packet %d, %+v: verdict %d, want %d", i, s.packet, got, s.want)
					}
				}
			})
		}
	}
}

// Without source ports a repetition cannot be told from a knock of its own.
func TestObserveWithoutSourcePorts(t *testing.T) {
	t.Parallel()
	ports, match := secret(8)
	tr := New(options(8), match)
	var got []Verdict
	for _, port := range ports {
		got = append(got, tr.Observe(syn(alice, 0, port), start))
	}
	for _, port := range slices.Insert(slices.Clone(ports), 3, ports[2]) {
		got = append(got, tr.Observe(syn(alice, 0, port), start))
	}
	want := slices.Repeat([]Verdict{Queued}, 17)
	want[7] = Knock
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestOldestQueueGivesWay(t *testing.T) {
	t.Parallel()
	ports, match := secret(8)
	o := options(8)
	o.MaxQueues = 2
	tr := New(o, match)
	for _, port := range ports[:7] {
		tr.Observe(syn(alice, port, port), start)
		tr.Observe(syn(bob, port, port), start)
	}
	carol := netip.MustParseAddr("192.0.2.3")
	tr.Observe(syn(carol, 1, 800), start)
	got := []Verdict{tr.Observe(syn(bob, 1, ports[7]), start), tr.Observe(syn(alice, 1, ports[7]), start)}
	if diff := cmp.Diff([]Verdict{Knock, Queued}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	want := Stats{Queued: 16, Knocks: 1, Evicted: 2, Queues: 2}
	if diff := cmp.Diff(want, tr.Stats()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Time that goes back, as stamps in a log may, makes no queue older than it was.
func TestTimeGoesBack(t *testing.T) {
	t.Parallel()
	ports, match := secret(8)
	tr := New(options(8), match)
	at := []time.Duration{30, 0, 80, 80, 80, 80, 80, 80}
	for i, port := range ports {
		want := Queued
		if i == 7 {
			want = Knock
		}
		if got := tr.Observe(syn(alice, port, port), start.Add(at[i]*time.Second)); got != want {
			t.Fatalf("packet %d: verdict %d, want %d", i, got, want)
		}
	}
}

func TestManySources(t *testing.T) {
	t.Parallel()
	o := options(8)
	o.MaxQueues = 1000
	tr := New(o, func(netip.Addr, []uint16) bool { return false })
	for i := range uint32(100_000) {
		src := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		tr.Observe(syn(src, 1, 800), start.Add(time.Duration(i)*time.Millisecond))
	}
	want := Stats{Queued: 100_000, Evicted: 99_000, Queues: 1000}
	if diff := cmp.Diff(want, tr.Stats()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	tr.Observe(syn(alice, 1, 800), start.Add(time.Hour))
	want = Stats{Queued: 100_001, Evicted: 99_000, Expired: 1000, Queues: 1}
	if diff := cmp.Diff(want, tr.Stats()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A noise packet of a source that is watched costs no allocation.
func TestObserveDoesNotAllocate(t *testing.T) {
	tr := New(options(8), func(netip.Addr, []uint16) bool { return false })
	var n uint16
	observe := func() {
		n++
		tr.Observe(syn(alice, n, 745+n%256), start)
	}
	for range 2 * seenMax {
		observe()
	}
	if got := testing.AllocsPerRun(1000, observe); got > 0 {
		t.Errorf("%v allocations, want none", got)
	}
}

// model is a Tracker for one who reads: slices, no ring, no reuse.
type model struct {
	o       Options
	match   Match
	sources []*modelQueue // the one that has stood still longest first
}

type modelQueue struct {
	src     netip.Addr
	touched time.Time
	ports   []uint16
	seen    [][2]uint16
}

func (m *model) observe(p packet.Packet, now time.Time) Verdict {
	if !p.IsSYN() || p.DstPort < m.o.Low || p.DstPort > m.o.High {
		return Ignored
	}
	m.sources = slices.DeleteFunc(m.sources, func(q *modelQueue) bool { return now.Sub(q.touched) > m.o.Timeout })
	q := &modelQueue{src: p.Src}
	if i := slices.IndexFunc(m.sources, func(q *modelQueue) bool { return q.src == p.Src }); i >= 0 {
		q = m.sources[i]
		m.sources = slices.Delete(m.sources, i, i+1)
	} else if len(m.sources) == m.o.MaxQueues {
		m.sources = m.sources[1:]
	}
	m.sources = append(m.sources, q)
	q.touched = now
	if pair := [2]uint16{p.SrcPort, p.DstPort}; p.SrcPort != 0 {
		if slices.Contains(q.seen, pair) {
			return Duplicate
		}
		q.seen = append(q.seen, pair)
		q.seen = q.seen[max(0, len(q.seen)-seenMax):]
	}
	q.ports = append(q.ports, p.DstPort)
	q.ports = q.ports[max(0, len(q.ports)-m.o.Length):]
	if len(q.ports) < m.o.Length || !m.match(p.Src, q.ports) {
		return Queued
	}
	q.ports = nil
	return Knock
}

// Any traffic gives the verdicts that the model gives. Each four bytes are a packet: source, source port,
// destination port, seconds since the last.
func FuzzObserve(f *testing.F) {
	f.Add([]byte{1, 1, 0, 0, 1, 2, 1, 0, 1, 3, 2, 0}, uint8(2))
	f.Add([]byte{1, 1, 0, 0, 2, 2, 1, 0, 1, 1, 0, 0, 1, 4, 1, 61}, uint8(1))
	f.Fuzz(func(t *testing.T, traffic []byte, length uint8) {
		o := Options{Length: int(length%24) + 1, Low: 745, High: 1000, Timeout: time.Minute, MaxQueues: 3}
		match := func(_ netip.Addr, ports []uint16) bool { return ports[0]%4 == 1 && ports[len(ports)-1]%2 == 0 }
		tr, m, now := New(o, match), &model{o: o, match: match}, start
		for i := 0; i+4 <= len(traffic); i += 4 {
			b := traffic[i : i+4]
			p := syn(netip.AddrFrom4([4]byte{192, 0, 2, b[0] % 8}), uint16(b[1]), 743+uint16(b[2]))
			if b[0] >= 250 {
				p.Flags |= packet.ACK
			}
			now = now.Add(time.Duration(b[3]) * time.Second)
			got, want := tr.Observe(p, now), m.observe(p, now)
			if got != want {
				t.Fatalf("packet %d, %+v: verdict %d, want %d", i/4, p, got, want)
			}
			if queues := tr.Stats().Queues; queues != len(m.sources) {
				t.Fatalf("packet %d: %d queues, want %d", i/4, queues, len(m.sources))
			}
		}
	})
}

func BenchmarkObserve(b *testing.B) {
	tr := New(options(8), func(netip.Addr, []uint16) bool { return false })
	b.ReportAllocs()
	var n uint32
	for b.Loop() {
		n = n*1664525 + 1013904223
		src := netip.AddrFrom4([4]byte{10, 0, byte(n >> 30), byte(n >> 22)})
		tr.Observe(syn(src, uint16(n>>8)|1, 745+uint16(n>>24)), start)
	}
}
