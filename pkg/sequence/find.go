package sequence

// A pick is a try that is part of a match.
type pick struct {
	place   uint32
	section int
}

// A standing is what a try is to a section.
type standing uint8

const (
	gone   standing = iota // as if it were not there
	stray                  // there, but no part of it
	usable                 // part of it if its port is right
)

func (m *Matcher) standing(t *try, id int) standing {
	s := &m.sections[id]
	if t.fits&s.kinds == 0 {
		return gone
	}
	if t.used == 0 {
		return usable
	}
	switch user := m.user(t); {
	case user == nil:
		return stray
	case s.same(*user):
		return gone
	case s.contains(*user):
		return usable
	}
	return stray
}

// user gives the section that a used try has made match, as it was then, though its steps may have been replaced; nil if
// that is forgotten. What is usable to a section has no such user, so none that is picked has.
func (m *Matcher) user(t *try) *Section { return m.sections[t.used-1].then(t.number) }

// counts tells whether a try is young enough for a section, if the newest one is.
func (m *Matcher) counts(t, newest *try, s *section) bool {
	return newest.at-t.at <= s.Timeout && t.number > s.since
}

// find tells whether the try at a place is the last of a section, and gives the port of a dynamic one. What is part of
// the match is then among the picks.
func (m *Matcher) find(id int, place uint32) (port uint16, ok bool) {
	if m.table.tries[place].fits&m.sections[id].kinds == 0 {
		return 0, false
	}
	if m.sections[id].Digits != 0 {
		return m.findDynamic(id, place)
	}
	return 0, m.findPlain(id, place)
}

// findPlain goes back from the newest try, and takes for each step the latest that there is. If that has too many strays
// or is too long, so is every other choice.
func (m *Matcher) findPlain(id int, place uint32) bool {
	s, first := &m.sections[id], len(m.picks)
	newest := &m.table.tries[place]
	for left, strays := len(s.Steps), 0; place != 0 && strays < len(s.Steps); {
		t := &m.table.tries[place]
		if !m.counts(t, newest, s) {
			break
		}
		switch standing := m.standing(t, id); {
		case standing == usable && t.to == s.Steps[left-1]:
			m.picks = append(m.picks, pick{place, id})
			if left--; left == 0 {
				return true
			}
		case standing != gone:
			strays++
		}
		place = t.older
	}
	m.picks = m.picks[:first]
	return false
}

// use marks what has made the matches. Where several sections have one try, the longest counts as its user, because no
// other of them contains it.
func (m *Matcher) use() {
	for _, p := range m.picks {
		t := &m.table.tries[p.place]
		if t.used == 0 || m.sections[p.section].size() > m.user(t).size() {
			t.used = uint32(p.section) + 1
		}
	}
}
