package daemon

import (
	"flag"
	"math"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"testing"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/knock"
)

var windows = flag.Int("windows", 2_000_000, "how many random windows TestChance tries")

// TestChance counts what opens by chance alone: random windows of 8 ports, with and
// without what narrows a knock. The table in the README was made with -windows
// 100000000 -v.
func TestChance(t *testing.T) {
	t.Parallel()
	only22 := config.Ports{{Low: 22, High: 22}}
	settings := []struct {
		name  string
		allow config.Allow
		odds  float64 // of one window
	}{
		{"nothing", config.Allow{}, 1. / (256 * 256)},
		{"allow-ports = 22", config.Allow{Ports: only22}, 1. / (256 * 256 * 256)},
		{"match-source", config.Allow{MatchSource: true}, 1. / (256 * 256) / (1 << 32)},
		{"both", config.Allow{Ports: only22, MatchSource: true}, 1. / (256 * 256) / (1 << 40)},
	}
	workers := runtime.GOMAXPROCS(0)
	var (
		mu     sync.Mutex
		opened = make([]int, len(settings))
		all    sync.WaitGroup
	)
	for worker := range workers {
		all.Go(func() {
			counts := make([]int, len(settings))
			randomPayloads(t, uint64(worker), *windows/workers, func(p knock.Payload) {
				for i, s := range settings {
					if refusal(s.allow, netip.MustParseAddr("192.0.2.7"), p) == "" {
						counts[i]++
					}
				}
			})
			mu.Lock()
			defer mu.Unlock()
			for i, n := range counts {
				opened[i] += n
			}
		})
	}
	all.Wait()
	for i, s := range settings {
		want := float64(*windows) * s.odds
		t.Logf("%-20s %8d of %d random windows open (expected %.3g)", s.name, opened[i], *windows, want)
		// Five standard deviations; one by chance must be forgiven.
		if got := float64(opened[i]); math.Abs(got-want) > 5*math.Sqrt(want)+1 {
			t.Errorf("%s: %d of %d random windows open, want about %.3g", s.name, opened[i], *windows, want)
		}
	}
}

// randomPayloads tries n random windows and hands on what decodes.
func randomPayloads(t *testing.T, seed uint64, n int, hand func(knock.Payload)) {
	codec, err := knock.New(knock.Options{Passphrase: []byte("a long random passphrase")})
	if err != nil {
		t.Error(err)
		return
	}
	random := rand.New(rand.NewPCG(seed, 1))
	var ports [8]uint16
	for range n {
		bits := random.Uint64()
		for i := range ports {
			ports[i] = 745 + uint16(bits>>(8*i)&0xff)
		}
		if p, err := codec.Open(ports[:]); err == nil {
			hand(p)
		}
	}
}
