package tracker

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"time"
)

// A ring holds the last tries of all sources, and finds them again. Tries are numbered in the order they came; a number
// that is too far behind the newest is of a try that was overwritten, and stands for none. So nothing is ever deleted:
// what is too old is not found.
//
// A source is found by its bucket, chosen by a hash with a random seed. A bucket is a chain of tries, newest first, one
// of each source: its newest. From there on, each try knows the one before it of the same source. So a search passes
// one try of each foreign source in the bucket, however many that source sent: two on average when no two in the ring
// are of the same source. Nobody can choose his bucket, so no flood can make it more than chance does.
type ring struct {
	tries []try // the one numbered n is at n modulo their number, a power of two
	last  uint32
	heads []uint32 // the newest try of each bucket
	seed  maphash.Seed
}

// A try is one SYN to a knock port. It holds no pointers, so the garbage collector does not look at it, and its 32
// bytes never lie in two lines of the processor's cache.
type try struct {
	source    uint64        // see sourceOf
	touched   time.Duration // when it came, or a later sign of life of its source; since the first packet of all
	pair      pair
	before    uint32 // how many tries before it the last one of its source came, 0 if none counts
	next      uint32 // the next try of its bucket
	endsKnock bool   // no later window holds it
}

// A pair, a source port above a destination port, tells a connection try from the others of its source.
type pair uint32

// newRing makes a ring for size tries or, if that is no power of two, for some more; 2 at least.
func newRing(size int) *ring {
	n := max(2, 1<<bits.Len(uint(size-1)))
	return &ring{
		tries: make([]try, n),
		last:  uint32(n), // so that 0, in a head that was never written, is too old
		heads: make([]uint32, n/2),
		seed:  maphash.MakeSeed(),
	}
}

// sourceOf names an address: IPv4 by itself, IPv6 by 63 bits of a hash, which no two share by chance. It is never 0.
func (r *ring) sourceOf(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return 1<<32 | uint64(binary.BigEndian.Uint32(b[:]))
	}
	return maphash.Comparable(r.seed, a.As16()) | 1<<63
}

// hash gives what the places of source are chosen by.
func (r *ring) hash(source uint64) uint64 { return maphash.Comparable(r.seed, source) }

// live tells whether the try numbered n is still there.
func (r *ring) live(n uint32) bool { return r.last-n < uint32(len(r.tries)) }

// at gives the try numbered n, which must be live.
func (r *ring) at(n uint32) *try { return &r.tries[int(n)&(len(r.tries)-1)] }

// head gives the beginning of the chain of the bucket for hash.
func (r *ring) head(hash uint64) *uint32 { return &r.heads[int(hash)&(len(r.heads)-1)] }

// find gives the link to the newest try of source, or one that leads to none.
func (r *ring) find(head *uint32, source uint64) *uint32 {
	link := head
	for r.live(*link) && r.at(*link).source != source {
		link = &r.at(*link).next
	}
	return link
}

// earlier gives the number of the try before the one numbered n of the same source, if that one counts and is live.
func (r *ring) earlier(n uint32) (uint32, bool) {
	before := r.at(n).before
	return n - before, before != 0 && r.live(n-before)
}

// push puts t into the place of the oldest try. Head is that of its bucket, link what find gave for it.
func (r *ring) push(t try, head, link *uint32) {
	if r.live(*link) {
		*link = r.fresh(r.at(*link).next) // t takes its place
	}
	r.last++
	t.next = r.fresh(*head)
	*head = r.last
	*r.at(r.last) = t
	// One head is looked after, each time another one.
	next := &r.heads[int(r.last)&(len(r.heads)-1)]
	*next = r.fresh(*next)
}

// fresh gives n or, in place of a number that is too old, one that has only just become so. Numbers come round after
// 2^32 tries: one that was handed on, or left alone, for so long would be of a new try.
func (r *ring) fresh(n uint32) uint32 {
	if r.live(n) {
		return n
	}
	return r.last - uint32(len(r.tries))
}
