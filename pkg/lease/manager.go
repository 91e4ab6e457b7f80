package lease

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/journal"
)

// Manager holds the leases. Its methods may be called from several goroutines,
// but Start once, and Run after it.
type Manager struct {
	backend firewall.Backend
	options Options
	clock   func() journal.Instant
	write   func(record) error                  // the journal
	boot    string                              // which boot this is
	wake    chan struct{}                       // tells Run of a request
	bans    atomic.Pointer[map[netip.Addr]bool] // true: the firewall does not know

	// mu guards requests and stopped. Entries are changed by Run under mu, so
	// that Run reads them without, and everybody else with it.
	mu       sync.Mutex
	requests map[firewall.Rule]request
	entries  map[firewall.Rule]*entry
	stopped  bool

	// The rest is Run's alone.
	base    journal.Instant // what the wall clock is worked out from
	sync    task            // the next comparison with the firewall
	saved   time.Duration   // when the journal was written last, since boot
	unsaved bool            // the journal does not say what it should
	deaf    bool            // the journal cannot be written, which was reported
}

// request is a change that somebody wants, the last one of its rule.
type request struct {
	open   bool
	end    time.Duration // since boot; 0: no limit
	silent bool          // a ban that the firewall is not told of
	by     By
	room   firewall.Rule // what is opened in its place, if it closes for that
}

// entry is what is known of one rule.
type entry struct {
	request
	until   time.Time     // of one restored in another boot: its end by the wall clock, were that right
	paced   time.Duration // when its changes so far would end, made one every changeEvery; since boot
	todo    *task         // nil: the firewall is as it should be
	dropped bool          // the firewall was told of this ban
	kind    string        // what to report when that is so; empty: nothing
}

// pace counts a change at now.
func (e *entry) pace(now journal.Instant) { e.paced = max(e.paced, now.Boot) + changeEvery }

// next is when e may change again, since boot.
func (e *entry) next() time.Duration { return e.paced - changeBurst*changeEvery }

// task is something to be done, and done again until it works.
type task struct {
	due    time.Duration // since boot
	delay  time.Duration // until the next try
	failed bool          // that it does not work was reported
}

// retry puts t off.
func (t *task) retry(now time.Duration) {
	t.delay = min(max(firstDelay, 2*t.delay), lastDelay)
	t.due = now + t.delay
}

// New gives a Manager without leases. It starts nothing and leaves the firewall
// and the journal alone.
func New(b firewall.Backend, o Options) *Manager {
	clock := o.Clock
	if clock == nil {
		clock = journal.Now
	}
	return &Manager{
		backend:  b,
		options:  o,
		clock:    clock,
		boot:     journal.BootID(),
		write:    fileOf(o.Journal).Write,
		wake:     make(chan struct{}, 1),
		requests: make(map[firewall.Rule]request),
		entries:  make(map[firewall.Rule]*entry),
	}
}

// Open asks for what r accepts or forwards to be let in for d, or without limit if
// d is 0. What is open gets the new end; what else was done with the same port for
// the same address, forwarding it elsewhere, say, is closed. It never waits: Report
// tells how it went. The error wraps ErrStopped or ErrFull, or says what is wrong
// with r.
func (m *Manager) Open(r firewall.Rule, d time.Duration, by By) error {
	if r.Action == firewall.Drop {
		return fmt.Errorf("rule %q opens nothing", r)
	}
	return m.ask(r, request{open: true, by: by}, d)
}

// Close asks for what was opened to be closed, as Open does, whatever is done with
// the port: it need not be known where it is forwarded to. Without a lease the
// firewall is asked all the same.
func (m *Manager) Close(r firewall.Rule, by By) error {
	if r.Action == firewall.Drop {
		return fmt.Errorf("rule %q opens nothing", r)
	}
	return m.ask(r, request{by: by}, 0)
}

// Ban asks for src to be shut out for d, more than 0: with drop by the firewall,
// otherwise by whoever asks Banned or Ignored.
func (m *Manager) Ban(src netip.Addr, d time.Duration, drop bool) error {
	if d == 0 {
		return fmt.Errorf("no ban of %q without an end", src)
	}
	return m.ask(banOf(src), request{open: true, silent: !drop || m.options.NoDrops}, d)
}

// Unban asks for the bans of those addresses to end for which is says so, also of
// those that were asked for and have not begun.
func (m *Manager) Unban(is func(netip.Addr) bool) error {
	m.mu.Lock()
	var bans []firewall.Rule
	for r := range m.requests {
		bans = append(bans, r)
	}
	for r := range m.entries {
		bans = append(bans, r)
	}
	m.mu.Unlock()
	for _, r := range bans {
		if r.Action == firewall.Drop && is(r.Src) {
			if err := m.ask(r, request{}, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// Banned tells whether src is banned, in whatever way.
func (m *Manager) Banned(src netip.Addr) bool {
	bans := m.bans.Load()
	if bans == nil {
		return false
	}
	_, is := (*bans)[src]
	return is
}

// Ignored tells whether src is banned without the firewall knowing.
func (m *Manager) Ignored(src netip.Addr) bool {
	bans := m.bans.Load()
	return bans != nil && (*bans)[src]
}

// ask puts a request in place of the one that waits for the same rule.
func (m *Manager) ask(r firewall.Rule, q request, d time.Duration) error {
	if err := r.Check(); err != nil { // no try would ever work
		return fmt.Errorf("no rule for %q: %w", r, err)
	}
	if d < 0 {
		return fmt.Errorf("no rule for %q and %v", r, d)
	}
	if d > 0 {
		q.end = m.clock().Boot + d
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	isNew, held := !m.has(r), len(m.entries)+len(m.requests)
	switch {
	case m.stopped:
		return ErrStopped
	case isNew && q.open && held >= MaxLeases:
		return fmt.Errorf("%w: %d are held", ErrFull, MaxLeases)
	case isNew && q.open && r.Action == firewall.Drop && m.countBans() >= MaxBans:
		return fmt.Errorf("%w: %d are bans", ErrFull, MaxBans)
	}
	if r.Action != firewall.Drop {
		m.closeOthers(r, q.open, q.by)
	}
	// What is not held is in no firewall that was compared with what is: to ask for it to be closed is a courtesy, and
	// must not take the room of what opens.
	if !isNew || q.open || held < MaxLeases/2 {
		m.requests[r] = q
	}
	select {
	case m.wake <- struct{}{}:
	default: // it is to wake up already
	}
	return nil
}

// has tells whether r is held or asked for; m.mu is held.
func (m *Manager) has(r firewall.Rule) bool {
	_, asked := m.requests[r]
	return asked || m.entries[r] != nil
}

// closeOthers asks for what else is done with the port of r to end: for good, or if r can be opened in its place. m.mu is
// held.
func (m *Manager) closeOthers(r firewall.Rule, opens bool, by By) {
	q := request{by: by}
	if opens {
		q.room = r
	}
	other := func(o firewall.Rule) bool {
		return o.Action != firewall.Drop && o != r && o.Src == r.Src && o.Port == r.Port && o.Proto == r.Proto
	}
	for o := range m.requests {
		if other(o) {
			m.requests[o] = q
		}
	}
	for o, e := range m.entries {
		if other(o) && e.open {
			m.requests[o] = q
		}
	}
}

// countBans counts those that are held or asked for; m.mu is held.
func (m *Manager) countBans() (n int) {
	for r := range m.entries {
		if r.Action == firewall.Drop {
			n++
		}
	}
	for r := range m.requests {
		if r.Action == firewall.Drop && m.entries[r] == nil {
			n++
		}
	}
	return n
}

// Has tells whether r is held or asked for: to open it again takes no room.
func (m *Manager) Has(r firewall.Rule) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.has(r)
}

// Held tells how many of MaxLeases are taken.
func (m *Manager) Held() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.entries)
	for r := range m.requests {
		if m.entries[r] == nil {
			n++
		}
	}
	return n
}

// Leases gives what is held, in the order of [firewall.Rule.Compare], and what was
// asked for and not taken up yet: a firewall that hangs keeps requests waiting.
func (m *Manager) Leases() []Lease {
	list := m.list()
	slices.SortFunc(list, func(a, b Lease) int { return a.Rule.Compare(b.Rule) })
	return list
}

func (m *Manager) list() (list []Lease) {
	now := m.clock()
	m.mu.Lock()
	defer m.mu.Unlock()
	add := func(l Lease, end time.Duration) {
		if end != 0 {
			l.Until = now.WallAt(end)
		}
		list = append(list, l)
	}
	for r, e := range m.entries {
		if e.todo != nil || e.open {
			add(Lease{Rule: r, By: e.by, Waiting: e.open && e.todo != nil && e.kind != Refreshed, Closing: !e.open}, e.end)
		}
	}
	for r, q := range m.requests {
		if e := m.entries[r]; q.open && (e == nil || e.todo == nil && !e.open) {
			add(Lease{Rule: r, By: q.by, Waiting: true}, q.end)
		}
	}
	return list
}

// Gone tells whether r is neither asked for nor held, nor still has to be taken out of
// the firewall, which was so told of its end.
func (m *Manager) Gone(r firewall.Rule) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, asked := m.requests[r]
	e := m.entries[r]
	return !asked && (e == nil || e.todo == nil && !e.open)
}

// report tells of a change.
func (m *Manager) report(kind string, r firewall.Rule, e *entry, err error) {
	if m.options.Report == nil {
		return
	}
	event := Event{Kind: kind, Rule: r, Err: err}
	if e != nil {
		event.By = e.by
	}
	if (kind == Opened || kind == Refreshed) && e.end != 0 {
		event.Until = m.base.WallAt(e.end)
	}
	m.options.Report(event)
}

func (m *Manager) note(msg string, err error) {
	if m.options.Note != nil {
		m.options.Note(msg, err)
	}
}
