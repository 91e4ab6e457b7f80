package sequence

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/portknock/knock/pkg/packet"
)

// model is a Matcher for one who reads: lists that are looked through from end to end, and every choice of packets tried.
type model struct {
	sections []Section
	replaced [][]int // of each section: how many tries there were each time it got other steps
	o        Options
	room     int // for tries of all sources
	sources  []*modelSource
	tries    int
}

type modelSource struct {
	src, dst netip.Addr // dst is the Target
	tries    []*modelTry
}

type modelTry struct {
	number int
	at     time.Time
	from   uint16
	to     Step
	newFor []bool // for each section: it fits, and is no copy
	used   []use
}

// A use is a section that a try has made match, as it was then.
type use struct {
	Section
	id int
}

func newModel(sections []Section, o Options, room int) *model {
	return &model{sections: slices.Clone(sections), replaced: make([][]int, len(sections)), o: o, room: room}
}

func (m *model) replace(id int, steps []Step) {
	m.sections[id].Steps = steps
	m.replaced[id] = append(m.replaced[id], m.tries)
}

// age gives how often a section has got other steps since t came.
func (m *model) age(id int, t *modelTry) (n int) {
	for _, tries := range m.replaced[id] {
		if t.number <= tries {
			n++
		}
	}
	return n
}

func (m *model) keep() time.Duration {
	d := 2 * time.Minute
	for _, s := range m.sections {
		d = max(d, s.Timeout)
	}
	return d
}

func (m *model) most() (n int) {
	for _, s := range m.sections {
		n = max(n, 2*(2*s.size()-1))
	}
	return n
}

func (m *model) isTarget(dst netip.Addr) bool {
	return dst.IsValid() && slices.ContainsFunc(m.sections, func(s Section) bool { return s.Target == dst })
}

// fits tells whether a packet is there for a section.
func (m *model) fits(s Section, p packet.Packet, dst netip.Addr) bool {
	if s.Target != dst || len(s.Steps) == 0 || !s.uses(p.Proto) {
		return false
	}
	return p.Proto == packet.UDP || p.Flags&s.Flags.Set == s.Flags.Set && p.Flags&s.Flags.Clear == 0
}

// observe gives what a packet completes of the sections of its Target, and, if that is ours or none, of those without.
func (m *model) observe(p packet.Packet, now time.Time) (matches []Match) {
	if m.isTarget(p.Dst) {
		matches = m.observeAt(p.Dst, p, now)
	}
	if !m.isTarget(p.Dst) || m.o.Ours != nil && m.o.Ours(p.Dst) {
		matches = append(matches, m.observeAt(netip.Addr{}, p, now)...)
	}
	slices.SortFunc(matches, func(a, b Match) int { return a.Section - b.Section })
	return matches
}

func (m *model) observeAt(dst netip.Addr, p packet.Packet, now time.Time) (matches []Match) {
	src := m.take(dst, p, now)
	if src == nil {
		return nil
	}
	picked := map[int][]*modelTry{}
	for id, s := range m.sections {
		if s.Target != src.dst {
			continue
		}
		if port, tries := m.find(id, src.tries); tries != nil {
			matches = append(matches, Match{id, p.Src, port})
			picked[id] = tries
		}
	}
	for id, tries := range picked {
		for _, t := range tries {
			t.used = append(t.used, use{m.sections[id], id})
		}
	}
	return matches
}

// take remembers a packet, and gives its source; or nil if it is no news.
func (m *model) take(dst netip.Addr, p packet.Packet, now time.Time) *modelSource {
	if !slices.ContainsFunc(m.sections, func(s Section) bool { return m.fits(s, p, dst) }) {
		return nil
	}
	src := &modelSource{src: p.Src, dst: dst}
	place := slices.IndexFunc(m.sources, func(s *modelSource) bool { return s.src == p.Src && s.dst == dst })
	if place >= 0 {
		src = m.sources[place]
		src.tries = slices.DeleteFunc(src.tries, func(t *modelTry) bool { return now.Sub(t.at) > m.keep() })
		if len(src.tries) == 0 {
			m.sources = slices.Delete(m.sources, place, place+1)
			place = -1
		}
	}
	t := &modelTry{at: now, from: p.SrcPort, to: Step{p.Proto, p.DstPort}}
	if place >= 0 && src.tries[len(src.tries)-1].at.After(now) {
		t.at = src.tries[len(src.tries)-1].at
	}
	news, begins := false, false
	for _, s := range m.sections {
		isNew := m.fits(s, p, dst) && !slices.ContainsFunc(src.tries, func(o *modelTry) bool {
			return o.from != 0 && o.from == t.from && o.to == t.to && t.at.Sub(o.at) <= 2*time.Minute && m.wasNews(o, s)
		})
		t.newFor = append(t.newFor, isNew)
		news = news || isNew
		begins = begins || isNew && s.Steps[0] == t.to
	}
	if !news || place < 0 && !begins {
		return nil
	}
	m.store(src, place, t, now)
	return src
}

// wasNews tells whether t was new for s, or for a section that is about the same packets: s may have got its steps later.
func (m *model) wasNews(t *modelTry, s Section) bool {
	for id, o := range m.sections {
		if t.newFor[id] && (t.to.Proto == packet.UDP || o.Flags == s.Flags) {
			return true
		}
	}
	return false
}

// store makes t the newest try of src, and src the newest source; the stillest make room.
func (m *model) store(src *modelSource, place int, t *modelTry, now time.Time) {
	if place >= 0 {
		m.sources = slices.Delete(m.sources, place, place+1)
	} else {
		for range 2 {
			if len(m.sources) > 0 && now.Sub(m.sources[0].tries[len(m.sources[0].tries)-1].at) > m.keep() {
				m.sources = m.sources[1:]
			}
		}
		if len(m.sources) == m.o.MaxSources {
			m.sources = m.sources[1:]
		}
	}
	m.sources = append(m.sources, src)
	for len(src.tries) >= m.most() && (len(src.tries) >= 64 || m.count() >= (m.room+1)/2) {
		src.tries = src.tries[1:]
	}
	for m.count() >= m.room {
		m.sources = m.sources[1:]
	}
	m.tries++
	t.number = m.tries
	src.tries = append(src.tries, t)
}

func (m *model) count() (n int) {
	for _, s := range m.sources {
		n += len(s.tries)
	}
	return n
}

// user gives the longest section that has used t; of two that are as long, the first.
func (t *modelTry) user() use {
	return slices.MaxFunc(t.used, func(a, b use) int { return cmp.Or(a.size()-b.size(), b.id-a.id) })
}

func (m *model) standing(t *modelTry, id int) standing {
	if !t.newFor[id] || m.age(id, t) > 0 {
		return gone
	}
	if len(t.used) == 0 {
		return usable
	}
	switch s, user := m.sections[id], t.user(); {
	case m.age(user.id, t) > 1:
		return stray
	case s.same(user.Section):
		return gone
	case s.contains(user.Section):
		return usable
	}
	return stray
}

// find gives the tries that make a section match at the newest: those that come latest.
func (m *model) find(id int, tries []*modelTry) (uint16, []*modelTry) {
	s, newest := m.sections[id], tries[len(tries)-1]
	var view []*modelTry // as the section sees them
	var part []bool      // which of them it can use
	for _, t := range tries {
		if standing := m.standing(t, id); standing != gone && newest.at.Sub(t.at) <= s.Timeout {
			view = append(view, t)
			part = append(part, standing == usable)
		}
	}
	if len(view) == 0 || view[len(view)-1] != newest || len(s.Steps) == 0 {
		return 0, nil
	}
	for begin := len(view) - 1; begin >= 0; begin-- {
		if s.Digits == 0 {
			if picked := choose(s.Steps, view[begin:], part[begin:]); picked != nil && len(view)-begin <= 2*len(s.Steps)-1 {
				return 0, picked
			}
		} else if port, picked := readPort(s, view[begin:], part[begin:]); picked != nil {
			if len(view)-begin > 2*len(picked)-1 {
				return 0, nil
			}
			return port, picked
		}
	}
	return 0, nil
}

// choose gives tries that make steps in their order, the first and the last of all among them, each as late as can be.
func choose(steps []Step, tries []*modelTry, part []bool) []*modelTry {
	last := len(tries) - 1
	if last < 0 || !part[last] || tries[last].to != steps[len(steps)-1] {
		return nil
	}
	if len(steps) == 1 {
		if last == 0 {
			return tries
		}
		return nil
	}
	for end := last; end > 0; end-- {
		if picked := choose(steps[:len(steps)-1], tries[:end], part[:end]); picked != nil {
			return append(slices.Clone(picked), tries[last])
		}
	}
	return nil
}

// readPort reads all tries, of which the first and the last are steps, as a dynamic knock.
func readPort(s Section, tries []*modelTry, part []bool) (uint16, []*modelTry) {
	last := len(tries) - 1
	if !part[last] || !slices.Contains(s.Steps, tries[last].to) {
		return 0, nil
	}
	var picked []*modelTry
	for i, t := range tries {
		if part[i] && (s.isDigit(t.to) || slices.Contains(s.Steps, t.to)) {
			picked = append(picked, t)
		} else if i == 0 {
			return 0, nil
		}
	}
	if len(picked) < 2*len(s.Steps) {
		return 0, nil
	}
	text := ""
	for _, t := range picked[len(s.Steps) : len(picked)-len(s.Steps)] {
		text += fmt.Sprintf("%c", '0'+int(t.to.Port)-int(s.Digits))
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 || strconv.Itoa(int(port)) != text {
		return 0, nil
	}
	want := slices.Concat(s.Steps, make([]Step, len(text)), s.Steps)
	for i := range text {
		want[len(s.Steps)+i] = Step{packet.TCP, s.Digits + uint16(text[i]-'0')}
	}
	if !slices.EqualFunc(want, picked, func(s Step, t *modelTry) bool { return s == t.to }) {
		return 0, nil
	}
	return uint16(port), picked
}
