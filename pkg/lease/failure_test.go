package lease

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/firewall"
)

func TestFailingAdd(t *testing.T) {
	inHouse(t, func(h *house) {
		h.fake.FailLate(firewall.OpAdd, errBroken) // the rule is there all the same
		err := h.Open(h.t.Context(), one, h.end(60))
		if !errors.Is(err, errBroken) || err.Error() != `failed to open "192.0.2.1 22/tcp": broken` {
			t.Errorf("got error %v, want the firewall's", err)
		}
		h.leases()
		h.rules("chain\naccept 192.0.2.1 22/tcp\n")
		h.fake.Calls()
		h.at(1)
		h.calls("delete 192.0.2.1 22/tcp")
		h.rules("chain\n")
		h.at(1000)
		h.calls()
		if got := h.events.String(); got != "" {
			t.Errorf("events: got %q, want none: the error has told it all", got)
		}
	})
}

func TestFailingRefreshKeepsTheLease(t *testing.T) {
	inHouse(t, func(h *house) {
		h.open(one, 60)
		h.at(1)
		h.fake.Fail(firewall.OpAdd, errBroken)
		if err := h.Open(h.t.Context(), one, h.end(600)); !errors.Is(err, errBroken) {
			t.Errorf("got error %v, want %v", err, errBroken)
		}
		h.leases("192.0.2.1 22/tcp 60s")
		h.at(59)
		h.rules("chain\naccept 192.0.2.1 22/tcp\n")
		h.at(60)
		h.rules("chain\n")
	})
}

func TestFailingDeleteBacksOff(t *testing.T) {
	inHouse(t, func(h *house) {
		h.open(one, 60)
		h.fake.Calls()
		h.fake.Fail(firewall.OpDelete, errBroken)
		// 60 s, then after 1, 2, 4, 8, 16, 30, 30 s.
		for _, at := range []int{60, 61, 63, 67, 75, 91, 121, 151} {
			h.at(at - 1)
			if at > 61 { // a second before the first two is the one before
				h.calls()
			}
			h.at(at)
			h.calls("delete 192.0.2.1 22/tcp")
			h.leases("192.0.2.1 22/tcp 60s closing")
		}
		h.fake.Fail(firewall.OpDelete, nil)
		h.at(180)
		h.calls()
		h.at(181)
		h.rules("chain\n")
		h.leases()
		h.reported("0s opened 192.0.2.1 22/tcp until 60s", "60s failed 192.0.2.1 22/tcp: broken", "181s expired 192.0.2.1 22/tcp")
	})
}

func TestFailingClose(t *testing.T) {
	inHouse(t, func(h *house) {
		h.open(one, 0)
		h.fake.Fail(firewall.OpDelete, errBroken)
		for _, r := range []firewall.Rule{one, two} { // open, and never open
			if err := h.Close(h.t.Context(), r); !errors.Is(err, errBroken) {
				t.Errorf("close %s: got error %v, want %v", r, err, errBroken)
			}
		}
		h.leases("192.0.2.1 22/tcp closing", "192.0.2.2 22/tcp closing")
		h.at(1)
		h.fake.Fail(firewall.OpDelete, nil)
		h.at(3)
		h.rules("chain\n")
		h.leases()
		h.reported("0s opened 192.0.2.1 22/tcp",
			"0s failed 192.0.2.1 22/tcp: broken", "0s failed 192.0.2.2 22/tcp: broken",
			"3s closed 192.0.2.1 22/tcp", "3s closed 192.0.2.2 22/tcp")
	})
}

// TestOpenWinsOverPendingDelete knocks again while a deletion waits for its next
// try, for each reason that a deletion has.
func TestOpenWinsOverPendingDelete(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*house) error{
		"after a failing add": func(h *house) error {
			h.fake.FailLate(firewall.OpAdd, errBroken)
			defer h.fake.FailLate(firewall.OpAdd, nil)
			return h.Open(h.t.Context(), one, h.end(60))
		},
		"after a failing close": func(h *house) error {
			h.open(one, 60)
			h.fake.Fail(firewall.OpDelete, errBroken)
			defer h.fake.Fail(firewall.OpDelete, nil)
			return h.Close(h.t.Context(), one)
		},
	}
	for name, fail := range tests {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				if err := fail(h); !errors.Is(err, errBroken) {
					t.Fatalf("got error %v, want %v", err, errBroken)
				}
				h.fake.Calls()
				h.open(one, 120)
				h.at(119)
				h.rules("chain\naccept 192.0.2.1 22/tcp\n")
				h.calls("add 192.0.2.1 22/tcp")
				h.leases("192.0.2.1 22/tcp 120s")
				h.at(120)
				h.rules("chain\n")
				if got := h.events.String(); !strings.HasSuffix(got, "0s opened 192.0.2.1 22/tcp until 120s\n120s expired 192.0.2.1 22/tcp\n") {
					t.Errorf("events: got %q, want it opened, not refreshed, and expired at the end", got)
				}
			})
		})
	}
}

func TestStart(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fail func(*house)
		err  string
		dump string
	}{
		"stale rules":     {func(*house) {}, "", "chain\naccept 192.0.2.2 80/tcp\n"},
		"setup fails":     {func(h *house) { h.fake.Fail(firewall.OpSetup, errBroken) }, "failed to start with the firewall: broken", ""},
		"setup half done": {func(h *house) { h.fake.FailLate(firewall.OpSetup, errBroken) }, "failed to start with the firewall: broken", ""},
		"list fails":      {func(h *house) { h.fake.Fail(firewall.OpList, errBroken) }, "failed to start with the firewall: broken", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				h.must(h.fake.Add(h.t.Context(), one)) // by a daemon that was killed
				h.must(h.fake.Add(h.t.Context(), two))
				h.open(three, 0)
				tt.fail(h)
				var got string
				if err := h.Start(h.t.Context()); err != nil {
					got = err.Error()
				}
				if got != tt.err {
					t.Errorf("got error %q, want %q", got, tt.err)
				}
				h.rules(tt.dump)
				if tt.err == "" {
					h.reported("0s opened 192.0.2.2 80/tcp", "0s stale 192.0.2.1 22/tcp", "0s stale 192.0.2.2 22/tcp")
				}
			})
		})
	}
}

func TestStartTriesStaleRulesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.must(h.fake.Add(h.t.Context(), one))
		h.fake.Fail(firewall.OpDelete, errBroken)
		h.must(h.Start(h.t.Context()))
		h.leases("192.0.2.1 22/tcp closing")
		h.fake.Fail(firewall.OpDelete, nil)
		h.run()
		h.at(1)
		h.rules("chain\n")
		h.reported("0s failed 192.0.2.1 22/tcp: broken", "1s stale 192.0.2.1 22/tcp")
		h.cancel()
		h.must(<-h.done)
	})
}

func TestStop(t *testing.T) {
	inHouse(t, func(h *house) {
		h.open(one, 60)
		h.open(two, 0)
		h.fake.Calls()
		h.at(10)
		h.cancel()
		h.must(<-h.done)
		h.rules("")
		h.leases()
		h.calls("teardown")
		if err := h.Open(h.t.Context(), one, time.Time{}); !errors.Is(err, ErrStopped) {
			t.Errorf("open: got error %v, want ErrStopped", err)
		}
		if err := h.Close(h.t.Context(), one); !errors.Is(err, ErrStopped) {
			t.Errorf("close: got error %v, want ErrStopped", err)
		}
		h.at(1000)
		h.calls()
		h.reported("0s opened 192.0.2.1 22/tcp until 60s", "0s opened 192.0.2.2 22/tcp",
			"10s closed 192.0.2.1 22/tcp", "10s closed 192.0.2.2 22/tcp")
	})
}

// TestStopTriesEachRule has a firewall that cannot take everything out at once.
func TestStopTriesEachRule(t *testing.T) {
	inHouse(t, func(h *house) {
		h.open(one, 60)
		h.open(two, 0)
		h.fake.Fail(firewall.OpTeardown, errBroken)
		h.cancel()
		err := <-h.done
		if !errors.Is(err, errBroken) || err.Error() != "failed to leave the firewall as it was: broken" {
			t.Errorf("got error %v, want the teardown's", err)
		}
		h.rules("chain\n")
		h.leases()
		h.reported("0s opened 192.0.2.1 22/tcp until 60s", "0s opened 192.0.2.2 22/tcp",
			"15s closed 192.0.2.1 22/tcp", "15s closed 192.0.2.2 22/tcp")
	})
}

// TestStopWaitsForTheFirewall has one that is held by another program for a while.
func TestStopWaitsForTheFirewall(t *testing.T) {
	inHouse(t, func(h *house) {
		h.open(one, 60)
		h.fake.Fail(firewall.OpTeardown, errBroken)
		h.fake.Calls()
		h.cancel()
		time.AfterFunc(2500*time.Millisecond, func() { h.fake.Fail(firewall.OpTeardown, nil) })
		h.must(<-h.done)
		h.rules("")
		h.calls("teardown", "teardown", "teardown", "teardown")
		h.reported("0s opened 192.0.2.1 22/tcp until 60s", "3s closed 192.0.2.1 22/tcp")
	})
}

// hanging is a firewall that does nothing until its time is over.
type hanging struct{ *firewall.Fake }

func (hanging) Teardown(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func (hanging) Delete(ctx context.Context, _ firewall.Rule) error { <-ctx.Done(); return ctx.Err() }

func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := New(hanging{firewall.NewFake()}, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		if err := m.Start(ctx); err != nil {
			t.Fatal(err)
		}
		for port := range uint16(100) {
			if err := m.Open(ctx, firewall.Rule{Src: one.Src, Port: port}, time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		cancel()
		if err := m.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v, want %v", err, context.DeadlineExceeded)
		}
		if got := time.Since(began); got != stopLimit {
			t.Errorf("stopped after %v, want %v", got, stopLimit)
		}
	})
}

// TestRepeatedKnocksAreCheap: whoever repeats a recorded knock does not make the
// firewall work for each.
func TestRepeatedKnocksAreCheap(t *testing.T) {
	inHouse(t, func(h *house) {
		h.open(one, 60)
		h.fake.Calls()
		for range 1000 {
			time.Sleep(time.Millisecond)
			h.must(h.Open(h.t.Context(), one, h.end(600)))
		}
		h.calls("add 192.0.2.1 22/tcp", "add 192.0.2.1 22/tcp")
		h.leases("192.0.2.1 22/tcp 600s")
		// What was closed in between is no repetition.
		h.must(h.Close(h.t.Context(), one))
		h.fake.Calls()
		h.must(h.Open(h.t.Context(), one, h.end(600)))
		h.calls("add 192.0.2.1 22/tcp")
		h.rules("chain\naccept 192.0.2.1 22/tcp\n")
	})
}

func TestStopFails(t *testing.T) {
	inHouse(t, func(h *house) {
		h.open(one, 60)
		h.fake.Fail(firewall.OpTeardown, errBroken)
		h.fake.Fail(firewall.OpDelete, errors.New("stuck"))
		h.cancel()
		if err := <-h.done; err == nil || err.Error() != "failed to leave the firewall as it was: broken\nstuck" {
			t.Errorf("got error %v, want both", err)
		}
		h.leases("192.0.2.1 22/tcp 60s")
		h.reported("0s opened 192.0.2.1 22/tcp until 60s", "15s left 192.0.2.1 22/tcp: stuck")
	})
}

// ending is a firewall whose every change is hit by the end of the caller's
// context.
type ending struct {
	*firewall.Fake
	end context.CancelFunc
}

func (e ending) Setup(ctx context.Context) error { e.end(); return e.Fake.Setup(ctx) }

func (e ending) Add(ctx context.Context, r firewall.Rule) error { e.end(); return e.Fake.Add(ctx, r) }

func (e ending) Delete(ctx context.Context, r firewall.Rule) error {
	e.end()
	return e.Fake.Delete(ctx, r)
}

// TestNoChangeIsCut relies on the Fake, which refuses a context that has ended.
func TestNoChangeIsCut(t *testing.T) {
	t.Parallel()
	fake := firewall.NewFake()
	steps := []struct {
		name string
		do   func(context.Context, *Manager) error
		dump string
	}{
		{"start", func(ctx context.Context, m *Manager) error { return m.Start(ctx) }, "chain\n"},
		{"open", func(ctx context.Context, m *Manager) error { return m.Open(ctx, one, time.Time{}) }, "chain\naccept 192.0.2.1 22/tcp\n"},
		{"close", func(ctx context.Context, m *Manager) error { return m.Close(ctx, one) }, "chain\n"},
	}
	for _, s := range steps {
		ctx, cancel := context.WithCancel(t.Context())
		if err := s.do(ctx, New(ending{fake, cancel}, Options{})); err != nil || ctx.Err() == nil {
			t.Errorf("%s: got error %v, want none, in a context that has ended: %v", s.name, err, ctx.Err())
		}
		if diff := cmp.Diff(s.dump, fake.Dump()); diff != "" {
			t.Errorf("firewall after %s (-want +got):\n%s", s.name, diff)
		}
	}
}
