package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portknock/knock/pkg/firewall"
)

// Run ends each lease at its time, and blocks until ctx ends. Then it takes all
// that is ours out of the firewall, and Open and Close are refused from there
// on. It returns nil, or the error of that last step.
func (m *Manager) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return m.stop(context.WithoutCancel(ctx))
		case <-m.wake:
		case <-timer.C:
		}
		if next := m.expire(ctx); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
	}
}

// expire does what is due first, if that is due already, and tells when to come
// again; zero: never. It does one thing at a time, so that nobody who wants a
// port opened waits behind a firewall that is slow to close many.
func (m *Manager) expire(ctx context.Context) time.Time {
	m.mu.Lock()
	defer m.unlock()
	if r, e := m.earliest(); e != nil && !e.due.After(time.Now()) {
		if !e.closing {
			e.kind = Expired
		}
		_ = m.remove(context.WithoutCancel(ctx), r, e) // reported, and tried again
	}
	m.alarm = time.Time{}
	if _, e := m.earliest(); e != nil {
		m.alarm = e.due
	}
	return m.alarm
}

// earliest gives the rule with which something is to be done first, or nil.
func (m *Manager) earliest() (firewall.Rule, *entry) {
	var (
		rule  firewall.Rule
		first *entry
	)
	for r, e := range m.entries {
		if e.due.IsZero() {
			continue
		}
		if first == nil || cmp.Or(e.due.Compare(first.due), compare(r, rule)) < 0 {
			rule, first = r, e
		}
	}
	return rule, first
}

// stop takes everything out at once, and tries that for a while: another program
// may be holding the firewall's lock. If it does not work, each rule is tried by
// itself.
func (m *Manager) stop(ctx context.Context) error {
	m.mu.Lock()
	defer m.unlock()
	m.stopped = true
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	began := time.Now()
	terr := m.backend.Teardown(ctx)
	for terr != nil && time.Since(began) < stopRetry {
		time.Sleep(firstDelay)
		terr = m.backend.Teardown(ctx)
	}
	errs := []error{terr}
	for _, l := range m.leases(true) {
		e := m.entries[l.Rule]
		if !e.closing {
			e.kind = Closed
		}
		if terr != nil {
			if err := m.backend.Delete(ctx, l.Rule); err != nil {
				errs = append(errs, err)
				m.tell(Event{Kind: Left, Rule: l.Rule, Err: err})
				continue
			}
		}
		m.gone(l.Rule, e)
	}
	if terr == nil {
		return nil
	}
	return fmt.Errorf("failed to leave the firewall as it was: %w", errors.Join(errs...))
}
