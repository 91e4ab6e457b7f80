package lease

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/journal"
)

// take takes up the requests whose turn it is, or all, and tells when the next
// one's is. They go into the journal together, and only then does anything become
// of them: if it cannot be written, what would open is refused, and what closes
// is not.
func (m *Manager) take(now journal.Instant, all bool) (next time.Duration) {
	ready, next := m.ready(now, all)
	if len(ready) == 0 {
		return next
	}
	if err := m.saveChange(now, ready); err != nil {
		m.refuse(ready, now, err)
		m.writeWithoutOpens(now, ready)
	}
	m.update(func() {
		for r, q := range ready {
			m.apply(r, q, now)
		}
	})
	for r := range ready {
		m.done(r, ready)
	}
	return next
}

// ready gives the requests whose turn it is, or all, and when the next one's is.
func (m *Manager) ready(now journal.Instant, all bool) (map[firewall.Rule]request, time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ready, next := make(map[firewall.Rule]request), time.Duration(math.MaxInt64)
	for r, q := range m.requests {
		if e := m.entries[r]; e != nil && e.next() > now.Boot && !all {
			next = min(next, e.next())
			continue
		}
		ready[r] = q
	}
	return ready, next
}

// refuse drops what would open something. That counts as a change, so that it is
// not tried and told as often as somebody can ask.
func (m *Manager) refuse(ready map[firewall.Rule]request, now journal.Instant, err error) {
	for _, r := range m.opens(ready) {
		refused := ready[r]
		m.done(r, ready)
		for other, q := range ready {
			if q.room == r {
				m.done(other, ready) // it stays open
			}
		}
		m.update(func() {
			if m.entries[r] == nil {
				m.entries[r] = &entry{}
			}
			m.entries[r].pace(now)
		})
		m.report(Refused, r, &entry{request: refused}, err) // now that it no longer waits, for who looks
	}
}

// opens gives the rules of those in ready that would open something, sorted.
func (m *Manager) opens(ready map[firewall.Rule]request) []firewall.Rule {
	var rules []firewall.Rule
	for r, q := range ready {
		if q.open {
			rules = append(rules, r)
		}
	}
	slices.SortFunc(rules, firewall.Rule.Compare)
	return rules
}

// done drops the request of r, unless another has come, from m and from ready.
func (m *Manager) done(r firewall.Rule, ready map[firewall.Rule]request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.requests[r] == ready[r] {
		delete(m.requests, r)
	}
	delete(ready, r)
}

// apply makes an entry of a request; m.mu is held.
func (m *Manager) apply(r firewall.Rule, q request, now journal.Instant) {
	e := m.entries[r]
	if e == nil {
		e = &entry{}
		m.entries[r] = e
	}
	switch {
	case q.open && e.open && e.kind != Opened:
		e.kind = Refreshed
	case q.open:
		e.kind = Opened
	case e.open:
		e.kind = Closed
	}
	todo := &task{due: now.Boot}
	if e.todo != nil { // it did not work so far: that was told, and need not be told again
		todo.delay, todo.failed = e.todo.delay, e.todo.failed
	}
	e.request, e.until, e.todo = q, time.Time{}, todo
	e.pace(now)
}

// saveChange writes the journal as it will be with the requests in ready, if they make
// a difference. The error is that of the writing.
func (m *Manager) saveChange(now journal.Instant, ready map[firewall.Rule]request) error {
	if len(m.opens(ready)) == 0 && !m.closes(ready) {
		return nil
	}
	return m.save(now, ready)
}

// writeWithoutOpens writes the journal again after a failure: what was refused may
// stand in it, and what is to be closed does. If that fails too, a journal that is
// not there is better than one that would open a port again; and to remove it makes
// room on a full disk.
func (m *Manager) writeWithoutOpens(now journal.Instant, ready map[firewall.Rule]request) {
	m.unsaved = true
	if m.save(now, ready) == nil || !m.closes(ready) {
		return
	}
	if err := fileOf(m.options.Journal).Remove(); err != nil {
		m.note("a port that is to be closed is still in the journal: if the daemon is killed now, it opens again at the next start", err)
		return
	}
	_ = m.save(now, ready) // tried again by keep
}

// closes tells whether something in ready closes what is open.
func (m *Manager) closes(ready map[firewall.Rule]request) bool {
	for r, q := range ready {
		if e := m.entries[r]; !q.open && e != nil && e.open {
			return true
		}
	}
	return false
}

// keep writes the journal again if it does not say what it should, or so that it
// says how long is left of what has an end: not after each change, which has just
// been written, but more often than [saved.left] takes for granted.
func (m *Manager) keep(now journal.Instant) {
	limited := func() bool {
		for _, e := range m.entries {
			if e.open && e.end != 0 {
				return true
			}
		}
		return false
	}
	if m.unsaved || now.Boot-m.saved >= syncEvery/2 && limited() {
		_ = m.save(now, nil) // reported; tried again in half a minute
	}
}

// save writes the leases, as they will be with the requests in ready, and tells
// once when that fails and when it works again.
func (m *Manager) save(now journal.Instant, ready map[firewall.Rule]request) error {
	if m.options.Journal == "" {
		return nil
	}
	err := m.write(m.record(now, ready))
	switch {
	case err != nil && !m.deaf:
		m.note("the journal cannot be written: no port is opened until it can", err)
	case err == nil && m.deaf:
		m.note("the journal can be written again", nil)
	}
	if err == nil {
		m.saved = now.Boot
	}
	m.deaf, m.unsaved = err != nil, m.unsaved && err != nil
	return err
}

// record is what the journal is to hold.
func (m *Manager) record(now journal.Instant, ready map[firewall.Rule]request) record {
	r := record{Saved: now.Wall.UTC(), Boot: m.boot}
	add := func(rule firewall.Rule, q request, until time.Time) {
		if !q.open || q.end != 0 && q.end <= now.Boot {
			return
		}
		s := savedOf(rule, q.silent, q.by)
		if q.end != 0 {
			s.Until, s.End, s.Left = until, q.end, q.end-now.Boot
			if until.IsZero() {
				s.Until = now.WallAt(q.end).UTC()
			}
		}
		r.Leases = append(r.Leases, s)
	}
	for rule, e := range m.entries {
		if _, ok := ready[rule]; !ok {
			add(rule, e.request, e.until)
		}
	}
	for rule, q := range ready {
		add(rule, q, time.Time{})
	}
	slices.SortFunc(r.Leases, func(a, b saved) int {
		ra, _ := a.rule()
		rb, _ := b.rule()
		return ra.Compare(rb)
	})
	return r
}

// publishBans tells Banned and Ignored which bans there are.
func (m *Manager) publishBans() {
	bans := make(map[netip.Addr]bool)
	for r, e := range m.entries {
		if r.Action == firewall.Drop && e.open {
			bans[r.Src] = e.silent
		}
	}
	m.bans.Store(&bans)
}
