package lease

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/portknock/knock/pkg/firewall"
)

// Manager holds the leases. Its methods may be called from several goroutines.
type Manager struct {
	backend firewall.Backend
	report  func(Event)
	wake    chan struct{} // tells Run of a deadline earlier than its timer's

	// mu guards the fields below and keeps a change of the kernel and its
	// record together: it is held while the firewall is changed.
	mu      sync.Mutex
	entries map[firewall.Rule]*entry
	alarm   time.Time // when Run will look next; zero: not before it is woken
	stopped bool

	events     []Event // not yet reported
	delivering bool    // somebody is reporting
}

// entry is what is known of one rule.
type entry struct {
	until time.Time // the lease's end; zero: no limit
	due   time.Time // when something is to be done; zero: never
	seen  time.Time // when the firewall had it last, of an open rule

	// Of a rule that is to go:
	closing bool
	kind    string        // what to report when it is gone; empty: nothing
	delay   time.Duration // until the next try
	failed  bool          // a failure was reported
}

// New gives a Manager without leases. It starts nothing and leaves the firewall
// alone.
func New(b firewall.Backend, o Options) *Manager {
	return &Manager{
		backend: b,
		report:  o.Report,
		wake:    make(chan struct{}, 1),
		entries: make(map[firewall.Rule]*entry),
	}
}

// Start sets the firewall up, then takes out the rules of ours that have no
// lease: a daemon that was killed left them. Call it once, before Run.
func (m *Manager) Start(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	m.mu.Lock()
	defer m.unlock()
	err := m.backend.Setup(ctx)
	if err == nil {
		// Leases that outlive the process would be put into m.entries here.
		err = m.reconcile(ctx)
	}
	if err != nil {
		_ = m.backend.Teardown(ctx) // what was half made; err says why it will not work either
		return fmt.Errorf("failed to start with the firewall: %w", err)
	}
	return nil
}

// reconcile takes out the rules that the kernel holds without a lease.
func (m *Manager) reconcile(ctx context.Context) error {
	rules, err := m.backend.List(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(rules, compare)
	for _, r := range slices.Compact(rules) {
		if m.entries[r] == nil {
			_ = m.remove(ctx, r, &entry{kind: Stale}) // reported, and tried again
		}
	}
	return nil
}

// Open puts r into the firewall until the given time; a zero time sets no
// limit. Make until from time.Now, with its monotonic reading: then a clock that
// is set does not move the end. A rule that is open gets the new end, and is put
// in again should somebody have flushed it, for which the firewall is looked at
// twice a second at most.
//
// After an error nothing has changed: a lease that was there keeps its end, and
// one that was not does not exist. The firewall may have taken the rule all the
// same, so it is then told to delete it until it has. The error wraps ErrStopped
// or ErrFull, or is the firewall's; no Event tells of it. A ctx that ends does
// not stop a change half way.
func (m *Manager) Open(ctx context.Context, r firewall.Rule, until time.Time) error {
	m.mu.Lock()
	defer m.unlock()
	e := m.entries[r]
	switch {
	case m.stopped:
		return ErrStopped
	case ctx.Err() != nil:
		return ctx.Err()
	case !r.Src.Is4():
		return fmt.Errorf("failed to open %q: not an IPv4 address", r)
	case !until.IsZero() && !until.After(time.Now()):
		return fmt.Errorf("failed to open %q: its end %s has passed", r, until.Format(time.RFC3339))
	case e == nil && len(m.entries) >= MaxLeases:
		return fmt.Errorf("%w: %d are held", ErrFull, MaxLeases)
	}
	kind, seen := Opened, time.Time{}
	if e != nil && !e.closing {
		kind, seen = Refreshed, e.seen
	}
	if time.Since(seen) >= checkEvery {
		if err := m.backend.Add(context.WithoutCancel(ctx), r); err != nil {
			if e == nil {
				m.retry(r, &entry{})
			}
			return fmt.Errorf("failed to open %q: %w", r, err)
		}
		seen = time.Now()
	}
	m.schedule(r, &entry{until: until, due: until, seen: seen})
	m.tell(Event{Kind: kind, Rule: r, Until: until})
	return nil
}

// Close takes r out of the firewall. Without a lease the firewall is asked all
// the same, and that is no error. The error wraps ErrStopped or is the
// firewall's: then a Failed event tells of it as well, and the deletion is tried
// again until it works. A ctx that ends does not stop a change half way.
func (m *Manager) Close(ctx context.Context, r firewall.Rule) error {
	m.mu.Lock()
	defer m.unlock()
	if m.stopped {
		return ErrStopped
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if !r.Src.Is4() { // no try would ever work
		return fmt.Errorf("failed to close %q: not an IPv4 address", r)
	}
	e := m.entries[r]
	if e == nil {
		e = &entry{}
	} else if !e.closing {
		e.kind = Closed
	}
	if err := m.remove(context.WithoutCancel(ctx), r, e); err != nil {
		return fmt.Errorf("failed to close %q: %w", r, err)
	}
	return nil
}

// remove deletes r, of which e is known, and tries again later if that fails.
func (m *Manager) remove(ctx context.Context, r firewall.Rule, e *entry) error {
	err := m.backend.Delete(ctx, r)
	if err == nil {
		m.gone(r, e)
		return nil
	}
	if !e.failed {
		e.failed = true
		e.kind = cmp.Or(e.kind, Closed) // who heard that it failed hears that it worked
		m.tell(Event{Kind: Failed, Rule: r, Err: err})
	}
	m.retry(r, e)
	return err
}

// gone forgets a rule that was taken out, and reports it if e says as what.
func (m *Manager) gone(r firewall.Rule, e *entry) {
	delete(m.entries, r)
	if e.kind != "" {
		m.tell(Event{Kind: e.kind, Rule: r})
	}
}

// retry records that r has to go, and when that is tried next. Above the limit
// it forgets a rule that it had not recorded: the next Start finds it.
func (m *Manager) retry(r firewall.Rule, e *entry) {
	if m.entries[r] == nil && len(m.entries) >= MaxLeases {
		return
	}
	e.closing = true
	e.delay = min(max(firstDelay, 2*e.delay), lastDelay)
	e.due = time.Now().Add(e.delay)
	m.schedule(r, e)
}

// schedule records e and wakes Run if it would look too late.
func (m *Manager) schedule(r firewall.Rule, e *entry) {
	m.entries[r] = e
	if e.due.IsZero() || !m.alarm.IsZero() && !e.due.Before(m.alarm) {
		return
	}
	select {
	case m.wake <- struct{}{}:
	default: // it is to wake up already
	}
}
