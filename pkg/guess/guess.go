// Package guess tells who guesses: which source fails to knock again and again.
//
// It is pure: the caller brings the failures and the time, and decides what to do about a guesser. Memory is fixed,
// whatever addresses a flood invents: 4 MB, of which what was not used yet costs nothing.
//
// Each source has one slot of a table, chosen by a hash with a random seed, and shares it with all others whose hash is
// the same. A slot counts for one of them, the incumbent: a failure of another one takes one from its count, and only
// who finds the count at nothing takes the slot, and begins with a count of his own. (That is how Boyer and Moore find
// a majority.) So a count can be too small but never too large: whoever forges failures in the name of many sources can
// hide a guesser, if he sends as many as there are slots for each of the guesser's own, but he can frame nobody
// whose address he does not forge. Ways to count that let a newcomer inherit the count he replaces err on the other side.
package guess

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// Options say what a guesser is.
type Options struct {
	// Limit is how many failures make one, 1 or more.
	Limit int
	// Within is the time they come in, a microsecond or more. It is measured in eighths: failures that are older are
	// never counted, and those older than seven eighths of it may not be.
	Within time.Duration
}

// slots is how many sources can be counted at once, a power of two.
const slots = 1 << 16

// parts is how many parts Within has.
const parts = 8

// A Counter counts the failures of all sources. It serves one goroutine at a time.
type Counter struct {
	options Options
	part    time.Duration
	slots   []slot
	seed    maphash.Seed
	began   time.Time // the first failure's time, from which others are counted
}

// A slot is the count of one source.
type slot struct {
	source [16]byte
	counts [parts]uint32 // of the part numbered n at n modulo parts
	newest int64         // the number of the last part with a failure
	over   time.Duration // when the limit was last reached or exceeded, and 1 more; 0: it was not
}

// New gives a Counter that has seen nothing.
func New(o Options) *Counter { return newCounter(o, slots) }

func newCounter(o Options, slots int) *Counter {
	return &Counter{options: o, part: max(1, o.Within/parts), slots: make([]slot, slots), seed: maphash.MakeSeed()}
}

// Failed counts a failure of src at now, and tells whether it makes src a guesser. That is told once: while src goes on
// at that rate it is none anew, only after it has stayed under the limit for Within. An IPv4 address and the same one
// mapped into IPv6 are one source.
func (c *Counter) Failed(src netip.Addr, now time.Time) bool {
	if c.began.IsZero() {
		c.began = now
	}
	age := now.Sub(c.began)
	source, part := src.As16(), floor(age, c.part)
	s := c.slot(source)
	s.advance(part)
	if s.source != source {
		if s.takeOne() {
			return false
		}
		*s = slot{source: source, newest: part}
	}
	s.counts[index(part)]++
	if s.sum() < uint64(c.options.Limit) {
		return false
	}
	again := s.over != 0 && age-(s.over-1) <= c.options.Within
	s.over = max(s.over, age+1, 1)
	return !again
}

func (c *Counter) slot(source [16]byte) *slot {
	return &c.slots[int(maphash.Comparable(c.seed, source))&(len(c.slots)-1)]
}

// advance empties the parts that are too old when the one numbered part has come. Time that goes back makes nothing
// newer than it was: if it goes back by little, its part is there yet; if by more, everything begins anew.
func (s *slot) advance(part int64) {
	switch {
	case part <= s.newest-parts:
		*s = slot{source: s.source, newest: part}
	case part >= s.newest+parts:
		s.counts = [parts]uint32{}
		s.newest = part
	}
	for s.newest < part {
		s.newest++
		s.counts[index(s.newest)] = 0
	}
}

// takeOne takes one from the count, the oldest that there is, and tells whether there was one.
func (s *slot) takeOne() bool {
	for n := s.newest + 1 - parts; n <= s.newest; n++ {
		if count := &s.counts[index(n)]; *count > 0 {
			*count--
			return true
		}
	}
	return false
}

func (s *slot) sum() (n uint64) {
	for _, count := range s.counts {
		n += uint64(count)
	}
	return n
}

// index is where the part numbered n is counted.
func index(n int64) int { return int(uint64(n) % parts) }

// floor gives in which part age lies, also before the first.
func floor(age, part time.Duration) int64 {
	n := int64(age / part)
	if age%part < 0 {
		n--
	}
	return n
}
