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
	return Options{Lengths: []int{length}, Low: 745, High: 1000, Timeout: time.Minute, MaxPackets: 1 << 10}
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
					got := tr.Observe(s.packet, now)
					if got == Failed {
						got = Queued // which of the two is TestFailed's matter
					}
					if got != s.want {
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
	want[7], want[15], want[16] = Knock, Failed, Failed
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A window that is full and no knock has failed, with each try anew until there is a knock.
func TestFailed(t *testing.T) {
	t.Parallel()
	ports, match := secret(3)
	tr := New(options(3), match)
	var got []Verdict
	for i, port := range slices.Concat(ports[:2], ports, ports) {
		got = append(got, tr.Observe(syn(alice, 1000+uint16(i), port), start))
	}
	got = append(got, tr.Observe(syn(alice, 1007, ports[2]), start), tr.Observe(syn(alice, 9, 9), start))
	want := []Verdict{Queued, Queued, Failed, Failed, Knock, Queued, Queued, Knock, Duplicate, Ignored}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	stats := Stats{Ignored: 1, Duplicates: 1, Queued: 4, Failed: 2, Knocks: 2, Packets: 8}
	if diff := cmp.Diff(stats, tr.Stats()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What was seen stays seen for 64 tries of its source, and no longer.
func TestSeen(t *testing.T) {
	t.Parallel()
	_, match := secret(8)
	tr := New(options(8), match)
	for i := range uint16(seenMax) {
		tr.Observe(syn(alice, 1000+i, 745), start)
		tr.Observe(syn(bob, 1000+i, 746), start)
	}
	for i := range uint16(seenMax) {
		if got := tr.Observe(syn(alice, 1000+i, 745), start); got != Duplicate {
			t.Fatalf("try %d again: verdict %d, want %d", i, got, Duplicate)
		}
	}
	got := []Verdict{
		tr.Observe(syn(alice, 2000, 745), start), // the first is forgotten
		tr.Observe(syn(alice, 1000, 745), start),
		tr.Observe(syn(alice, 1000, 745), start),
		tr.Observe(syn(bob, 1000, 746), start),
	}
	if diff := cmp.Diff([]Verdict{Failed, Failed, Duplicate, Duplicate}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// IPv6 sources are as good as others, and not mixed up with IPv4 ones.
func TestIPv6(t *testing.T) {
	t.Parallel()
	ports, match := secret(8)
	tr := New(options(8), match)
	sources := []netip.Addr{netip.MustParseAddr("2001:db8::c000:201"), netip.MustParseAddr("2001:db8::1:0:c000:201"), alice}
	for i, port := range ports {
		for _, src := range sources {
			want := Queued
			if i == 7 {
				want = Knock
			}
			if got := tr.Observe(syn(src, port, port), start); got != want {
				t.Fatalf("packet %d of %s: verdict %d, want %d", i, src, got, want)
			}
		}
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
