package lease

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/firewall"
)

var (
	one   = firewall.Rule{Src: netip.MustParseAddr("192.0.2.1"), Port: 22}
	two   = firewall.Rule{Src: netip.MustParseAddr("192.0.2.2"), Port: 22}
	three = firewall.Rule{Src: netip.MustParseAddr("192.0.2.2"), Port: 80}

	errBroken = errors.New("broken")
)

// house is a Manager that runs on a Fake inside a synctest bubble.
type house struct {
	*Manager
	t      *testing.T
	fake   *firewall.Fake
	begin  time.Time
	events strings.Builder
	cancel context.CancelFunc
	done   chan error
}

// inHouse runs test in a bubble, with a Manager that has started and runs.
func inHouse(t *testing.T, test func(*house)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.must(h.Start(h.t.Context()))
		h.fake.Calls()
		h.run()
		test(h)
		h.cancel()
		synctest.Wait()
	})
}

func newHouse(t *testing.T) *house {
	h := &house{t: t, fake: firewall.NewFake(), begin: time.Now(), done: make(chan error, 1)}
	h.Manager = New(h.fake, Options{Report: h.report})
	return h
}

// report writes an event as "60s expired 192.0.2.1 22/tcp".
func (h *house) report(e Event) {
	fmt.Fprintf(&h.events, "%.0fs %s %s", time.Since(h.begin).Seconds(), e.Kind, e.Rule)
	if !e.Until.IsZero() {
		fmt.Fprintf(&h.events, " until %.0fs", e.Until.Sub(h.begin).Seconds())
	}
	if e.Err != nil {
		fmt.Fprintf(&h.events, ": %v", e.Err)
	}
	h.events.WriteByte('\n')
}

func (h *house) run() {
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	go func() { h.done <- h.Run(ctx) }()
	synctest.Wait()
}

// at waits until so many seconds after the begin, and for all that happens then.
func (h *house) at(seconds int) {
	h.t.Helper()
	time.Sleep(time.Until(h.begin.Add(time.Duration(seconds) * time.Second)))
	synctest.Wait()
}

// open opens r until so many seconds after the begin; 0: no limit.
func (h *house) open(r firewall.Rule, until int) {
	h.t.Helper()
	h.must(h.Open(h.t.Context(), r, h.end(until)))
	synctest.Wait()
}

func (h *house) end(seconds int) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return h.begin.Add(time.Duration(seconds) * time.Second)
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// rules compares all that the firewall holds with a literal.
func (h *house) rules(want string) {
	h.t.Helper()
	if diff := cmp.Diff(want, h.fake.Dump()); diff != "" {
		h.t.Errorf("firewall after %v (-want +got):\n%s", time.Since(h.begin), diff)
	}
}

// reported compares all events so far with a literal, one a line.
func (h *house) reported(want ...string) {
	h.t.Helper()
	if diff := cmp.Diff(want, strings.Split(strings.TrimSuffix(h.events.String(), "\n"), "\n")); diff != "" {
		h.t.Errorf("events (-want +got):\n%s", diff)
	}
}

// calls compares the calls of the firewall since the last look with a literal.
func (h *house) calls(want ...string) {
	h.t.Helper()
	if diff := cmp.Diff(want, h.fake.Calls()); diff != "" {
		h.t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// leases compares the leases with a literal: "192.0.2.1 22/tcp 60s closing".
func (h *house) leases(want ...string) {
	h.t.Helper()
	var got []string
	for _, l := range h.Leases() {
		s := l.Rule.String()
		if !l.Until.IsZero() {
			s += fmt.Sprintf(" %.0fs", l.Until.Sub(h.begin).Seconds())
		}
		if l.Closing {
			s += " closing"
		}
		got = append(got, s)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		h.t.Errorf("leases after %v (-want +got):\n%s", time.Since(h.begin), diff)
	}
	if h.Len() != len(want) {
		h.t.Errorf("length: got %d, want %d", h.Len(), len(want))
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		seconds  int
		openAt   int // still open then
		closedAt int // 0: never
	}{
		"one minute":       {60, 59, 60},
		"fifteen minutes":  {900, 899, 900},
		"the longest time": {254 * 60, 254*60 - 1, 254 * 60},
		"no limit":         {0, 365 * 24 * 3600, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.open(one, tt.seconds)
				h.at(tt.openAt)
				h.rules("chain\naccept 192.0.2.1 22/tcp\n")
				if h.Len() != 1 {
					t.Errorf("leases: got %d, want 1", h.Len())
				}
				if tt.closedAt == 0 {
					h.reported("0s opened 192.0.2.1 22/tcp")
					return
				}
				h.at(tt.closedAt)
				h.rules("chain\n")
				h.leases()
				h.reported(fmt.Sprintf("0s opened 192.0.2.1 22/tcp until %ds", tt.seconds),
					fmt.Sprintf("%ds expired 192.0.2.1 22/tcp", tt.closedAt))
			})
		})
	}
}

func TestRefresh(t *testing.T) {
	tests := map[string]struct {
		first, second int
		end           int // 0: never
	}{
		"longer":   {60, 120, 120},
		"shorter":  {120, 60, 60},
		"to none":  {60, 0, 0},
		"to some":  {0, 60, 60},
		"the same": {60, 60, 60},
	}
	t.Parallel()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.open(one, tt.first)
				h.at(30)
				h.fake.Flush() // by somebody else; the next knock heals it
				h.open(one, tt.second)
				h.rules("chain\naccept 192.0.2.1 22/tcp\n")
				if tt.end == 0 {
					h.at(100000)
					h.rules("chain\naccept 192.0.2.1 22/tcp\n")
					h.leases("192.0.2.1 22/tcp")
					return
				}
				h.at(tt.end - 1)
				h.rules("chain\naccept 192.0.2.1 22/tcp\n")
				h.at(tt.end)
				h.rules("chain\n")
				h.calls("add 192.0.2.1 22/tcp", "add 192.0.2.1 22/tcp", "delete 192.0.2.1 22/tcp")
			})
		})
	}
}

func TestClose(t *testing.T) {
	inHouse(t, func(h *house) {
		h.open(one, 60)
		h.open(two, 0)
		h.at(10)
		h.must(h.Close(h.t.Context(), one))
		h.rules("chain\naccept 192.0.2.2 22/tcp\n")
		h.leases("192.0.2.2 22/tcp")
		h.must(h.Close(h.t.Context(), one)) // closed already: the firewall is asked, nobody is told
		h.must(h.Close(h.t.Context(), two))
		h.at(1000)
		h.calls("add 192.0.2.1 22/tcp", "add 192.0.2.2 22/tcp",
			"delete 192.0.2.1 22/tcp", "delete 192.0.2.1 22/tcp", "delete 192.0.2.2 22/tcp")
		h.reported("0s opened 192.0.2.1 22/tcp until 60s", "0s opened 192.0.2.2 22/tcp",
			"10s closed 192.0.2.1 22/tcp", "10s closed 192.0.2.2 22/tcp")
	})
}

func TestExpiryOrder(t *testing.T) {
	inHouse(t, func(h *house) {
		h.open(one, 180)
		h.open(two, 60)
		h.open(three, 120)
		h.open(firewall.Rule{Src: two.Src, Port: 1}, 60)
		h.leases("192.0.2.1 22/tcp 180s", "192.0.2.2 1/tcp 60s", "192.0.2.2 22/tcp 60s", "192.0.2.2 80/tcp 120s")
		h.fake.Calls()
		h.at(60)
		h.calls("delete 192.0.2.2 1/tcp", "delete 192.0.2.2 22/tcp")
		h.at(120)
		h.calls("delete 192.0.2.2 80/tcp")
		h.at(180)
		h.calls("delete 192.0.2.1 22/tcp")
		h.at(100000)
		h.calls()
	})
}

func TestOpenRefuses(t *testing.T) {
	inHouse(t, func(h *house) {
		h.at(10)
		for _, end := range []int{5, 10} {
			err := h.Open(h.t.Context(), one, h.end(end))
			if want := `failed to open "192.0.2.1 22/tcp": its end`; err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("end at %d s: got error %v, want %q", end, err, want)
			}
		}
		v6 := firewall.Rule{Src: netip.MustParseAddr("2001:db8::1"), Port: 22}
		if err := h.Open(h.t.Context(), v6, h.end(60)); err == nil || err.Error() != `failed to open "2001:db8::1 22/tcp": not an IPv4 address` {
			t.Errorf("open of an IPv6 address: got error %v", err)
		}
		if err := h.Close(h.t.Context(), v6); err == nil || err.Error() != `failed to close "2001:db8::1 22/tcp": not an IPv4 address` {
			t.Errorf("close of an IPv6 address: got error %v", err)
		}
		ended, cancel := context.WithCancel(h.t.Context())
		cancel()
		if err := h.Open(ended, one, h.end(60)); !errors.Is(err, context.Canceled) {
			t.Errorf("open: got error %v, want context.Canceled", err)
		}
		if err := h.Close(ended, one); !errors.Is(err, context.Canceled) {
			t.Errorf("close: got error %v, want context.Canceled", err)
		}
		h.calls()
		h.leases()
	})
}

func TestMaxLeases(t *testing.T) {
	inHouse(t, func(h *house) {
		for i := range MaxLeases { // as if opened: to open so many takes the Fake minutes
			h.entries[firewall.Rule{Src: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Port: 22}] = &entry{}
		}
		if err := h.Open(h.t.Context(), one, h.end(60)); !errors.Is(err, ErrFull) {
			t.Errorf("one more: got error %v, want ErrFull", err)
		}
		h.calls()
		h.open(firewall.Rule{Src: netip.MustParseAddr("10.0.0.1"), Port: 22}, 60) // a refresh is none more
		h.fake.Fail(firewall.OpDelete, errBroken)
		if err := h.Close(h.t.Context(), one); !errors.Is(err, errBroken) {
			t.Errorf("close: got error %v, want %v", err, errBroken)
		}
		if h.Len() != MaxLeases {
			t.Errorf("leases: got %d, want %d", h.Len(), MaxLeases)
		}
		h.fake.Fail(firewall.OpDelete, nil)
		h.at(60) // one expires and makes room
		h.open(one, 120)
		clear(h.entries)
	})
}

func TestReportMayCallBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			m      *Manager
			events []string
		)
		m = New(firewall.NewFake(), Options{Report: func(e Event) {
			events = append(events, fmt.Sprintf("%s %s %d", e.Kind, e.Rule, m.Len()))
			if e.Rule == one {
				if err := m.Open(t.Context(), two, time.Time{}); err != nil {
					t.Error(err)
				}
			}
			events = append(events, fmt.Sprintf("end of %s", e.Rule))
		}})
		if err := m.Open(t.Context(), one, time.Time{}); err != nil {
			t.Fatal(err)
		}
		want := []string{"opened 192.0.2.1 22/tcp 1", "end of 192.0.2.1 22/tcp", "opened 192.0.2.2 22/tcp 2", "end of 192.0.2.2 22/tcp"}
		if diff := cmp.Diff(want, events); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}
