// Package trail remembers, for each source address, what happened to it that does not happen to everybody: knocks that
// were refused, lines of the log that could not be taken, copies. It is what an operator is told from who asks why an
// address did not get in.
//
// It is pure: the caller brings the notes and the time, and words what is said of them. Strangers cause the notes, and
// those of a log's lines name whatever address a stranger wrote there. So memory is fixed: so many sources, for each of
// them one entry of each kind with a text of at most 200 bytes, for an hour. The source that was noted longest ago gives
// way: a flood in the name of enough addresses makes a Trail forget, and never costs more.
package trail

import (
	"net/netip"
	"sync"
	"time"
	"unicode/utf8"
)

// A Kind is what happened.
type Kind uint8

// The kinds.
const (
	Refused  Kind = iota // a knock that could be read, and was not heeded
	Accepted             // a knock that was heeded
	Copy                 // a packet that was seen before
	Old                  // a line stamped too far from the time it came
	Prefix               // a line of the firewall's, with another prefix
	Foreign              // a line like the firewall's, but not in the form that its logger writes
	Damaged              // a line of the firewall's that is cut or damaged
	Ignored              // a packet that was not looked at, since its source is banned
	kinds
)

// An Entry is all notes of one kind about one source.
type Entry struct {
	Kind        Kind
	Text        string // of the last note, at most 200 bytes
	Count       uint64 // how many notes there were since First, 1 or more
	First, Last time.Time
}

// forgotten is how long after its last note an entry is forgotten.
const forgotten = time.Hour

// maxText is how long a text can be.
const maxText = 200

// A Trail is the entries of all sources. Its methods may be called from several goroutines: what became of a knock is
// not always known to the one who read it.
type Trail struct {
	mu      sync.Mutex          // guards the fields below
	places  map[[16]byte]uint32 // where each source is
	sources []source            // number 0 closes the ring of all: after it comes the one noted last
	began   time.Time           // the first note's time, from which others are counted
}

// A source holds no pointers, so the garbage collector does not look at it.
type source struct {
	addr          [16]byte
	before, after uint32 // in the ring: one noted later, one noted earlier
	entries       [kinds]entry
}

type entry struct {
	count       uint64 // 0: there is none
	first, last time.Duration
	length      uint8
	text        [maxText]byte
}

// New gives an empty Trail for so many sources, at least 1. Each takes 2 KB, which cost nothing before they are used.
func New(sources int) *Trail {
	sources = max(1, sources)
	return &Trail{places: make(map[[16]byte]uint32, sources), sources: make([]source, 1, 1+sources)}
}

// Note writes down that something happened to src at now. A text longer than 200 bytes is cut, between two characters.
// An IPv4 address and the same one mapped into IPv6 are one source; of the zero Addr nothing is noted. It takes the same
// time however much is remembered, and costs no allocation.
func (t *Trail) Note(src netip.Addr, kind Kind, text string, now time.Time) {
	if !src.IsValid() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.began.IsZero() {
		t.began = now
	}
	age := now.Sub(t.began)
	e := &t.source(src.As16()).entries[kind]
	if e.count == 0 || age-e.last > forgotten {
		e.count, e.first, e.last = 0, age, age
	}
	e.count++
	e.last = max(e.last, age) // a clock may be set back
	e.length = uint8(copy(e.text[:], cut(text)))
}

// Of gives what is remembered of src at now, one entry of each kind at most, in the order of the kinds.
func (t *Trail) Of(src netip.Addr, now time.Time) (entries []Entry) {
	if !src.IsValid() {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.places[src.As16()]
	if n == 0 {
		return nil
	}
	age := now.Sub(t.began)
	for kind := range kinds {
		e := &t.sources[n].entries[kind]
		if e.count == 0 || age-e.last > forgotten {
			continue
		}
		entries = append(entries, Entry{kind, string(e.text[:e.length]), e.count, t.began.Add(e.first), t.began.Add(e.last)})
	}
	return entries
}

// source gives the source with an address, now the one noted last. If it is new, it may take the place of another. t.mu
// is held.
func (t *Trail) source(addr [16]byte) *source {
	n, ok := t.places[addr]
	switch {
	case ok:
		t.unlink(n)
	case len(t.sources) < cap(t.sources):
		n = uint32(len(t.sources))
		t.sources = t.sources[:n+1]
	default:
		n = t.sources[0].before
		t.unlink(n)
		delete(t.places, t.sources[n].addr)
		t.sources[n].forget()
	}
	s := &t.sources[n]
	if !ok {
		s.addr = addr
		t.places[addr] = n
	}
	t.link(n)
	return s
}

// forget empties s. What its texts were need not be cleared.
func (s *source) forget() {
	for kind := range s.entries {
		s.entries[kind].count = 0
	}
}

func (t *Trail) link(n uint32) {
	ring, s := &t.sources[0], &t.sources[n]
	s.before, s.after = 0, ring.after
	t.sources[s.after].before = n
	ring.after = n
}

func (t *Trail) unlink(n uint32) {
	s := &t.sources[n]
	t.sources[s.before].after, t.sources[s.after].before = s.after, s.before
}

// cut gives as much of text as fits, without half a character at its end.
func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	end := maxText
	for end > maxText-(utf8.UTFMax-1) && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
