package guess

import (
	"net/netip"
	"testing"
	"time"
)

var (
	start = time.Date(2026, 11, 20, 20, 0, 0, 0, time.UTC)
	alice = netip.MustParseAddr("192.0.2.1")
	bob   = netip.MustParseAddr("2001:db8::2")
)

// tenDot gives the address n of 10.0.0.0/8.
func tenDot(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// Each step is some failures of a source at a time, and how many of them are told of.
func TestFailed(t *testing.T) {
	t.Parallel()
	type step struct {
		at       time.Duration
		src      netip.Addr
		failures int
		want     int
	}
	const within = 8 * time.Minute
	for name, steps := range map[string][]step{
		"too few":                     {{0, alice, 9, 0}},
		"enough":                      {{0, alice, 9, 0}, {0, alice, 1, 1}},
		"once":                        {{0, alice, 10, 1}, {0, alice, 1000, 0}},
		"too few of each of two":      {{0, alice, 9, 0}, {0, bob, 9, 0}},
		"enough of each of two":       {{0, alice, 9, 0}, {0, bob, 10, 1}, {0, alice, 1, 1}},
		"just in time":                {{0, alice, 9, 0}, {within - 1, alice, 1, 1}},
		"just too late":               {{0, alice, 9, 0}, {within, alice, 1, 0}},
		"one at a time":               {{0, alice, 3, 0}, {time.Minute, alice, 3, 0}, {3 * time.Minute, alice, 3, 0}, {7 * time.Minute, alice, 1, 1}},
		"the oldest parts go":         {{0, alice, 3, 0}, {time.Minute, alice, 3, 0}, {8 * time.Minute, alice, 6, 0}, {8 * time.Minute, alice, 1, 1}},
		"period after period":         {{0, alice, 10, 1}, {within, alice, 10, 0}, {2 * within, alice, 10, 0}, {3 * within, alice, 10, 0}},
		"after a quiet period":        {{0, alice, 10, 1}, {within + 1, alice, 10, 1}},
		"after a less quiet period":   {{0, alice, 10, 1}, {within, alice, 9, 0}, {2 * within, alice, 10, 1}},
		"a moment back":               {{within, alice, 9, 0}, {within - time.Second, alice, 1, 1}},
		"back by less than a period":  {{within, alice, 9, 0}, {time.Minute, alice, 1, 1}},
		"back by a period":            {{within, alice, 9, 0}, {0, alice, 9, 0}, {0, alice, 1, 1}},
		"back before the first":       {{0, alice, 9, 0}, {-2 * within, alice, 9, 0}, {-2*within + 1, alice, 1, 1}},
		"the same, mapped into IPv6":  {{0, alice, 9, 0}, {0, netip.AddrFrom16(alice.As16()), 1, 1}},
		"back, when it was told of":   {{within, alice, 10, 1}, {0, alice, 10, 1}},
		"no address is as any other":  {{0, netip.Addr{}, 9, 0}, {0, netip.Addr{}, 1, 1}},
		"years later":                 {{0, alice, 9, 0}, {200 * 365 * 24 * time.Hour, alice, 9, 0}},
		"back, while it is a guesser": {{within, alice, 10, 1}, {within - time.Minute, alice, 10, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := New(Options{Limit: 10, Within: within})
			for c.slot(alice.As16()) == c.slot(bob.As16()) {
				c = New(c.options)
			}
			for i, s := range steps {
				got := 0
				for range s.failures {
					if c.Failed(s.src, start.Add(s.at)) {
						got++
					}
				}
				if got != s.want {
					t.Fatalf("step %d: %d told of, want %d", i, got, s.want)
				}
			}
		})
	}
}

// Whoever goes on at the limit's rate is told of once, and whoever stays a little below it is not.
func TestSteady(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		every time.Duration
		want  int
	}{
		{590 * time.Millisecond, 1},
		{601 * time.Millisecond, 0},
	} {
		c := New(Options{Limit: 1000, Within: 10 * time.Minute})
		got := 0
		for at := time.Duration(0); at < 3*time.Hour; at += test.every {
			if c.Failed(alice, start.Add(at)) {
				got++
			}
		}
		if got != test.want {
			t.Errorf("one failure every %v: told of %d times, want %d", test.every, got, test.want)
		}
	}
}

// A million sources that fail once each do not hide one that fails often, and are not taken for it.
func TestFlood(t *testing.T) {
	t.Parallel()
	const limit, between = 100, 1_000_000 / 200
	c := New(Options{Limit: limit, Within: 10 * time.Minute})
	told, failures := 0, 0
	for n := range 1_000_000 {
		now := start.Add(time.Duration(n) * 100 * time.Microsecond)
		if c.Failed(tenDot(n), now) {
			t.Fatalf("source %d of the flood is told of", n)
		}
		if n%between != 0 {
			continue
		}
		failures++
		if c.Failed(alice, now) {
			told++
			// In her slot 15 others are expected; more than 60 have a chance of 10 to the power of -17.
			if failures < limit || failures > limit+60 {
				t.Errorf("told of at failure %d", failures)
			}
		}
	}
	if told != 1 {
		t.Errorf("told of %d times, want once", told)
	}
}

// With one slot for all: who takes it counts from nothing, and others only take from the count.
func TestSharedSlot(t *testing.T) {
	t.Parallel()
	c := newCounter(Options{Limit: 10, Within: time.Minute}, 1)
	fail := func(src netip.Addr, count int) (told int) {
		for range count {
			if c.Failed(src, start) {
				told++
			}
		}
		return told
	}
	for i, s := range []struct {
		src      netip.Addr
		failures int
		want     int
	}{
		{alice, 9, 0},
		{bob, 5, 0},
		{alice, 5, 0},
		{alice, 1, 1},
		{bob, 10, 0}, // now the slot is empty
		{bob, 9, 0},
		{bob, 1, 1},
	} {
		if got := fail(s.src, s.failures); got != s.want {
			t.Fatalf("step %d: %d told of, want %d", i, got, s.want)
		}
	}
}

// Nobody is told of who has not failed often enough, however many share a slot; and where each has a slot alone,
// everybody is who has failed often enough within seven eighths of the time. Each two bytes are a failure: source, time
// since the last.
func FuzzFailed(f *testing.F) {
	f.Add([]byte{1, 0, 1, 1, 1, 2, 2, 3, 1, 200, 1, 0}, uint8(2))
	mixed := make([]byte, 600)
	for i := range mixed {
		mixed[i] = byte(i * i >> 3)
	}
	f.Add(mixed, uint8(2))
	f.Add(mixed, uint8(5))
	f.Fuzz(func(t *testing.T, traffic []byte, limit uint8) {
		o := Options{Limit: int(limit%16) + 1, Within: 64 * time.Second}
		shared, alone := newCounter(o, 2), map[byte]*Counter{}
		past, told := map[byte][]time.Time{}, map[byte]bool{}
		now := start
		for i := 0; i+2 <= len(traffic); i += 2 {
			who := traffic[i] % 8
			now = now.Add(time.Duration(traffic[i+1]) * time.Second / 8)
			past[who] = append(past[who], now)
			count := func(within time.Duration) (n int) {
				for _, at := range past[who] {
					if now.Sub(at) < within {
						n++
					}
				}
				return n
			}
			if alone[who] == nil {
				alone[who] = newCounter(o, 1)
			}
			src := tenDot(int(who))
			if shared.Failed(src, now) && count(o.Within) < o.Limit {
				t.Fatalf("failure %d: source %d shares a slot and has failed %d times only", i/2, who, count(o.Within))
			}
			if alone[who].Failed(src, now) {
				told[who] = true
				if count(o.Within) < o.Limit {
					t.Fatalf("failure %d: source %d has failed %d times only", i/2, who, count(o.Within))
				}
			}
			if !told[who] && count(o.Within*7/8) >= o.Limit {
				t.Fatalf("failure %d: source %d has failed %d times and is not told of", i/2, who, count(o.Within*7/8))
			}
		}
	})
}

func TestFailedDoesNotAllocate(t *testing.T) {
	c := New(Options{Limit: 10, Within: time.Minute})
	n := 0
	if got := testing.AllocsPerRun(1000, func() {
		n++
		c.Failed(tenDot(n), start)
		c.Failed(bob, start)
	}); got > 0 {
		t.Errorf("%v allocations, want none", got)
	}
}

func BenchmarkFailed(b *testing.B) {
	for name, sources := range map[string]int{"one source": 1, "a million": 1_000_000} {
		b.Run(name, func(b *testing.B) {
			c := New(Options{Limit: 1000, Within: 10 * time.Minute})
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				c.Failed(tenDot(n%sources), start)
			}
		})
	}
}
