package notify

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Part is a part of the daemon that must go round for the daemon to be of use.
type Part struct {
	name string
	m    *Manager
	last atomic.Int64 // the last beat, in ns since the manager's start
	late bool         // Run's own
}

// Part makes a part. From then on it must beat: at most two thirds of the
// manager's interval (WatchdogSec=) may lie between two beats.
func (m *Manager) Part(name string) *Part {
	p := &Part{name: name, m: m}
	p.Beat()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.parts = append(m.parts, p)
	return p
}

// Beat says that the part has gone round once more. It never waits, and costs as
// much as a look at the clock.
func (p *Part) Beat() { p.last.Store(int64(time.Since(p.m.start))) }

// silent is how long ago the last beat was.
func (p *Part) silent() time.Duration {
	return time.Since(p.m.start) - time.Duration(p.last.Load())
}

// Run feeds the manager's watchdog until ctx ends, as long as no part is late.
// It returns at once if there is no watchdog.
//
// It feeds four times an interval, so that two lost in a row do no harm. A part
// is late after two thirds of an interval: with the 90 s of our unit that is
// 60 s, more than a part takes that waits 30 s and then has an iptables killed
// that hangs. A part that hangs for good ends the daemon after one and two thirds
// of an interval, 150 s; one that comes to life before does not.
func (m *Manager) Run(ctx context.Context) {
	if m.interval <= 0 {
		return
	}
	ticker := time.NewTicker(m.interval / 4)
	defer ticker.Stop()
	for ctx.Err() == nil {
		if m.allAlive(m.interval * 2 / 3) {
			m.tell(daemon.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// allAlive tells whether no part has been silent for longer than limit, and
// reports those for which the answer has changed.
func (m *Manager) allAlive(limit time.Duration) bool {
	m.mu.Lock()
	parts := m.parts
	m.mu.Unlock()
	alive := true
	for _, p := range parts {
		silent := p.silent()
		late := silent > limit
		switch {
		case late && !p.late:
			m.report(fmt.Sprintf("no sign of life of the part %q for %v: the watchdog is not fed", p.name, silent.Round(time.Second)))
		case !late && p.late:
			m.report(fmt.Sprintf("the part %q is alive again", p.name))
		}
		p.late = late
		alive = alive && !late
	}
	return alive
}
