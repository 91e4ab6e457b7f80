package lease

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// stop ends it all. What was asked for and not yet taken up goes into the journal
// first. Then everything is taken out at once, which is tried for a while: another
// program may be holding the firewall's lock. If it does not work, each rule is
// tried by itself.
func (m *Manager) stop(ctx context.Context) error {
	m.update(func() { m.stopped = true })
	now := m.look()
	m.take(now, true)
	m.unsaved = true
	m.keep(now)
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	if m.options.Keep {
		return m.finish(ctx)
	}
	began := time.Now()
	err := m.backend.Teardown(ctx)
	for err != nil && time.Since(began) < stopRetry {
		time.Sleep(firstDelay)
		err = m.backend.Teardown(ctx)
	}
	if err == nil {
		kept := 0
		if m.options.Journal != "" {
			kept = len(m.record(now, nil).Leases)
		}
		m.note(fmt.Sprintf("rules removed, leases kept for the next start: %d", kept), nil)
		return nil
	}
	errs := []error{err}
	left := 0
	for _, r := range m.sorted() {
		switch {
		case m.entries[r].silent:
		case ctx.Err() != nil:
			left++
		default:
			if err := m.backend.Delete(ctx, r); err != nil && left < fewTasks {
				errs = append(errs, err)
				m.report(Left, r, nil, err)
			} else if err != nil {
				left++
			}
		}
	}
	if left > 0 {
		errs = append(errs, fmt.Errorf("and %d more rules may be left", left))
	}
	return fmt.Errorf("failed to leave the firewall as it was: %w", errors.Join(errs...))
}

// finish does what is still to be done, once, and leaves the rest as it is.
func (m *Manager) finish(ctx context.Context) error {
	err := m.compare(ctx)
	if err != nil {
		return fmt.Errorf("failed to leave the firewall as the leases say: %w", err)
	}
	m.note(fmt.Sprintf("rules left in the firewall: %d", len(m.wanted())), nil)
	return nil
}
