package lease

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/journal"
)

var (
	ip1 = netip.MustParseAddr("192.0.2.1")
	ip2 = netip.MustParseAddr("192.0.2.2")

	one = firewall.Rule{Src: ip1, Port: 22}
	two = firewall.Rule{Src: ip2, Port: 22}

	dns   = firewall.Rule{Src: ip1, Port: 53, Proto: firewall.UDP}
	inner = firewall.Rule{Src: ip2, Port: 2222, Action: firewall.Forward, To: netip.MustParseAddrPort("10.0.0.5:22")}

	errBroken = errors.New("broken")
)

// house is a Manager that runs on a Fake, with a journal, inside a synctest
// bubble. It can be left by a Manager that is killed, and entered by another.
type house struct {
	*Manager
	t       *testing.T
	fake    *firewall.Fake
	options Options
	begin   time.Time
	set     atomic.Int64 // nanoseconds by which the wall clock was set
	boot    atomic.Int64 // nanoseconds that the boot clock had at the begin
	bootID  string
	write   func(record) error // in place of the journal, if not nil
	backend firewall.Backend   // in place of fake, if not nil
	mu      sync.Mutex
	events  strings.Builder // guarded by mu
	cancel  context.CancelFunc
	done    chan error
}

// inHouse runs test in a bubble, with a Manager that has started and runs.
func inHouse(t *testing.T, test func(*house)) {
	t.Parallel()
	inHouseOf(t, func(*house) {}, test)
}

// inHouseOf is inHouse with something to be made ready before the start.
func inHouseOf(t *testing.T, ready, test func(*house)) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		ready(h)
		h.start()
		test(h)
		h.kill()
	})
}

func newHouse(t *testing.T) *house {
	h := &house{t: t, fake: firewall.NewFake(), begin: time.Now(), bootID: "first"}
	h.boot.Store(int64(100 * time.Second))
	h.options = Options{
		Journal: filepath.Join(t.TempDir(), "leases"),
		Report:  h.report,
		Repaired: func(c firewall.Changes) {
			h.say("repaired removed %v restored %v unknown %d healed %t", c.Removed, c.Restored, c.Unknown, c.Healed)
		},
		Note: func(msg string, err error) {
			if err != nil {
				msg += ": " + err.Error()
			}
			h.say("note %s", strings.ReplaceAll(msg, filepath.Dir(h.options.Journal), "DIR"))
		},
		Clock: func() journal.Instant {
			up := time.Since(h.begin)
			return journal.Instant{Wall: h.begin.Add(up + time.Duration(h.set.Load())), Boot: time.Duration(h.boot.Load()) + up}
		},
	}
	return h
}

// start begins with what the fake and the journal hold.
func (h *house) start() {
	h.t.Helper()
	var backend firewall.Backend = h.fake
	if h.backend != nil {
		backend = h.backend
	}
	h.Manager = New(backend, h.options)
	h.Manager.boot = h.bootID
	if h.write != nil {
		h.Manager.write = h.write
	}
	if err := h.Start(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel, h.done = cancel, make(chan error, 1)
	go func() { h.done <- h.Run(ctx) }()
	synctest.Wait()
	h.fake.Calls()
}

// reboot loses the firewall and the boot's clock.
func (h *house) reboot() {
	h.bootID += "+"
	h.boot.Store(int64(10*time.Second - time.Since(h.begin)))
	h.fake.Flush()
}

// kill ends the Manager as kill -9 does: nothing that it does from now on reaches
// the firewall or the journal.
func (h *house) kill() {
	h.t.Helper()
	h.Manager.backend = firewall.NewFake()
	h.Manager.options = Options{Keep: true}
	h.cancel()
	if err := <-h.done; err != nil {
		h.t.Error(err)
	}
}

func (h *house) say(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fmt.Fprintf(&h.events, "%.0fs ", time.Since(h.begin).Seconds())
	fmt.Fprintf(&h.events, format+"\n", args...)
}

// report writes an event as "60s expired 192.0.2.1 22/tcp".
func (h *house) report(e Event) {
	text := e.Kind + " " + e.Rule.String()
	if !e.Until.IsZero() {
		text += fmt.Sprintf(" until %.0fs", e.Until.Sub(h.begin).Seconds())
	}
	if e.Err != nil {
		text += ": " + strings.ReplaceAll(e.Err.Error(), filepath.Dir(h.options.Journal), "DIR")
	}
	h.say("%s", text)
}

// at waits until so many seconds after the begin, and for all that happens then.
func (h *house) at(seconds float64) {
	h.t.Helper()
	time.Sleep(time.Until(h.begin.Add(time.Duration(seconds * float64(time.Second)))))
	synctest.Wait()
}

// port22 is the rule that lets ip in at port 22.
func port22(ip netip.Addr) firewall.Rule { return firewall.Rule{Src: ip, Port: 22} }

// alice is who knocks in these tests.
var alice = By{Who: "key alice", From: netip.MustParseAddr("198.51.100.9")}

// open opens port 22 to ip for so many seconds; 0: no limit.
func (h *house) open(ip netip.Addr, seconds int) {
	h.t.Helper()
	h.must(h.Open(port22(ip), time.Duration(seconds)*time.Second, alice))
	synctest.Wait()
}

func (h *house) close(ip netip.Addr) {
	h.t.Helper()
	h.must(h.Close(port22(ip), By{}))
	synctest.Wait()
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

var stamp = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// rules compares all that the firewall holds with a literal, in which the ends are
// seconds since the begin: "chain\naccept 192.0.2.1 22/tcp until 60\n".
func (h *house) rules(want string) {
	h.t.Helper()
	got := stamp.ReplaceAllStringFunc(h.fake.Dump(), func(s string) string {
		at, err := time.Parse(time.RFC3339, s)
		h.must(err)
		return fmt.Sprintf("%.0f", at.Sub(h.begin).Seconds())
	})
	if diff := cmp.Diff(want, got); diff != "" {
		h.t.Errorf("firewall after %v (-want +got):\n%s", time.Since(h.begin), diff)
	}
}

// told gives all events since the last look.
func (h *house) told() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.events.Reset()
	return h.events.String()
}

// reported compares all events since the last look with a literal, one a line.
func (h *house) reported(want ...string) {
	h.t.Helper()
	var got []string
	if text := h.told(); text != "" {
		got = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		h.t.Errorf("events (-want +got):\n%s", diff)
	}
}

// calls compares the calls of the firewall since the last look with a literal.
func (h *house) calls(want ...string) {
	h.t.Helper()
	if diff := cmp.Diff(want, h.fake.Calls()); diff != "" {
		h.t.Errorf("calls after %v (-want +got):\n%s", time.Since(h.begin), diff)
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
		if l.Waiting {
			s += " waiting"
		}
		if l.Closing {
			s += " closing"
		}
		got = append(got, s)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		h.t.Errorf("leases after %v (-want +got):\n%s", time.Since(h.begin), diff)
	}
}
