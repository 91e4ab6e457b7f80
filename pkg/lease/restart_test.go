package lease

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/journal"
)

// TestRestart ends a Manager in every way while one port is open for good and one
// until 60 s, and starts another at 20 s.
func TestRestart(t *testing.T) {
	t.Parallel()
	term := func(h *house) {
		h.cancel()
		h.must(<-h.done)
	}
	tests := map[string]struct {
		keep    bool
		end     func(*house)
		between string // the firewall while nobody is there
		late    bool   // started at 100 s
	}{
		"kill -9":           {end: (*house).kill, between: "chain\naccept 192.0.2.2 22/tcp\naccept 192.0.2.1 22/tcp until 60\n"},
		"SIGTERM":           {end: term, between: ""},
		"SIGTERM, keep":     {keep: true, end: term, between: "chain\naccept 192.0.2.2 22/tcp\naccept 192.0.2.1 22/tcp until 60\n"},
		"reboot":            {end: func(h *house) { h.kill(); h.reboot() }, between: ""},
		"SIGTERM, then off": {end: func(h *house) { term(h); h.reboot() }, between: ""},
		"kill -9, late":     {end: (*house).kill, between: "chain\naccept 192.0.2.2 22/tcp\naccept 192.0.2.1 22/tcp until 60\n", late: true},
		"reboot, late":      {end: func(h *house) { h.kill(); h.reboot() }, between: "", late: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				h.options.Keep = tt.keep
				h.start()
				h.open(ip1, 60)
				h.open(ip2, 0)
				h.at(10)
				tt.end(h)
				h.rules(tt.between)
				if tt.late {
					h.at(100)
					h.start()
					h.rules("chain\naccept 192.0.2.2 22/tcp\n")
					h.leases("192.0.2.2 22/tcp")
				} else {
					h.at(20)
					h.start()
					h.leases("192.0.2.1 22/tcp 60s", "192.0.2.2 22/tcp")
					h.at(59)
					h.leases("192.0.2.1 22/tcp 60s", "192.0.2.2 22/tcp")
					h.at(60)
					h.rules("chain\naccept 192.0.2.2 22/tcp\n")
				}
				h.kill()
			})
		})
	}
}

// TestAsked at the very end goes into the journal.
func TestAskedAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.start()
		h.open(ip1, 0)
		h.must(h.Close(one, By{})) // not taken up yet
		h.must(h.Open(two, 0, By{}))
		h.cancel()
		h.must(<-h.done)
		h.rules("")
		h.start()
		h.rules("chain\naccept 192.0.2.2 22/tcp\n")
		h.kill()
	})
}

// TestOtherBoots restores a lease of 600 s, opened at 0 s and last seen at 100 s,
// in another boot with a wall clock that may be wrong. It never gets more than
// its time: 500 s are left, or less where the clock cannot be believed.
func TestOtherBoots(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		set  time.Duration // of the wall clock, when it starts again at 200 s
		left float64       // seconds; 0: it has ended
	}{
		"a right clock":       {0, 400},
		"an hour fast":        {time.Hour, 0},
		"a minute slow":       {-time.Minute, 460},
		"slow, and in 1999":   {-24 * time.Hour, 450},
		"at the last writing": {-110 * time.Second, 450},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				h.start()
				h.open(ip1, 600)
				h.at(100)
				h.kill()
				h.reboot()
				h.at(200)
				h.set.Store(int64(tt.set))
				h.start()
				if tt.left == 0 {
					h.rules("chain\n")
				} else {
					h.at(200 + tt.left - 1)
					if len(h.Leases()) != 1 {
						t.Error("it ended too early")
					}
					h.at(200 + tt.left)
					h.rules("chain\n")
				}
				h.leases()
				h.kill()
			})
		})
	}
}

// TestClockSetAfterBoot restores a lease of 600 s in a boot whose clock is a day
// slow, three days on. When the clock is set, the lease has ended long ago.
func TestClockSetAfterBoot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.start()
		h.open(ip1, 600)
		h.open(ip2, 0)
		h.at(100)
		h.kill()
		h.reboot()
		h.at(3 * 24 * 3600)
		h.set.Store(int64(-3 * 24 * time.Hour))
		h.start()
		for range 2 { // also in one more boot before the clock is right
			if len(h.Leases()) != 2 {
				t.Fatal("what has not ended for all one can tell was not restored")
			}
			h.at(time.Since(h.begin).Seconds() + 10)
			h.kill()
			h.reboot()
			h.start()
		}
		h.at(time.Since(h.begin).Seconds() + 10)
		h.set.Store(0)
		h.at(time.Since(h.begin).Seconds() + 3)
		h.rules("chain\naccept 192.0.2.2 22/tcp\n")
		h.kill()
	})
}

// TestBootsWithoutClockAndJournal: no clock tells how long the lease has been open,
// and no journal would tell the next boot, so it ends.
func TestBootsWithoutClockAndJournal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.start()
		h.open(ip1, 600)
		h.open(ip2, 0)
		h.at(100)
		h.kill()
		h.reboot()
		h.set.Store(int64(-24 * time.Hour))
		h.write = func(record) error { return errBroken }
		h.start()
		h.rules("chain\naccept 192.0.2.2 22/tcp\n")
		h.kill()
	})
}

// TestBrokenJournals: whatever is in the journal's place, no port is open.
func TestBrokenJournals(t *testing.T) {
	t.Parallel()
	good := record{Boot: "first", Leases: []saved{{IP: ip1, Port: 22, Action: actionAccept}}}
	encoded, err := fileOf("").Encode(good)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"empty":           "",
		"torn":            string(encoded[:len(encoded)-10]),
		"half a head":     string(encoded[:20]),
		"zeros":           strings.Repeat("\x00", len(encoded)),
		"changed":         strings.Replace(string(encoded), "192.0.2.1", "192.0.2.9", 1),
		"another version": strings.Replace(string(encoded), "journal 1 ", "journal 2 ", 1),
		"foreign":         "Perl was here\n",
		"too long":        strings.Repeat("x", maxJournal+1),
	}
	for name, content := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				h.must(os.WriteFile(h.options.Journal, []byte(content), 0o600))
				h.fake.Plant(firewall.Entry{Rule: one})
				h.start()
				h.rules("chain\n")
				h.leases()
				if got, err := os.ReadFile(h.options.Journal + ".broken"); err != nil || string(got) != content {
					t.Errorf("set aside: got %q, %v; want all of it", got, err)
				}
				if got := h.told(); !strings.HasPrefix(got, `0s note the journal "DIR/leases" cannot be used and is now "DIR/leases.broken": no port is open: `) {
					t.Errorf("got events %q, want one that says what became of it", got)
				}
				h.open(ip2, 0) // and all goes on
				h.rules("chain\naccept 192.0.2.2 22/tcp\n")
				h.kill()
				h.start()
				h.rules("chain\naccept 192.0.2.2 22/tcp\n")
				h.kill()
			})
		})
	}
}

// A journal that is there but cannot be read may be as it should be: it is left.
func TestUnreadableJournal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.must(os.Mkdir(h.options.Journal, 0o700))
		m := New(h.fake, h.options)
		if err := m.Start(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "failed to read the journal: ") {
			t.Errorf("got error %v, want that of the reading", err)
		}
		h.rules("")
	})
}

func FuzzJournal(f *testing.F) {
	leases := fileOf("")
	good, err := leases.Encode(record{
		Saved: time.Unix(1e9, 0).UTC(), Boot: "first",
		Leases: []saved{
			{IP: ip1, Port: 22, Action: actionAccept},
			{IP: ip1, Port: 53, Action: actionAccept, Proto: protoUDP},
			{IP: ip2, Port: 53, Action: actionForward, Proto: protoUDP, To: inner.To},
			{IP: ip2, Action: actionDrop, Until: time.Unix(2e9, 5).UTC(), End: time.Hour, Left: time.Minute},
		},
	})
	if err != nil {
		f.Fatal(err)
	}
	_, body, _ := bytes.Cut(good, []byte("\n"))
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := leases.Decode(sum(body))
		if err != nil {
			return
		}
		encoded, err := leases.Encode(r)
		if err != nil {
			t.Fatalf("failed to encode what was decoded: %v", err)
		}
		again, err := leases.Decode(encoded)
		if err != nil {
			t.Fatalf("failed to decode what was encoded: %v", err)
		}
		if diff := cmp.Diff(r, again, cmp.Comparer(func(a, b saved) bool { return a == b })); diff != "" {
			t.Errorf("decoded, encoded, decoded (-first +second):\n%s", diff)
		}
		for _, s := range r.Leases {
			if s.End != 0 && s.left(r, journal.Instant{Wall: r.Saved, Boot: 0}, "other") > s.Left {
				t.Errorf("%v has more left than it had", s)
			}
		}
	})
}

// TestWrites: an opening is written once, and how long is left of it again before
// what saved.left takes for granted is over.
func TestWrites(t *testing.T) {
	t.Parallel()
	var (
		mu    sync.Mutex
		times []time.Time
	)
	since := func(begin time.Time) (seconds []float64) {
		mu.Lock()
		defer mu.Unlock()
		for _, at := range times {
			seconds = append(seconds, at.Sub(begin).Seconds())
		}
		times = nil
		return seconds
	}
	inHouseOf(t, func(h *house) {
		h.write = func(r record) error {
			mu.Lock()
			defer mu.Unlock()
			times = append(times, time.Now())
			return fileOf(h.options.Journal).Write(r)
		}
	}, func(h *house) {
		since(h.begin)
		h.open(ip1, 600)
		h.at(10)
		if got := since(h.begin); len(got) != 1 {
			t.Errorf("an opening was written at %v s, want it once", got)
		}
		last := 0.0
		for at := 20.0; at < 600; at += 20 { // each of these has the firewall compared
			h.at(at)
			h.open(ip2, 0)
			h.close(ip2)
			h.at(at + 19)
			for _, written := range since(h.begin) {
				if written-last >= 60 {
					t.Errorf("nothing was written from %v to %v s", last, written)
				}
				last = written
			}
		}
		h.at(700)
		if last < 540 {
			t.Errorf("nothing was written after %v s", last)
		}
	})
}

// Who had a port opened is known after a crash, and who has closed it is told.
func TestBy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.start()
		h.open(ip1, 600)
		h.kill()
		h.start()
		if got := h.Leases(); len(got) != 1 || got[0].By != alice {
			t.Errorf("after a crash: %+v, want one of %+v", got, alice)
		}
		bob := By{Who: "section bob", From: ip2}
		h.must(h.Open(one, time.Minute, bob))
		synctest.Wait()
		if got := h.Leases(); len(got) != 1 || got[0].By != bob {
			t.Errorf("opened again: %+v, want one of %+v", got, bob)
		}
		h.kill()
	})
}
