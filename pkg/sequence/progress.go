package sequence

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// A Progress is how far a source has come with a section, without a match.
type Progress struct {
	Section int // its place among the sections given to New
	// Done is how many packets have come, 1 or more, and Of how many there are. For a dynamic section Of holds as many
	// digits as have come, 1 at least. If Done is Of, all have come, but too slowly for a match or with too many strays.
	Done, Of int
	// First and Last are when the first and the last of them came. A match takes the section's Timeout at most.
	First, Last time.Time
	// Strays are packets that are no part of it: between the first and the last, and if some are missing, since the first.
	Strays int
	// Spoiled says that there are too many strays for a match, or one that a dynamic section does not allow.
	Spoiled bool
}

// lately is how long Progress looks back at most. What a source has sent is remembered while it counts, and longer
// if the source sends no more and no other needs the room.
const lately = time.Hour

// A sight is a try as a section sees it.
type sight struct {
	to     Step
	at     time.Duration
	usable bool // else it is a stray
}

// Progress gives, in the order of the sections, how far src has come with each that it has begun: with how few packets
// missing, and of several such beginnings the latest. What has made a match is not looked at. It changes nothing.
func (m *Matcher) Progress(src netip.Addr, now time.Time) (all []Progress) {
	if !src.IsValid() {
		return nil
	}
	for g := range m.groups {
		n := m.table.find(keyOf(src, g))
		if n == 0 {
			continue
		}
		for _, id := range m.groups[g].sections {
			if p, ok := m.progress(id, m.view(id, n, now.Sub(m.began))); ok {
				all = append(all, p)
			}
		}
	}
	slices.SortFunc(all, func(a, b Progress) int { return cmp.Compare(a.Section, b.Section) })
	return all
}

// view gives the tries of the source at n that are there for a section, the oldest first.
func (m *Matcher) view(id int, n uint32, age time.Duration) (view []sight) {
	s := &m.sections[id]
	for place := m.table.sources[n].newest; place != 0; {
		t := &m.table.tries[place]
		if age-t.at > lately || t.number <= s.since {
			break
		}
		if standing := m.standing(t, id); standing != gone {
			view = append(view, sight{t.to, t.at, standing == usable})
		}
		place = t.older
	}
	slices.Reverse(view)
	return view
}

func (m *Matcher) progress(id int, view []sight) (Progress, bool) {
	s := m.sections[id].Section
	p := Progress{Section: id, Of: len(s.Steps)}
	var first, last int // places in the view
	if s.Digits == 0 {
		p.Done, first, last = s.reached(view)
	} else {
		p.Done, p.Of, first, last, p.Spoiled = s.reachedDynamic(view)
	}
	if p.Done == 0 {
		return Progress{}, false
	}
	p.First, p.Last = m.began.Add(view[first].at), m.began.Add(view[last].at)
	end := last
	if p.Done < p.Of {
		end = len(view) - 1
	}
	p.Strays = end - first + 1 - p.Done
	p.Spoiled = p.Spoiled || p.Strays >= p.Of
	return p, true
}

// reached gives how many of the steps are in the view, in their order, and the places of the first and the last. Each is
// taken as late as can be.
func (s Section) reached(view []sight) (done, first, last int) {
	for done = len(s.Steps); done > 0; done-- {
		left := done
		for i := len(view) - 1; i >= 0; i-- {
			if !view[i].usable || view[i].to != s.Steps[left-1] {
				continue
			}
			if left == done {
				last = i
			}
			if left--; left == 0 {
				return done, i, last
			}
		}
	}
	return 0, 0, 0
}

// reachedDynamic is reached for a dynamic section, which also has a length that depends on what came, and is spoiled by a
// step or digit that does not go on with it.
func (s Section) reachedDynamic(view []sight) (done, of, first, last int, spoiled bool) {
	var steps []Step
	var places []int
	for i, v := range view {
		if v.usable && (s.isDigit(v.to) || slices.Contains(s.Steps, v.to)) {
			steps, places = append(steps, v.to), append(places, i)
		}
	}
	for i := range steps {
		n, length := s.begun(steps[i:])
		if n == 0 || done > 0 && length-n > of-done {
			continue
		}
		done, of = n, length
		first, last = places[i], places[i+n-1]
		spoiled = n < length && i+n < len(steps)
	}
	return done, of, first, last, spoiled
}

// begun gives how many packets, from the first on, go on with a dynamic section, and how many would be all.
func (s Section) begun(packets []Step) (done, of int) {
	done, of = common(packets, s.Steps), 2*len(s.Steps)+1
	if done < len(s.Steps) {
		return done, of
	}
	rest := packets[done:]
	for n, value := 1, 0; n <= maxDigits && n <= len(rest) && s.isDigit(rest[n-1]); n++ {
		value = 10*value + int(rest[n-1].Port-s.Digits)
		if value == 0 || value > 65535 {
			break // no port is written so
		}
		length := 2*len(s.Steps) + n
		if all := len(s.Steps) + n + common(rest[n:], s.Steps); length-all <= of-done {
			done, of = all, length
		}
	}
	return done, of
}

// common gives with how many same packets both begin.
func common(a, b []Step) (n int) {
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
