package tracker

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/portknock/knock/pkg/packet"
)

func TestRecent(t *testing.T) {
	t.Parallel()
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	carol := netip.MustParseAddr("2001:db8::3")
	type sent struct {
		src      netip.Addr
		from, to uint16
		seconds  int
	}
	for _, test := range []struct {
		name    string
		packets []sent
		src     netip.Addr
		now     int
		want    []Try
	}{
		{name: "nothing was ever seen", src: alice},
		{name: "another source", packets: []sent{{bob, 1, 800, 0}}, src: alice},
		{name: "no address", packets: []sent{{alice, 1, 800, 0}}},
		{
			name: "three, and others between", src: alice, now: 9,
			packets: []sent{{alice, 1, 900, 0}, {bob, 1, 801, 1}, {alice, 2, 901, 2}, {alice, 3, 744, 3}, {alice, 4, 902, 4}},
			want:    []Try{{1, 900, at(2), false}, {2, 901, at(2), false}, {4, 902, at(4), false}},
		},
		{
			name: "IPv6", src: carol,
			packets: []sent{{carol, 1, 900, 0}, {carol, 2, 901, 1}},
			want:    []Try{{1, 900, at(1), false}, {2, 901, at(1), false}},
		},
		{
			name: "copies", src: alice, now: 9,
			packets: []sent{{alice, 1, 900, 0}, {alice, 2, 901, 1}, {alice, 1, 900, 3}, {alice, 2, 901, 4}, {alice, 3, 902, 6}, {alice, 3, 902, 7}},
			want:    []Try{{1, 900, at(1), false}, {2, 901, at(1), false}, {3, 902, at(6), false}},
		},
		{
			name: "a copy of the only one", src: alice, now: 9,
			packets: []sent{{alice, 1, 900, 0}, {alice, 1, 900, 3}},
			want:    []Try{{1, 900, at(3), false}},
		},
		{
			name: "a knock and one more", src: alice, now: 9,
			packets: []sent{{alice, 1, 800, 0}, {alice, 2, 801, 1}, {alice, 3, 802, 2}, {alice, 4, 803, 3}},
			want:    []Try{{1, 800, at(1), false}, {2, 801, at(1), false}, {3, 802, at(2), true}, {4, 803, at(3), false}},
		},
		{
			name: "none that came before the source stood still", src: alice, now: 100,
			packets: []sent{{alice, 1, 900, 0}, {alice, 2, 901, 1}, {alice, 3, 902, 90}},
			want:    []Try{{3, 902, at(90), false}},
		},
		{
			name: "an hour later", src: alice, now: 3601,
			packets: []sent{{alice, 1, 900, 0}, {alice, 2, 901, 1}, {alice, 3, 902, 2}},
			want:    []Try{{1, 900, at(1), false}, {2, 901, at(1), false}, {3, 902, at(2), false}},
		},
		{
			name: "more than an hour later", src: alice, now: 3602,
			packets: []sent{{alice, 1, 900, 0}, {alice, 2, 901, 1}, {alice, 3, 902, 2}},
			want:    []Try{{3, 902, at(2), false}},
		},
		{
			name: "long after", src: alice, now: 9999,
			packets: []sent{{alice, 1, 900, 0}, {alice, 2, 901, 1}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, match := secret(3)
			tr := New(options(3), match)
			for _, p := range test.packets {
				tr.Observe(syn(p.src, p.from, p.to), at(p.seconds))
			}
			got := tr.Recent(test.src, at(test.now))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("tries (-want +got)\n%s", diff)
			}
		})
	}
}

// Of a source that goes on and on, the last 64 are told.
func TestRecentIsBounded(t *testing.T) {
	t.Parallel()
	tr := New(options(8), func(netip.Addr, []uint16) bool { return false })
	var want []Try
	for n := range 500 {
		at := start.Add(time.Duration(n) * time.Second)
		tr.Observe(syn(alice, uint16(1+n), 800), at)
		want = append(want, Try{SrcPort: uint16(1 + n), DstPort: 800, At: at})
	}
	got := tr.Recent(alice, start.Add(500*time.Second))
	if diff := cmp.Diff(want[500-64:], got); diff != "" {
		t.Errorf("tries (-want +got)\n%s", diff)
	}
}

// A twin is two Trackers and their model. One of the two is asked for recent tries, the other never.
type twin struct {
	asked, other *Tracker
	model        *model
	came         []time.Time // when those of the model's tries were pushed
}

// newTwin makes one whose tries' numbers are about to come round.
func newTwin(o Options, match Match) *twin {
	w := &twin{asked: New(o, match), other: New(o, match), model: &model{o: o, match: match}}
	for _, tr := range []*Tracker{w.asked, w.other} {
		tr.busy = make(busy, 1)
		tr.ring.last = math.MaxUint32 - uint32(3*o.MaxPackets)
	}
	return w
}

func (w *twin) observe(t *testing.T, p packet.Packet, now time.Time) {
	t.Helper()
	got, other, want := w.asked.Observe(p, now), w.other.Observe(p, now), w.model.observe(p, now)
	if got != other || got != want {
		t.Fatalf("%+v: verdict %d of who was asked, %d of who was not, want %d", p, got, other, want)
	}
	if got != Ignored && got != Duplicate {
		w.came = append(w.came, w.model.tries[len(w.model.tries)-1].touched)
		w.came = w.came[len(w.came)-len(w.model.tries):]
	}
}

// want gives what Recent should give.
func (w *twin) want(src netip.Addr, now time.Time) (tries []Try) {
	places := w.model.of(src)
	for i, place := range places[:min(64, len(places))] {
		m := w.model.tries[place]
		at := w.came[place]
		if i == len(places)-1 {
			at = m.touched
		}
		if now.Sub(at) <= time.Hour {
			tries = append(tries, Try{m.ports[0], m.ports[1], at, m.endsKnock})
		}
	}
	slices.Reverse(tries)
	return tries
}

func sameTry(a, b Try) bool {
	at := a.At.Equal(b.At)
	a.At = b.At
	return at && a == b
}

// Whatever came, Recent gives what the model remembers, changes no byte of the ring, and no verdict that follows.
func TestRecentChangesNothing(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 4, 32, 128} {
		t.Run(fmt.Sprintf("%d packets", size), func(t *testing.T) {
			t.Parallel()
			o := Options{Lengths: []int{3, 8}, Low: 745, High: 1000, Timeout: time.Minute, MaxPackets: 2 * size}
			match := func(_ netip.Addr, ports []uint16) bool { return (ports[0]+ports[len(ports)-1])%16 == 0 }
			w, now, told := newTwin(o, match), start, 0
			random := rand.New(rand.NewPCG(3, uint64(size)))
			for range 5000 {
				now = now.Add(time.Duration(random.IntN(5)-1) * time.Second)
				if random.Uint32N(500) == 0 {
					now = now.Add(time.Duration(random.Uint32N(70)) * time.Minute)
				}
				w.observe(t, syn(tenDot(random.Uint32N(6)), uint16(random.Uint32N(40)), 745+uint16(random.Uint32N(16))), now)
				src, later := tenDot(random.Uint32N(7)), now.Add(time.Duration(random.Uint32N(3))*30*time.Minute)
				ring, stats := *w.asked.ring, w.asked.Stats()
				ring.tries, ring.heads = slices.Clone(ring.tries), slices.Clone(ring.heads)
				got := w.asked.Recent(src, later)
				if want := w.want(src, later); !slices.EqualFunc(want, got, sameTry) {
					t.Fatalf("tries of %s (-want +got)\n%s", src, cmp.Diff(want, got))
				}
				if r := w.asked.ring; r.last != ring.last || !slices.Equal(r.tries, ring.tries) || !slices.Equal(r.heads, ring.heads) || stats != w.asked.Stats() {
					t.Fatal("the state has changed")
				}
				told += len(got)
			}
			if w.asked.Stats() != w.other.Stats() {
				t.Errorf("counts %+v, want %+v", w.asked.Stats(), w.other.Stats())
			}
			if told < 1000 || w.asked.Stats().Knocks < 5 && size > 4 {
				t.Errorf("little has happened: %d tries told, %+v", told, w.asked.Stats())
			}
		})
	}
}
