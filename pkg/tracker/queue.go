package tracker

import (
	"math"
	"net/netip"
	"time"
)

// seenMax is how many packets of one source are remembered, to know them again: those of two of the longest knocks
// and then some, which is longer than a client's kernel goes on sending their SYNs again.
const seenMax = 64

// A queue is what one source has tried lately.
type queue struct {
	src        netip.Addr
	touched    time.Duration // when a packet of it came last, since the first packet of all
	next, prev *queue

	ports  []uint16 // tried and not yet part of a knock, fewer than or as many as a knock has
	seen   []pair   // the last packets, a ring once it is full; a knock does not empty it
	oldest int      // where the ring begins
}

// A pair, a source port above a destination port, tells a connection try from the others of its source.
type pair uint32

func (q *queue) reset(src netip.Addr) {
	*q = queue{src: src, touched: math.MinInt64, ports: q.ports[:0], seen: q.seen[:0]}
	q.next, q.prev = q, q
}

// push appends port, and slides the queue by one if it already held length ports.
func (q *queue) push(port uint16, length int) {
	if len(q.ports) == length {
		copy(q.ports, q.ports[1:])
		q.ports = q.ports[:length-1]
	}
	q.ports = append(q.ports, port)
}

// seenBefore tells whether the packet is remembered, and remembers it.
func (q *queue) seenBefore(src, dst uint16) bool {
	p := pair(src)<<16 | pair(dst)
	for _, s := range q.seen {
		if s == p {
			return true
		}
	}
	if len(q.seen) < seenMax {
		q.seen = append(q.seen, p)
		return false
	}
	q.seen[q.oldest] = p
	q.oldest = (q.oldest + 1) % seenMax
	return false
}

func (q *queue) unlink() {
	q.prev.next, q.next.prev = q.next, q.prev
	q.next, q.prev = q, q
}

func (q *queue) linkBefore(other *queue) {
	q.prev, q.next = other.prev, other
	other.prev.next, other.prev = q, q
}
