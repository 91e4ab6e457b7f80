package sequence

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/portknock/knock/pkg/packet"
)

// copies is the longest time in which the same packet is taken for a copy. Linux sends a SYN for the last time after 63 s
// (tcp_syn_retries 6) and has given up after 127 s; others do earlier. Tries are remembered as long, however short the
// Timeouts are: copies keep the distances of what they are copies of, so they would make the same sequence again.
const copies = 2 * time.Minute

// Observe takes in one packet, seen at now, and gives the sequences that it completes, in the order of the sections;
// mostly none. What it gives is valid until the next call. The packet's own stamp is not looked at.
//
// The same packet seen again (protocol, source port and destination port; a SYN sent again, or logged twice) within two
// minutes of the first is a copy, and does not count, unless the source has sent dozens of others since, or a flood has
// left no room for them. One without a source port (0) always counts. So whoever sends all packets from one source port
// waits as long between two knocks, and cannot send a sequence that has a port twice.
//
// What has made a match counts no more for that section or one with the same steps, and for others it is a stray. But a
// longer sequence that contains the matched one, in its order, may use it: it would never match otherwise. This holds when
// the matched section has got other steps meanwhile, too; once it has got others twice, what it has used is a stray.
func (m *Matcher) Observe(p packet.Packet, now time.Time) []Match {
	if m.began.IsZero() {
		m.began = now
	}
	m.matches = m.matches[:0]
	g, both := m.groupsOf(p.Dst)
	news := m.observe(g, p, now.Sub(m.began))
	if both {
		news = max(news, m.observe(0, p, now.Sub(m.began)))
		slices.SortFunc(m.matches, func(a, b Match) int { return cmp.Compare(a.Section, b.Section) })
	}
	switch news {
	case ignored:
		m.stats.Ignored++
	case duplicate:
		m.stats.Duplicates++
	case remembered:
		m.stats.Tries++
	}
	m.stats.Matches += uint64(len(m.matches))
	return m.matches
}

// groupsOf gives the group of the sections that packets to dst are for, and tells whether they are for group 0 as well.
func (m *Matcher) groupsOf(dst netip.Addr) (group int, both bool) {
	if len(m.targets) == 0 {
		return 0, false
	}
	dst = dst.Unmap()
	group = m.targets[dst]
	return group, group != 0 && m.ours != nil && m.ours(dst)
}

// observe adds what a packet completes of a group to the matches, and tells whether it was news to it.
func (m *Matcher) observe(g int, p packet.Packet, at time.Duration) news {
	t := try{at: at, from: p.SrcPort, to: Step{p.Proto, p.DstPort}, fits: m.kindsOf(p) & m.groups[g].kinds}
	if t.fits == 0 || !p.Src.IsValid() {
		return ignored
	}
	e := m.groups[g].ends[t.to]
	place, news := m.remember(keyOf(p.Src, g), t, e.first)
	if news != remembered {
		return news
	}
	m.picks = m.picks[:0]
	for _, id := range e.last {
		if port, ok := m.find(id, place); ok {
			m.matches = append(m.matches, Match{Section: id, Src: p.Src.Unmap(), Port: port})
		}
	}
	m.use()
	return remembered
}

// kindsOf gives the kinds of packet that p is.
func (m *Matcher) kindsOf(p packet.Packet) uint64 {
	switch p.Proto {
	case packet.TCP:
		return m.fits[p.Flags]
	case packet.UDP:
		return udp
	}
	return 0
}

// news is what a packet is, to one group or to all.
type news uint8

const (
	ignored news = iota
	duplicate
	remembered
)

// remember puts a try into the table and gives its place there; or tells that it is no news. Kinds of packet in first
// begin a sequence.
func (m *Matcher) remember(k key, t try, first uint64) (place uint32, is news) {
	n := m.table.find(k)
	if n != 0 {
		n = m.refresh(n, t.at)
	}
	switch {
	case n != 0:
		t.at = max(t.at, m.table.tries[m.table.sources[n].newest].at)
		if t.fits &^= m.known(n, t); t.fits == 0 {
			return 0, duplicate
		}
		m.table.touch(n)
	case t.fits&first == 0:
		return 0, ignored
	default:
		n = m.newSource(k, t.at)
	}
	for int(m.table.sources[n].count) >= m.limit() {
		m.table.pop(n)
	}
	for !m.table.hasTry() {
		m.evict(t.at)
	}
	m.number++
	t.number = m.number
	return m.table.push(n, t), remembered
}

// limit gives how many tries a source may have now.
func (m *Matcher) limit() int {
	if m.table.isRoomy() {
		return max(m.most, copied)
	}
	return m.most
}

// refresh forgets what of a source is too old, and gives 0 if that is all.
func (m *Matcher) refresh(n uint32, at time.Duration) uint32 {
	s := &m.table.sources[n]
	for s.count > 0 && at-m.table.tries[s.oldest].at > m.keep {
		m.table.pop(n)
	}
	if s.count > 0 {
		return n
	}
	m.drop(n)
	return 0
}

// known gives the kinds for which a packet with the ports of t has come so lately that t is a copy of it.
func (m *Matcher) known(n uint32, t try) (kinds uint64) {
	if t.from == 0 {
		return 0
	}
	for place := m.table.sources[n].newest; place != 0; {
		old := &m.table.tries[place]
		if t.at-old.at > copies {
			break
		}
		if old.from == t.from && old.to == t.to {
			kinds |= old.fits
		}
		place = old.older
	}
	return kinds
}

// newSource makes a source. Of those that have nothing to remember it forgets two, so that they become fewer.
func (m *Matcher) newSource(k key, at time.Duration) uint32 {
	for range 2 {
		if n := m.table.stillest(); n != 0 && m.isOld(n, at) {
			m.drop(n)
		}
	}
	if m.table.isFull() {
		m.evict(at)
	}
	m.stats.Sources++
	return m.table.add(k)
}

func (m *Matcher) isOld(n uint32, at time.Duration) bool {
	return at-m.table.tries[m.table.sources[n].newest].at > m.keep
}

// evict forgets the source that stood still longest.
func (m *Matcher) evict(at time.Duration) {
	n := m.table.stillest()
	if !m.isOld(n, at) {
		m.stats.Evicted++
	}
	m.drop(n)
}

func (m *Matcher) drop(n uint32) {
	m.stats.Sources--
	m.table.drop(n)
}
