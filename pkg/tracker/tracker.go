// Package tracker remembers the last connection tries to the knock ports, and asks a matcher about those of one source
// address each time there are enough.
//
// It is pure: the caller brings the packets and the time, and a function that knows what a knock is. A new kind of
// knock or a new source of packets changes nothing here. What strangers send is bounded: a set number of tries is
// remembered, of all sources together, and it is always the oldest that gives way. So whatever a flood looks like, a
// knock is lost to it only if that many tries came while it was being sent.
//
// Networks swap packets. A client that sends its SYNs from consecutive source ports, ascending, says in what order they
// left: where the last tries of a source are numbered so and came in another order, the matcher is asked once more, in
// the order of the source ports. Other source ports (another client's, or those that address translation has chosen
// anew) say nothing, and then the order is that of arrival.
package tracker

import (
	"net/netip"
	"slices"
	"time"

	"github.com/portknock/knock/pkg/packet"
)

// Options bound a Tracker.
type Options struct {
	// Lengths are the numbers of ports that knocks have, each 1 to 64.
	Lengths []int
	// Low and High are the first and the last knock port.
	Low, High uint16
	// Timeout is how long a source may stand still before its tries no longer count.
	Timeout time.Duration
	// MaxPackets is how many tries are remembered, 1 to 1<<30. It is rounded up to a power of two, at least 2. Each
	// takes 34 bytes, and the whole 4.5 MB more; memory that was not used yet costs nothing.
	MaxPackets int
}

// A Match tells whether ports, tried in this order by src, are a knock. It must not keep ports. For each packet it is
// asked at most twice for each of the Lengths: about the order of arrival and, if that is none, about that of the source
// ports.
type Match func(src netip.Addr, ports []uint16) bool

// A Verdict says what became of a packet.
type Verdict uint8

// The verdicts.
const (
	Ignored   Verdict = iota // not a SYN to a knock port
	Duplicate                // seen before: sent again, or logged twice
	Queued                   // kept; too few for a knock yet
	Failed                   // kept; enough for a knock, and none
	Knock                    // the last of a knock; none of its ports is part of the next
)

// Stats count what a Tracker has seen.
type Stats struct {
	Ignored, Duplicates, Queued, Failed, Knocks uint64

	Overwritten uint64 // tries that gave way to newer ones while they were young enough to count
	Packets     int    // tries remembered now
}

// A Tracker is the state of all sources. It serves one goroutine at a time.
type Tracker struct {
	options Options
	match   Match
	ring    *ring
	busy    busy
	single  recent     // of a source that has sent one packet yet
	windows [][]uint16 // what match is asked about, one for each length
	began   time.Time  // the first packet's time, from which others are counted
	stats   Stats
}

// Same tells whether a Tracker of other serves as well as one of o.
func (o Options) Same(other Options) bool {
	return slices.Equal(o.Lengths, other.Lengths) && o.Low == other.Low && o.High == other.High && o.Timeout == other.Timeout && o.MaxPackets == other.MaxPackets
}

// New gives a Tracker that has seen nothing.
func New(o Options, match Match) *Tracker {
	r := newRing(o.MaxPackets)
	t := &Tracker{options: o, match: match, ring: r, busy: newBusy(len(r.tries))}
	for _, length := range o.Lengths {
		t.windows = append(t.windows, make([]uint16, length))
	}
	return t
}

// Stats gives the counts so far.
func (t *Tracker) Stats() Stats { return t.stats }

// Observe takes in one packet, seen at now, and says what became of it. The packet's own stamp is not looked at. A
// packet without a source port (0) cannot be told from its own repetition: it always counts, so that where a log
// leaves source ports out, a SYN that is sent again or logged twice spoils the knock it belongs to.
func (t *Tracker) Observe(p packet.Packet, now time.Time) Verdict {
	if !p.IsSYN() || p.DstPort < t.options.Low || p.DstPort > t.options.High || !p.Src.IsValid() {
		t.stats.Ignored++
		return Ignored
	}
	v := t.remember(p, now)
	if v == nil {
		t.stats.Duplicates++
		return Duplicate
	}
	verdict := Queued
	for _, ports := range t.windows {
		if !v.fill(t.ring, ports) {
			continue
		}
		if t.match(p.Src, ports) || v.order(ports) && t.match(p.Src, ports) {
			t.ring.at(t.ring.last).endsKnock = true
			v.window = 0
			t.stats.Knocks++
			return Knock
		}
		verdict = Failed
	}
	if verdict == Failed {
		t.stats.Failed++
	} else {
		t.stats.Queued++
	}
	return verdict
}

// remember puts the packet into the ring and gives what counts of its source, or nil if it is there already.
func (t *Tracker) remember(p packet.Packet, now time.Time) *recent {
	if t.began.IsZero() {
		t.began = now
	}
	r, age := t.ring, now.Sub(t.began)
	n := try{source: r.sourceOf(p.Src), touched: age, pair: pair(p.SrcPort)<<16 | pair(p.DstPort)}
	hash := r.hash(n.source)
	head := r.head(hash)
	link := r.find(head, n.source)
	v := &t.single
	if last := *link; r.live(last) && age-r.at(last).touched <= t.options.Timeout {
		v = t.busy.of(r, n.source, hash, last)
		n.touched = max(age, r.at(last).touched)
		r.at(last).touched = n.touched
		if p.SrcPort != 0 && v.seen(r, n.pair) {
			return nil
		}
		n.before = r.last + 1 - last
	} else {
		v.forget() // a new source needs no place among the busy ones
	}
	t.makeRoom(age)
	r.push(n, head, link)
	v.push(n.pair, r.last)
	return v
}

// makeRoom counts the try that the next one will overwrite.
func (t *Tracker) makeRoom(age time.Duration) {
	if t.stats.Packets < len(t.ring.tries) {
		t.stats.Packets++
		return
	}
	if age-t.ring.at(t.ring.last+1).touched <= t.options.Timeout {
		t.stats.Overwritten++
	}
}
