package sequence

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/portknock/knock/pkg/packet"
)

// Options bound a Matcher.
type Options struct {
	// MaxSources is how many source addresses are remembered, 1 to 1<<20; 0 is 65536. Each takes up to 250 bytes, which
	// cost nothing before they are used. One that sends to a Target as well is a source of its own there.
	MaxSources int
	// Ours tells whether a Target, never one mapped into IPv6, is an address of this machine: what goes there then counts
	// for the sections without a Target as well, as what goes to its other addresses does. Observe asks it, for each packet
	// to a Target. Nil: none is.
	Ours func(target netip.Addr) bool
}

// A Match is a sequence that was sent.
type Match struct {
	Section int        // its place among the sections given to New
	Src     netip.Addr // who sent it; an IPv4 address is never one mapped into IPv6
	Port    uint16     // what the digits of a dynamic section say, 1..65535; else 0
}

// Stats count what a Matcher has seen.
type Stats struct {
	Ignored    uint64 // packets that no section takes, or of a source that has begun no sequence
	Duplicates uint64 // packets seen shortly before
	Tries      uint64 // packets remembered, then or now
	Matches    uint64 // sequences completed
	Evicted    uint64 // sources that gave way to others while they were young enough to count, or to know copies by
	Sources    int    // sources remembered now
}

// A Matcher is the state of all sources. It serves one goroutine at a time.
//
// The kinds of packet are bits: one for each different Flags that sections have, and udp.
type Matcher struct {
	sections []section
	kinds    []Flags
	fits     [256]uint64 // what kinds a packet of TCP with these flags is
	targets  map[netip.Addr]int
	groups   []group // number 0 is of the sections without a Target
	guards   []uint16
	ours     func(target netip.Addr) bool
	keep     time.Duration // the longest Timeout, or copies: older tries are not remembered
	most     int           // how many tries of one source are, or more (see copied)
	table    *table
	began    time.Time // the first packet's time, from which others are counted
	number   uint64    // of the last try
	stats    Stats

	matches []Match
	picks   []pick
	read    symbols
}

// udp is the kind of all packets of UDP.
const udp = 1 << 63

type section struct {
	Section
	kinds uint64 // that it takes
	since uint64 // tries up to this number do not count

	before      Section // what it was until it was last replaced,
	beforeSince uint64  // for tries after this number
}

// then gives what s was when the try with that number came; nil if it has been replaced twice since.
func (s *section) then(number uint64) *Section {
	switch {
	case number > s.since:
		return &s.Section
	case number > s.beforeSince:
		return &s.before
	}
	return nil
}

// A group is the sections of one Target.
type group struct {
	sections []int
	kinds    uint64
	ends     map[Step]ends
}

// ends are what begins and ends with a step.
type ends struct {
	first uint64 // the kinds of packet that begin a section with it
	last  []int  // the sections that end with it
}

// New gives a Matcher that has seen nothing. It keeps a copy of the sections, of which there may be any number; their
// Flags are of at most 63 sorts.
func New(sections []Section, o Options) (*Matcher, error) {
	o.MaxSources = cmp.Or(o.MaxSources, 1<<16)
	if o.MaxSources < 0 || o.MaxSources > 1<<20 {
		return nil, fmt.Errorf("%d is no number of sources: want 1..%d", o.MaxSources, 1<<20)
	}
	m := &Matcher{targets: map[netip.Addr]int{}, groups: make([]group, 1), ours: o.Ours, keep: copies}
	for i, s := range sections {
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("failed to take in section %d: %w", i+1, err)
		}
		if !slices.Contains(m.kinds, s.Flags) {
			m.kinds = append(m.kinds, s.Flags)
		}
		s.Steps = slices.Clone(s.Steps)
		s.Target = s.Target.Unmap()
		m.sections = append(m.sections, section{Section: s})
		m.keep = max(m.keep, s.Timeout)
		m.join(i, s.Target)
	}
	if len(m.kinds) > 63 {
		return nil, fmt.Errorf("%d different settings of TCP flags are too many: want at most 63", len(m.kinds))
	}
	m.prepare()
	m.guards = drawGuards(m.isKnock)
	m.table = newTable(o.MaxSources, tries(2*MaxSteps+maxDigits))
	return m, nil
}

// tries is how many tries of one source are remembered for a sequence so long: its packets and strays, twice, because
// there may be tries between them that count for other sections only.
func tries(length int) int { return 2 * (2*length - 1) }

// copied is how many are remembered at least while the table is roomy, to know copies by: who opens and closes a few times
// in a minute has sent dozens of packets before the last copies of the first come.
const copied = 64

// join puts a section into the group of its Target.
func (m *Matcher) join(id int, target netip.Addr) {
	g := 0
	if target.IsValid() {
		var ok bool
		if g, ok = m.targets[target]; !ok {
			g = len(m.groups)
			m.targets[target] = g
			m.groups = append(m.groups, group{})
		}
	}
	m.groups[g].sections = append(m.groups[g].sections, id)
}

// prepare works out what Observe looks up.
func (m *Matcher) prepare() {
	for flags := range m.fits {
		m.fits[flags] = 0
		for kind, f := range m.kinds {
			if f.fit(packet.Flags(flags)) {
				m.fits[flags] |= 1 << kind
			}
		}
	}
	m.most = 0
	for i := range m.sections {
		s := &m.sections[i]
		s.kinds = 0
		if s.uses(packet.TCP) {
			s.kinds |= 1 << slices.Index(m.kinds, s.Flags)
		}
		if s.uses(packet.UDP) {
			s.kinds |= udp
		}
		m.most = max(m.most, tries(s.size()))
	}
	for i := range m.groups {
		m.groups[i].prepare(m.sections)
	}
}

func (g *group) prepare(sections []section) {
	g.kinds, g.ends = 0, map[Step]ends{}
	for _, id := range g.sections {
		s := &sections[id]
		if len(s.Steps) == 0 {
			continue
		}
		g.kinds |= s.kinds
		first, last := s.Steps[0], s.Steps[len(s.Steps)-1]
		e := g.ends[first]
		e.first |= s.kinds & kindsOf(first.Proto)
		g.ends[first] = e
		e = g.ends[last]
		e.last = append(e.last, id)
		g.ends[last] = e
	}
}

// kindsOf gives the kinds that a packet of a protocol can be.
func kindsOf(p packet.Proto) uint64 {
	if p == packet.UDP {
		return udp
	}
	return udp - 1
}

// Replace gives a section new steps, at most MaxSteps and possibly none: its next one-time sequence. They count from now
// on: tries remembered so far are not for them. What the steps before have matched stays used (see Observe). Ports may be
// others then. Replace panics if there is no such section, or the steps are none that New takes.
func (m *Matcher) Replace(section int, steps []Step) {
	s := &m.sections[section]
	s.before, s.beforeSince = s.Section, s.since
	s.Steps = slices.Clone(steps)
	if err := s.check(); err != nil {
		panic(err)
	}
	s.since = m.number
	m.prepare()
}

// Stats gives the counts so far.
func (m *Matcher) Stats() Stats { return m.stats }
