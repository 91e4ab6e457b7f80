package tracker

import (
	"net/netip"
	"slices"
	"time"
)

// A Try is one connection try to a knock port, as a Tracker remembers it.
type Try struct {
	SrcPort, DstPort uint16
	// At is when it came. It is not kept of the oldest try of a source: there it is when the next one came or, if there
	// is none, the last copy of it.
	At        time.Time
	EndsKnock bool // it was the last of a knock
}

// lately is how long Recent looks back: longer than tries count, since who did not get in asks why some time later.
const lately = time.Hour

// Recent gives the tries of src of the last hour that are remembered, the oldest first, at most 64. They are those since
// src last stood still for the Timeout; whether they count yet, the newest one's age tells. It changes nothing.
func (t *Tracker) Recent(src netip.Addr, now time.Time) (tries []Try) {
	if !src.IsValid() {
		return nil
	}
	r, age := t.ring, now.Sub(t.began)
	source := r.sourceOf(src)
	n := *r.find(r.head(r.hash(source)), source)
	for ok := r.live(n); ok && len(tries) < seenMax; {
		one := r.at(n)
		came := one.touched
		if n, ok = r.earlier(n); ok {
			came = r.at(n).touched // what touched that one last is this one
		}
		if age-came > lately {
			break
		}
		tries = append(tries, Try{uint16(one.pair >> 16), uint16(one.pair), t.began.Add(came), one.endsKnock})
	}
	slices.Reverse(tries)
	return tries
}
