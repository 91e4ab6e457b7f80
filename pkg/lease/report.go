package lease

import (
	"cmp"
	"slices"

	"github.com/portknock/knock/pkg/firewall"
)

// Leases gives what is held, sorted by address and port. A rule that was never
// open, and of which it is only not sure that the kernel has not got it, is left
// out.
func (m *Manager) Leases() []Lease {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leases(false)
}

// Len is the number of Leases.
func (m *Manager) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, e := range m.entries {
		if e.held() {
			n++
		}
	}
	return n
}

// held tells a lease from a rule that was never open.
func (e *entry) held() bool {
	return !e.closing || e.kind != ""
}

// leases gives the leases, or all entries.
func (m *Manager) leases(all bool) []Lease {
	var list []Lease
	for r, e := range m.entries {
		if all || e.held() {
			list = append(list, Lease{Rule: r, Until: e.until, Closing: e.closing})
		}
	}
	slices.SortFunc(list, func(a, b Lease) int { return compare(a.Rule, b.Rule) })
	return list
}

// compare orders rules by address and port.
func compare(a, b firewall.Rule) int {
	return cmp.Or(a.Src.Compare(b.Src), cmp.Compare(a.Port, b.Port))
}

// tell queues an event for Report.
func (m *Manager) tell(e Event) {
	if m.report != nil {
		m.events = append(m.events, e)
	}
}

// unlock reports what has happened, in order but without holding m.mu, and
// unlocks it. Whoever comes while another reports leaves that to him.
func (m *Manager) unlock() {
	for len(m.events) > 0 && !m.delivering {
		events := m.events
		m.events, m.delivering = nil, true
		m.mu.Unlock()
		for _, e := range events {
			m.report(e)
		}
		m.mu.Lock()
		m.delivering = false
	}
	m.mu.Unlock()
}
