// Package tracker keeps, for each source address, the last knock ports that it tried, and asks a matcher about them
// each time there are enough.
//
// It is pure: the caller brings the packets and the time, and a function that knows what a knock is. A new kind of
// knock or a new source of packets changes nothing here. What strangers send is bounded twice: a queue that stands
// still is dropped, and there are never more queues than a set number, of which the one that has stood still longest
// gives way.
package tracker

import (
	"net/netip"
	"time"

	"github.com/portknock/knock/pkg/packet"
)

// Options bound a Tracker.
type Options struct {
	// Length is the number of ports in a knock, 1 or more.
	Length int
	// Low and High are the first and the last knock port.
	Low, High uint16
	// Timeout is how long a queue may stand still before it is dropped.
	Timeout time.Duration
	// MaxQueues is how many source addresses are watched at once, 1 or more.
	MaxQueues int
}

// A Match tells whether ports, tried in this order by src, are a knock. It must not keep ports.
type Match func(src netip.Addr, ports []uint16) bool

// A Verdict says what became of a packet.
type Verdict uint8

// The verdicts.
const (
	Ignored   Verdict = iota // not a SYN to a knock port
	Duplicate                // seen before: sent again, or logged twice
	Queued                   // kept; not a knock, or not yet
	Knock                    // the last of a knock; its queue is empty again
)

// Stats count what a Tracker has seen.
type Stats struct {
	Ignored, Duplicates, Queued, Knocks uint64
	Expired                             uint64 // queues dropped because they stood still
	Evicted                             uint64 // queues dropped because there were too many
	Queues                              int    // queues now
}

// A Tracker is the state of all sources. It serves one goroutine at a time.
type Tracker struct {
	options Options
	match   Match
	queues  map[netip.Addr]*queue
	idle    queue // the head of a ring of all queues, the one that has stood still longest at idle.next
	free    *queue
	began   time.Time // the first packet's time, from which others are counted
	stats   Stats
}

// New gives a Tracker that has seen nothing.
func New(o Options, match Match) *Tracker {
	t := &Tracker{options: o, match: match, queues: make(map[netip.Addr]*queue)}
	t.idle.next, t.idle.prev = &t.idle, &t.idle
	return t
}

// Stats gives the counts so far.
func (t *Tracker) Stats() Stats {
	stats := t.stats
	stats.Queues = len(t.queues)
	return stats
}

// Observe takes in one packet, seen at now, and says what became of it. The packet's own stamp is not looked at. A
// packet without a source port (0) cannot be told from its own repetition: it always counts, so that where a log
// leaves source ports out, a SYN that is sent again or logged twice spoils the knock it belongs to.
func (t *Tracker) Observe(p packet.Packet, now time.Time) Verdict {
	if !p.IsSYN() || p.DstPort < t.options.Low || p.DstPort > t.options.High || !p.Src.IsValid() {
		t.stats.Ignored++
		return Ignored
	}
	if t.began.IsZero() {
		t.began = now
	}
	age := now.Sub(t.began)
	t.expire(age)
	q := t.queueOf(p.Src)
	q.touched = max(q.touched, age)
	q.unlink()
	q.linkBefore(&t.idle)
	if p.SrcPort != 0 && q.seenBefore(p.SrcPort, p.DstPort) {
		t.stats.Duplicates++
		return Duplicate
	}
	q.push(p.DstPort, t.options.Length)
	if len(q.ports) < t.options.Length || !t.match(p.Src, q.ports) {
		t.stats.Queued++
		return Queued
	}
	q.ports = q.ports[:0]
	t.stats.Knocks++
	return Knock
}

// queueOf finds or makes the queue of src.
func (t *Tracker) queueOf(src netip.Addr) *queue {
	if q := t.queues[src]; q != nil {
		return q
	}
	if len(t.queues) >= t.options.MaxQueues {
		t.drop(t.idle.next)
		t.stats.Evicted++
	}
	q := t.free
	if q == nil {
		q = new(queue)
	} else {
		t.free = q.next
	}
	q.reset(src)
	t.queues[src] = q
	return q
}

// expire drops the queues that have stood still for too long.
func (t *Tracker) expire(age time.Duration) {
	for q := t.idle.next; q != &t.idle && age-q.touched > t.options.Timeout; q = t.idle.next {
		t.drop(q)
		t.stats.Expired++
	}
}

func (t *Tracker) drop(q *queue) {
	q.unlink()
	delete(t.queues, q.src)
	q.next, t.free = t.free, q
}
