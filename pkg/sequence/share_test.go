package sequence

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/packet"
)

// shares is who knows nothing but that there is a sequence of three ports, and that only Ports are seen. He sends all
// ports of one share, which are the same modulo their number, then all of another, then all of a third, and so on through
// all threes of shares. Few of the guards are in the right three.
type shares struct{ count int }

// packets is what one three costs him, and threes how many he must try to be sure of having the right one.
func (s shares) packets() float64 { return 3 * 65536 / float64(s.count) }
func (s shares) threes() float64  { n := float64(s.count); return n * n * n }

// completes tells whether the right three completes the steps.
func (s shares) completes(t *testing.T, steps []Step) bool {
	seen := mustNew(t, Options{MaxSources: 1}, Section{Steps: steps, Timeout: 1, Flags: plain("1").Flags})
	c, ports := &scanner{m: seen}, portsOf(seen)
	for _, step := range steps {
		for _, to := range ports {
			if (int(to.Port)-int(step.Port))%s.count == 0 && c.try(to) > 0 {
				return true
			}
		}
	}
	return false
}

// Whatever the number of shares: to complete a sequence of three ports drawn at random takes more than ten thousand
// million SYNs, or a third of them if each share is the second of one three and the first of another. With 16 guards, 16
// shares would do it in every second of the right threes: a hundred million.
func TestShares(t *testing.T) {
	t.Parallel()
	const times, least = 2000, 1e10
	for _, s := range []shares{{16}, {32}, {64}, {128}, {256}, {512}, {4096}} {
		random := rand.New(rand.NewPCG(5, uint64(s.count)))
		completed := 0.0
		for range times {
			var steps []Step
			for range 3 {
				steps = append(steps, Step{packet.TCP, uint16(1025 + random.IntN(65535-1024))})
			}
			if s.completes(t, steps) {
				completed++
			}
		}
		syns := s.threes() * s.packets() * times / max(completed, 3) // none of 2000 is 3 at most, 19 times in 20
		t.Logf("%d shares: %.1f %% of the right threes complete it: %.1e SYNs", s.count, 100*completed/times, syns)
		if syns < least {
			t.Errorf("%d shares need %.1e SYNs, want %.0e at least", s.count, syns, least)
		}
		if s.count == 4096 && completed < 0.9*times {
			t.Errorf("the attack does not work: %v of %d", completed, times)
		}
	}
}

// The guards that Ports names are those that the Matcher knows a scan by.
func TestGuardsAreSeen(t *testing.T) {
	t.Parallel()
	m := mustNew(t, Options{}, plain("7000,8000:udp,9000"))
	for _, proto := range []packet.Proto{packet.TCP, packet.UDP} {
		var got []uint16
		for _, p := range m.Ports() {
			if p.Proto == proto && slices.Contains(m.guards, p.Port) {
				got = append(got, p.Port)
			}
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values(m.guards)), got); diff != "" {
			t.Errorf("protocol %d (-want +got)\n%s", proto, diff)
		}
	}
}
