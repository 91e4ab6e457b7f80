package nflog

import "time"

// lossReports is the least time between two reports of lost packets.
const lossReports = time.Minute

// A tally finds out by the numbers of entries how many were lost.
type tally struct {
	next uint32 // the number of the next entry
	some bool   // there was one
	lost uint64
	told time.Time // when a loss was reported last
}

// add takes the next entry.
func (t *tally) add(e entry) {
	if !e.hasSeq {
		return
	}
	if t.some {
		t.lost += uint64(e.seq - t.next) // the numbers begin again at 2^32
	}
	t.next, t.some = e.seq+1, true
}

// due gives how many are to be reported as lost at now, and forgets them.
func (t *tally) due(now time.Time) uint64 {
	if t.lost == 0 || !t.told.IsZero() && now.Sub(t.told) < lossReports {
		return 0
	}
	n := t.lost
	t.lost, t.told = 0, now
	return n
}
