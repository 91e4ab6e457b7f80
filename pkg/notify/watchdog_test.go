package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A diary notes what is said to the manager and to the operator, and when.
type diary struct {
	mu    sync.Mutex
	began time.Time
	lines []string
	err   error // of each message from now on
}

func (d *diary) note(who, what string) {
	d.lines = append(d.lines, fmt.Sprintf("%v %s: %s", time.Since(d.began), who, what))
}

func (d *diary) send(state string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.note("manager", state)
	return d.err
}

func (d *diary) report(message string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.note("operator", message)
}

func (d *diary) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// want compares what was noted with a literal.
func (d *diary) want(t *testing.T, want string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if diff := cmp.Diff(want, "\n"+strings.Join(d.lines, "\n")+"\n"); diff != "" {
		t.Errorf("what was said (-want +got):\n%s", diff)
	}
}

// watch makes a manager with a watchdog of 90 s, and the diary of what it says.
func watch(t *testing.T) (*Manager, *diary) {
	t.Helper()
	d := &diary{began: time.Now()}
	return newManager(90*time.Second, d.send, d.report), d
}

// beat has a part go round every so often until ctx ends.
func beat(ctx context.Context, p *Part, every time.Duration) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
			p.Beat()
		}
	}
}

func TestWatchdogIsFed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, d := watch(t)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		defer cancel()
		lines, timers := m.Part("lines"), m.Part("timers")
		go beat(ctx, lines, 500*time.Millisecond)
		go beat(ctx, timers, 41*time.Second)
		m.Run(ctx)
		d.want(t, `
0s manager: WATCHDOG=1
22.5s manager: WATCHDOG=1
45s manager: WATCHDOG=1
1m7.5s manager: WATCHDOG=1
1m30s manager: WATCHDOG=1
`)
	})
}

// A part that hangs is told of once, and nothing feeds the watchdog as long as it does, whatever the others do.
func TestWatchdogOfLateParts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, d := watch(t)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Second)
		defer cancel()
		lines, firewall := m.Part("lines"), m.Part("firewall")
		go beat(ctx, lines, time.Second)
		go func() {
			time.Sleep(10 * time.Second)
			firewall.Beat() // the last for long
			time.Sleep(130 * time.Second)
			firewall.Beat()
		}()
		m.Run(ctx)
		d.want(t, `
0s manager: WATCHDOG=1
22.5s manager: WATCHDOG=1
45s manager: WATCHDOG=1
1m7.5s manager: WATCHDOG=1
1m30s operator: no sign of life of the part "firewall" for 1m20s: the watchdog is not fed
2m37.5s operator: the part "firewall" is alive again
2m37.5s manager: WATCHDOG=1
3m0s manager: WATCHDOG=1
`)
	})
}

// Each late part is named; one that is made late in the day has its time too.
func TestWatchdogNamesEachPart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, d := watch(t)
		ctx, cancel := context.WithTimeout(t.Context(), 130*time.Second)
		defer cancel()
		m.Part("lines")
		go func() {
			time.Sleep(50 * time.Second)
			m.Part("timers")
		}()
		m.Run(ctx)
		d.want(t, `
0s manager: WATCHDOG=1
22.5s manager: WATCHDOG=1
45s manager: WATCHDOG=1
1m7.5s operator: no sign of life of the part "lines" for 1m8s: the watchdog is not fed
1m52.5s operator: no sign of life of the part "timers" for 1m3s: the watchdog is not fed
`)
	})
}

// A manager that cannot be reached is told of once each time it gets lost.
func TestUnreachableManager(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, d := watch(t)
		d.fail(errors.New("gone"))
		m.Ready("")
		m.Stopping()
		d.fail(nil)
		m.Stopping()
		d.fail(errors.New("gone again"))
		m.Stopping()
		d.want(t, `
0s manager: READY=1
STATUS=
0s operator: failed to tell the service manager: gone
0s manager: STOPPING=1
0s manager: STOPPING=1
0s manager: STOPPING=1
0s operator: failed to tell the service manager: gone again
`)
	})
}

// Without a watchdog Run has nothing to do, and without a manager nothing has.
func TestNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &diary{began: time.Now()}
		for _, m := range []*Manager{newManager(0, d.send, d.report), newManager(0, nil, d.report)} {
			m.Part("lines").Beat()
			m.Run(t.Context())
			d.want(t, "\n\n")
		}
		m := newManager(0, nil, d.report)
		m.Ready("watching")
		m.Reloading()
		m.Status("open: 3")
		m.Stopping()
		d.want(t, "\n\n")
	})
}

func TestStatusIsOneLine(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, want string }{
		"plain":         {"3 ports are open", "STATUS=3 ports are open"},
		"newline":       {"a\nMAINPID=1", "STATUS=aMAINPID=1"},
		"NUL":           {"a\x00b", "STATUS=ab"},
		"not UTF-8":     {"a\xffb", "STATUS=ab"},
		"long":          {strings.Repeat("x", 600), "STATUS=" + strings.Repeat("x", 512)},
		"cut in a rune": {"x" + strings.Repeat("é", 300), "STATUS=x" + strings.Repeat("é", 255)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got string
			newManager(0, func(state string) error { got = state; return nil }, nil).Status(tt.text)
			if got != tt.want {
				t.Errorf("Status(%q) sends %q, want %q", tt.text, got, tt.want)
			}
		})
	}
}
