package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/portknock/knock/pkg/firewall"
)

// Start reads the journal, sets the firewall up, and makes it agree: leases that
// have not ended are restored, and rules of ours without one go. A journal that
// cannot be read is set aside; then every rule goes. A firewall that does not
// work is tried again for half a minute, unless it never will for want of a
// privilege. Call Start once, before Run.
func (m *Manager) Start(ctx context.Context) error {
	m.base = m.clock()
	if m.options.Journal != "" {
		if err := m.restore(); err != nil {
			return err
		}
	}
	began := time.Now()
	err := m.setUp(ctx)
	for err != nil && ctx.Err() == nil && !errors.Is(err, firewall.ErrNotPermitted) && time.Since(began) < startLimit {
		if m.sync.delay == 0 {
			m.note("the firewall does not work yet, trying again", err)
		}
		m.sync.retry(0)
		select {
		case <-ctx.Done():
		case <-time.After(min(m.sync.delay, startLimit-time.Since(began))):
			err = m.setUp(ctx)
		}
	}
	if err != nil {
		_ = m.backend.Teardown(context.WithoutCancel(ctx)) // what was half made; err says why it will not work either
		return fmt.Errorf("failed to start with the firewall: %w", err)
	}
	m.sync = task{due: m.clock().Boot + syncEvery}
	return nil
}

func (m *Manager) setUp(ctx context.Context) error {
	if err := m.backend.Setup(ctx); err != nil {
		return err
	}
	return m.compare(ctx)
}

// restore takes up the leases of the journal that have not ended.
func (m *Manager) restore() error {
	r, aside, err := fileOf(m.options.Journal).Load()
	if aside != "" {
		m.note(fmt.Sprintf("the journal %q cannot be used and is now %q: no port is open", m.options.Journal, aside), err)
		return nil
	}
	if err != nil {
		return err
	}
	ended := 0
	for _, s := range r.Leases {
		if !m.restoreOne(s, r) {
			ended++
		}
	}
	m.unsaved = true // the times in it are another boot's, perhaps
	m.keep(m.base)
	if m.deaf && !r.believable(m.base, m.boot) {
		ended += m.dropLimited()
	}
	if len(r.Leases) > 0 {
		m.note(fmt.Sprintf("leases restored: %d, ended meanwhile: %d", len(m.entries), ended), nil)
	}
	m.publishBans()
	return nil
}

// restoreOne takes up a lease of r, unless it has ended.
func (m *Manager) restoreOne(s saved, r record) bool {
	e := &entry{request: request{open: true, by: By{s.By, s.From}}}
	rule, silent := s.rule()
	e.silent = silent || rule.Action == firewall.Drop && m.options.NoDrops
	e.dropped = rule.Action == firewall.Drop && !e.silent
	if s.End != 0 {
		left := s.left(r, m.base, m.boot)
		if left <= 0 {
			return false
		}
		e.end = m.base.Boot + left
		if !r.of(m.boot) {
			e.until = s.Until
		}
	}
	m.entries[rule] = e
	return true
}

// dropLimited gives up what has an end, when no clock tells how long it has been
// open and no journal will tell the next boot.
func (m *Manager) dropLimited() (n int) {
	for r, e := range m.entries {
		if e.end != 0 {
			delete(m.entries, r)
			n++
		}
	}
	return n
}

// compare has the firewall hold the leases and nothing else of ours. What has
// ended by now is no lease any more.
func (m *Manager) compare(ctx context.Context) error {
	m.end(m.clock())
	changes, err := m.backend.Sync(ctx, m.wanted())
	changes = m.unexpected(changes)
	if m.options.Repaired != nil && (changes.Healed || changes.Unknown+len(changes.Removed)+len(changes.Restored) > 0) {
		m.options.Repaired(changes)
	}
	return err
}

// wanted is what the firewall is to hold.
func (m *Manager) wanted() []firewall.Entry {
	var list []firewall.Entry
	for r, e := range m.entries {
		if e.open && !e.silent {
			list = append(list, m.inFirewall(r, e))
		}
	}
	slices.SortFunc(list, func(a, b firewall.Entry) int { return a.Rule.Compare(b.Rule) })
	return list
}

// inFirewall is a lease as the firewall holds it.
func (m *Manager) inFirewall(r firewall.Rule, e *entry) firewall.Entry {
	f := firewall.Entry{Rule: r}
	if e.end != 0 {
		f.End = m.base.WallAt(e.end)
	}
	return f
}

// unexpected leaves out of changes what was still to be done.
func (m *Manager) unexpected(c firewall.Changes) firewall.Changes {
	pending := func(r firewall.Rule) bool { e := m.entries[r]; return e != nil && e.todo != nil }
	c.Removed = slices.DeleteFunc(c.Removed, pending)
	c.Restored = slices.DeleteFunc(c.Restored, pending)
	return c
}
