package sequence

import (
	"hash/maphash"
	"math/bits"
	"net/netip"
	"time"
)

// triesEach is how many tries there is room for, times the number of sources. Most sources of a flood need one.
const triesEach = 4

// A table is the tries of all sources, in memory that is set aside at the start: 48 bytes for a try and 44 for a source,
// and what was not used yet costs nothing. Places are numbers; 0 is none.
type table struct {
	tries   []try
	sources []source // number 0 closes the ring of all sources: after it comes the one seen last
	heads   []uint32 // the first source of each hash
	seed    maphash.Seed

	freeTry, freeSource   uint32 // the first of those given back
	freshTry, freshSource uint32 // the first of those never used
	taken                 int    // how many tries there are
}

// A try is one packet.
type try struct {
	at           time.Duration // since the first packet; within a source it never goes back
	number       uint64        // of all tries
	fits         uint64        // the kinds of packet (see Matcher) for which it is the first with these ports
	older, newer uint32        // of the same source
	used         uint32        // 1 more than the section that it has made match; 0: none
	from         uint16        // the source port
	to           Step
}

// A key is whose tries they are: those to a section's Target are apart.
type key struct {
	addr  [16]byte
	group uint32
}

func keyOf(src netip.Addr, group int) key { return key{src.As16(), uint32(group)} }

type source struct {
	key
	newest, oldest uint32 // its tries
	count          uint32 // how many
	before, after  uint32 // in the ring: one seen later, one seen earlier
	next           uint32 // of the same hash, or the next that is free
}

// newTable makes room for so many sources, and for most tries of one at least.
func newTable(sources, most int) *table {
	return &table{
		tries:       make([]try, 1+most+triesEach*sources),
		sources:     make([]source, 1+sources),
		heads:       make([]uint32, 1<<bits.Len(uint(sources-1))),
		seed:        maphash.MakeSeed(),
		freshTry:    1,
		freshSource: 1,
	}
}

func (t *table) head(k key) *uint32 {
	return &t.heads[maphash.Comparable(t.seed, k)&uint64(len(t.heads)-1)]
}

// find gives the source with the key, or 0.
func (t *table) find(k key) uint32 {
	n := *t.head(k)
	for n != 0 && t.sources[n].key != k {
		n = t.sources[n].next
	}
	return n
}

// isFull tells whether a new source needs the place of another.
func (t *table) isFull() bool { return t.freeSource == 0 && int(t.freshSource) == len(t.sources) }

// hasTry tells whether there is room for a try.
func (t *table) hasTry() bool { return t.freeTry != 0 || int(t.freshTry) < len(t.tries) }

// isRoomy tells whether less than half of the room for tries is taken.
func (t *table) isRoomy() bool { return t.taken < len(t.tries)/2 }

// stillest gives the source that stood still longest, or 0.
func (t *table) stillest() uint32 { return t.sources[0].before }

// add gives a new source, for which there is room.
func (t *table) add(k key) uint32 {
	n := t.freeSource
	if n != 0 {
		t.freeSource = t.sources[n].next
	} else {
		n = t.freshSource
		t.freshSource++
	}
	head := t.head(k)
	t.sources[n] = source{key: k, next: *head}
	*head = n
	t.link(n)
	return n
}

// touch makes n the source seen last.
func (t *table) touch(n uint32) {
	t.unlink(n)
	t.link(n)
}

func (t *table) link(n uint32) {
	ring, s := &t.sources[0], &t.sources[n]
	s.before, s.after = 0, ring.after
	t.sources[s.after].before = n
	ring.after = n
}

func (t *table) unlink(n uint32) {
	s := &t.sources[n]
	t.sources[s.before].after, t.sources[s.after].before = s.after, s.before
}

// drop forgets a source.
func (t *table) drop(n uint32) {
	s := &t.sources[n]
	for s.count > 0 {
		t.pop(n)
	}
	t.unlink(n)
	link := t.head(s.key)
	for *link != n {
		link = &t.sources[*link].next
	}
	*link = s.next
	s.next, t.freeSource = t.freeSource, n
}

// push makes a try, for which there is room, the newest of a source.
func (t *table) push(n uint32, new try) uint32 {
	place := t.freeTry
	if place != 0 {
		t.freeTry = t.tries[place].older
	} else {
		place = t.freshTry
		t.freshTry++
	}
	s := &t.sources[n]
	new.older, new.newer = s.newest, 0
	t.tries[place] = new
	if s.count == 0 {
		s.oldest = place
	} else {
		t.tries[s.newest].newer = place
	}
	s.newest = place
	s.count++
	t.taken++
	return place
}

// pop forgets the oldest try of a source.
func (t *table) pop(n uint32) {
	s := &t.sources[n]
	place := s.oldest
	s.oldest = t.tries[place].newer
	s.count--
	t.taken--
	if s.count == 0 {
		s.newest = 0
	} else {
		t.tries[s.oldest].older = 0
	}
	t.tries[place].older, t.freeTry = t.freeTry, place
}
