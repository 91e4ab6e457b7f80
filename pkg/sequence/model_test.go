package sequence

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/packet"
)

// model is a Matcher for one who reads: lists that are looked through from end to end, and every choice of packets tried.
type model struct {
	sections []Section
	since    []int // of each section: how many tries there were when it got its steps
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
	number  int
	at      time.Time
	from    uint16
	to      Step
	newFor  []bool // for each section: it fits, and is no copy
	used    []bool // for each section
	longest int    // the longest section that has used it
}

func newModel(sections []Section, o Options, room int) *model {
	return &model{sections: slices.Clone(sections), since: make([]int, len(sections)), o: o, room: room}
}

func (m *model) keep() (d time.Duration) {
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
	return slices.ContainsFunc(m.sections, func(s Section) bool { return s.Target == dst })
}

// fits tells whether a packet is there for a section.
func (m *model) fits(s Section, p packet.Packet, dst netip.Addr) bool {
	if s.Target != dst || len(s.Steps) == 0 || !s.uses(p.Proto) {
		return false
	}
	return p.Proto == packet.UDP || p.Flags&s.Flags.Set == s.Flags.Set && p.Flags&s.Flags.Clear == 0
}

func (m *model) observe(p packet.Packet, now time.Time) (matches []Match) {
	src := m.take(p, now)
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
			t.used[id] = true
		}
	}
	return matches
}

// take remembers a packet, and gives its source; or nil if it is no news.
func (m *model) take(p packet.Packet, now time.Time) *modelSource {
	dst := p.Dst
	if !m.isTarget(dst) {
		dst = netip.Addr{}
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
	t := &modelTry{at: now, from: p.SrcPort, to: Step{p.Proto, p.DstPort}, used: make([]bool, len(m.sections))}
	if place >= 0 && src.tries[len(src.tries)-1].at.After(now) {
		t.at = src.tries[len(src.tries)-1].at
	}
	news, begins := false, false
	for id, s := range m.sections {
		isNew := m.fits(s, p, dst) && !slices.ContainsFunc(src.tries, func(o *modelTry) bool {
			return o.from != 0 && o.from == t.from && o.to == t.to && o.newFor[id]
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
	if len(src.tries) >= m.most() {
		src.tries = src.tries[1:]
	}
	m.sources = append(m.sources, src)
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

// user gives the longest section that has used t, or -1; of two that are as long, any.
func (m *model) user(t *modelTry) int {
	user := -1
	for id := range t.used {
		if t.used[id] && (user < 0 || m.sections[id].size() > m.sections[user].size()) {
			user = id
		}
	}
	return user
}

// find gives the tries that make a section match at the newest: those that come latest.
func (m *model) find(id int, tries []*modelTry) (uint16, []*modelTry) {
	s, newest := m.sections[id], tries[len(tries)-1]
	var view []*modelTry // as the section sees them
	var part []bool      // which of them it can use
	for _, t := range tries {
		if !t.newFor[id] || newest.at.Sub(t.at) > s.Timeout || t.number <= m.since[id] {
			continue
		}
		user := m.user(t)
		if user >= 0 && t.number > m.since[user] && s.same(m.sections[user]) {
			continue
		}
		view = append(view, t)
		part = append(part, user < 0 || t.number > m.since[user] && s.contains(m.sections[user]))
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

// modelSections are of all kinds, of few ports, so that much happens by chance. Ports are 1..9; digits 0..5 at 5..10.
func modelSections() []Section {
	sections := []Section{
		plain("1,2,3"), plain("3,2,1"), plain("1,2,3,4"), plain("2,2"), plain("4:udp,1"), plain("1,2,3"), plain("8"),
		plain("1,3,1"), plain("1,2"), plain("2,1"), dynamic("8,9", 5), dynamic("6", 5), plain("8,9"), {Timeout: time.Second},
	}
	sections[5].Flags = Flags{}
	sections[5].Timeout = 20 * time.Second
	sections[7].Flags = Flags{Set: packet.FIN}
	sections[8].Target, sections[9].Target = names["t"], names["t"]
	return sections
}

// A pair is a Matcher and its model. Each six bytes are a packet.
type pair struct {
	m     *Matcher
	model *model
	now   time.Time
}

func newPair(t testing.TB, sections []Section, sources, room int) *pair {
	o := Options{MaxSources: sources}
	m := mustNew(t, o, sections...)
	room = max(room, 2*m.most)
	m.table.tries = m.table.tries[:min(len(m.table.tries), 1+room)]
	return &pair{m, newModel(sections, o, len(m.table.tries)-1), start}
}

func (q *pair) step(t testing.TB, b []byte) int {
	p := packet.Packet{
		Src: netip.AddrFrom4([4]byte{192, 0, 2, b[0] % 8}), SrcPort: uint16(b[1] % 32), DstPort: 1 + uint16(b[2]%10),
		Proto: packet.TCP, Flags: packet.SYN,
	}
	switch b[3] % 16 {
	case 0, 1:
		p.Proto, p.Flags = packet.UDP, 0
	case 2, 3:
		p.Flags = packet.FIN
	case 4:
		p.Flags = packet.SYN | packet.FIN
	case 5:
		p.Flags = packet.ACK
	case 6, 7:
		p.Dst = names["t"]
	case 8:
		p.Dst = names["u"]
	}
	q.now = q.now.Add(time.Duration(int8(b[4])) * time.Second / 64)
	if b[4] == 127 {
		q.now = q.now.Add(15 * time.Second)
	}
	if b[5] == 255 {
		id, steps := int(b[1])%len(q.model.sections), mustParse("1,2,3,4,5"[:1+2*(b[2]%5)])
		q.m.Replace(id, steps)
		q.model.sections[id].Steps, q.model.since[id] = steps, q.model.tries
	}
	got, want := q.m.Observe(p, q.now), q.model.observe(p, q.now)
	if diff := cmp.Diff(want, append([]Match(nil), got...), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Fatalf("%+v (-want +got)\n%s", p, diff)
	}
	if sources, want := q.m.Stats().Sources, len(q.model.sources); sources != want {
		t.Fatalf("%+v: %d sources, want %d", p, sources, want)
	}
	return len(got)
}

// Random traffic gives the matches that the model gives, with room and without.
func TestModel(t *testing.T) {
	t.Parallel()
	for _, sources := range []int{1, 3, 100} {
		for _, room := range []int{0, 1 << 20} {
			t.Run(fmt.Sprintf("%d sources, room for %d", sources, room), func(t *testing.T) {
				t.Parallel()
				q := newPair(t, modelSections(), sources, room)
				random := rand.New(rand.NewPCG(1, uint64(sources)))
				matches := make([]int, len(q.model.sections))
				var knock [][2]byte
				var knocker byte
				var b [6]byte
				for i := range 20_000 {
					for j := range b {
						b[j] = byte(random.Uint32())
					}
					b[0] = byte(random.IntN(max(1, i/2000))) // one source at first
					if b[4] < 126 {
						b[4] %= 16
					}
					if i%50 != 0 {
						b[5] = 0
					}
					if len(knock) == 0 {
						knock, knocker = knockOf(q.model.sections[random.IntN(len(matches))]), b[0]
					} else if random.IntN(4) > 0 {
						b[0], b[2], b[3] = knocker, knock[0][0], knock[0][1]
						knock = knock[1:]
					}
					q.step(t, b[:])
					for _, match := range q.m.matches {
						matches[match.Section]++
					}
					q.m.matches = q.m.matches[:0]
				}
				if few := slices.Min(matches[:len(matches)-1]); few < 3 {
					t.Errorf("little has happened: %d matches", matches)
				}
			})
		}
	}
}

// knockOf gives packets that a section matches: the bytes 2 and 3 of each.
func knockOf(s Section) (knock [][2]byte) {
	steps := s.Steps
	if s.Digits != 0 {
		steps = slices.Concat(steps, []Step{{packet.TCP, s.Digits + 1}}, steps)
	}
	for _, step := range steps {
		kind := byte(9)
		switch {
		case step.Proto == packet.UDP:
			kind = 0
		case s.Target.IsValid():
			kind = 6
		case s.Flags.Set&packet.FIN != 0:
			kind = 2
		}
		knock = append(knock, [2]byte{byte(step.Port - 1), kind})
	}
	return knock
}

func FuzzObserve(f *testing.F) {
	f.Add([]byte{1, 1, 0, 9, 1, 0, 1, 2, 1, 9, 1, 0, 1, 3, 2, 9, 1, 0}, uint8(1))
	f.Add([]byte{1, 1, 7, 9, 1, 0, 1, 2, 8, 9, 1, 0, 1, 3, 5, 9, 1, 0, 1, 4, 7, 9, 1, 0, 1, 5, 8, 9, 1, 0}, uint8(2))
	random := make([]byte, 1200)
	for i := range random {
		random[i] = byte(i*i*7 + i>>3)
	}
	f.Add(random, uint8(3))
	f.Fuzz(func(t *testing.T, traffic []byte, sources uint8) {
		q := newPair(t, modelSections(), int(sources%8)+1, int(sources))
		for i := 0; i+6 <= len(traffic); i += 6 {
			q.step(t, traffic[i:i+6])
		}
	})
}
