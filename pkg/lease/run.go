package lease

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/journal"
)

// Run does what was asked for, ends each lease at its time and compares the
// firewall with the leases every 30 s, until ctx ends. Then it takes all that is
// ours out of the firewall, unless Keep says otherwise; the journal keeps what
// has not ended. It returns nil, or the error of that last step.
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
		wait := time.Duration(0)
		for wait == 0 && ctx.Err() == nil {
			wait = m.step(ctx)
			if m.options.Beat != nil {
				m.options.Beat()
			}
		}
		timer.Reset(wait)
	}
}

// step does what is due first, and tells how long there is nothing to do. It does
// one thing at a time, so that no change of the firewall that fails or hangs
// keeps another one back for longer than itself; but if there is much to do, the
// firewall is made to agree at one stroke. Only that can be cut by the end of ctx,
// between two changes.
func (m *Manager) step(ctx context.Context) time.Duration {
	now := m.look()
	next := m.take(now, false)
	r, e, due := m.first()
	switch {
	case m.sync.due <= now.Boot && (e == nil || m.sync.due <= due), m.sync.delay == 0 && m.countDue(now) > fewTasks:
		m.reconcile(ctx)
		return 0
	case e != nil && due <= now.Boot:
		m.act(context.WithoutCancel(ctx), r, e, now)
		return 0
	case e != nil:
		next = min(next, due)
	}
	return max(min(next, m.sync.due, now.Boot+tick)-now.Boot, time.Nanosecond)
}

// first gives the entry with which something is to be done first, and when; nil
// if there is none.
func (m *Manager) first() (rule firewall.Rule, first *entry, due time.Duration) {
	for r, e := range m.entries {
		at, ok := e.due()
		if ok && (first == nil || cmp.Or(cmp.Compare(at, due), r.Compare(rule)) < 0) {
			rule, first, due = r, e, at
		}
	}
	return rule, first, due
}

// due is when something is to be done with e, if ever: a change of the firewall,
// its end, or to forget it.
func (e *entry) due() (time.Duration, bool) {
	switch {
	case e.todo != nil && e.open && e.end != 0:
		return min(e.todo.due, e.end), true
	case e.todo != nil:
		return e.todo.due, true
	case e.open:
		return e.end, e.end != 0
	default:
		return e.paced, true
	}
}

// countDue counts the changes of the firewall that are due.
func (m *Manager) countDue(now journal.Instant) (n int) {
	for _, e := range m.entries {
		if at, ok := e.due(); ok && at <= now.Boot && (e.open || e.todo != nil) && !e.silent {
			n++
		}
	}
	return n
}

// end turns the leases that have ended into rules that are to go.
func (m *Manager) end(now journal.Instant) {
	m.update(func() {
		for _, e := range m.entries {
			e.expire(now)
		}
	})
}

// expire makes e a rule that is to go if it has ended.
func (e *entry) expire(now journal.Instant) {
	if e.open && e.end != 0 && e.end <= now.Boot {
		e.open, e.todo, e.kind = false, &task{due: now.Boot}, Expired
	}
}

// act does what is due with e.
func (m *Manager) act(ctx context.Context, r firewall.Rule, e *entry, now journal.Instant) {
	if e.todo == nil && !e.open {
		m.forget(now)
		return
	}
	m.update(func() { e.expire(now) })
	var err error
	switch {
	case e.silent && !e.dropped:
	case e.open && !e.silent:
		err = m.backend.Add(ctx, m.inFirewall(r, e))
		if err == nil && m.sync.delay == 0 {
			m.sync.due = now.Boot // somebody may have flushed the others
		}
	default:
		err = m.backend.Delete(ctx, r)
	}
	if err != nil {
		m.failed(r, e, err)
		return
	}
	m.settled(r, e)
}

// failed puts the task of e off, and reports the first time.
func (m *Manager) failed(r firewall.Rule, e *entry, err error) {
	e.todo.retry(m.clock().Boot)
	if e.todo.failed {
		return
	}
	e.todo.failed = true
	kind := OpenFailed
	if !e.open {
		kind = CloseFailed
		m.update(func() { e.kind = cmp.Or(e.kind, Closed) }) // who heard that it failed hears that it worked
	}
	m.report(kind, r, e, err)
}

// settled records that the firewall is as e says.
func (m *Manager) settled(r firewall.Rule, e *entry) {
	kind := e.kind
	m.update(func() { e.todo, e.kind, e.dropped = nil, "", r.Action == firewall.Drop && e.open && !e.silent })
	if r.Action == firewall.Drop {
		m.publishBans()
	}
	if kind != "" {
		m.report(kind, r, e, nil)
	}
}

// reconcile compares the firewall with the leases. When that has worked, nothing
// is left to be done.
func (m *Manager) reconcile(ctx context.Context) {
	err := m.compare(ctx)
	if err != nil && ctx.Err() != nil {
		return // it was cut short, between two changes
	}
	now := m.look()
	if err != nil {
		if !m.sync.failed {
			m.note("failed to compare the firewall with the open ports, trying again", err)
		}
		m.sync.retry(now.Boot)
		m.sync.failed = true
	} else {
		if m.sync.failed {
			m.note("the firewall works again", nil)
		}
		m.sync = task{due: now.Boot + syncEvery}
		for _, r := range m.sorted() {
			if e := m.entries[r]; e.todo != nil && !e.silent {
				m.settled(r, e)
			}
		}
	}
	m.keep(now)
}

// update changes entries.
func (m *Manager) update(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// forget drops the entries of which nothing is left.
func (m *Manager) forget(now journal.Instant) {
	m.update(func() {
		maps.DeleteFunc(m.entries, func(_ firewall.Rule, e *entry) bool {
			due, ok := e.due()
			return ok && due <= now.Boot && !e.open && e.todo == nil
		})
	})
}

// sorted gives the rules of all entries.
func (m *Manager) sorted() []firewall.Rule {
	rules := make([]firewall.Rule, 0, len(m.entries))
	for r := range m.entries {
		rules = append(rules, r)
	}
	slices.SortFunc(rules, firewall.Rule.Compare)
	return rules
}
