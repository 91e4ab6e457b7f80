package sequence

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/portknock/knock/pkg/packet"
)

// modelSections are of all kinds, of few ports, so that much happens by chance. Ports are 1..9; digits 0..5 at 5..10.
// If slow, tries live longer than copies are known, else as long.
func modelSections(slow bool) []Section {
	sections := []Section{
		plain("1,2,3"), plain("3,2,1"), plain("1,2,3,4"), plain("2,2"), plain("4:udp,1"), plain("1,2,3"), plain("8"),
		plain("1,3,1"), plain("1,2"), plain("2,1"), dynamic("8,9", 5), dynamic("6", 5), plain("8,9"), plain("1,2"),
		{Timeout: time.Second},
	}
	sections[5].Flags = Flags{}
	if slow {
		sections[5].Timeout = 4 * time.Minute
	}
	sections[7].Flags = Flags{Set: packet.FIN}
	sections[8].Target, sections[9].Target = names["t"], names["t"]
	sections[13].Target = names["u"]
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
	if sources > 1 { // a packet to an address of ours takes two
		o.Ours = func(target netip.Addr) bool { return target == names["u"] }
	}
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
	case 8, 9:
		p.Dst = names["u"]
	}
	q.now = q.now.Add(time.Duration(int8(b[4])) * time.Second / 64)
	if b[4] == 127 {
		q.now = q.now.Add(time.Duration(1+b[2]%8) * 15 * time.Second)
	}
	if b[5] == 255 {
		q.replace(int(b[1])%len(q.model.sections), b[2])
	}
	got, want := q.m.Observe(p, q.now), q.model.observe(p, q.now)
	if !slices.Equal(want, got) {
		t.Fatalf("%+v: %+v, want %+v", p, got, want)
	}
	if sources, want := q.m.Stats().Sources, len(q.model.sources); sources != want {
		t.Fatalf("%+v: %d sources, want %d", p, sources, want)
	}
	if b[5] == 254 {
		for i, match := range got {
			q.replace(match.Section, b[1]+byte(i))
		}
	}
	return len(got)
}

// replace gives a section other steps, or none, as a list of one-time sequences does.
func (q *pair) replace(id int, choice byte) {
	var steps []Step
	texts := []string{"1", "1,2", "1,2,3", "1,2,3,4", "1,2,3,4,5", "", "2,1", "4:udp,1", "8,9", "2,3"}
	if text := texts[int(choice)%len(texts)]; text != "" {
		steps = mustParse(text)
	}
	q.m.Replace(id, steps)
	q.model.replace(id, steps)
}

// replacing draws the last byte of a packet: whether a section gets other steps before it, or those that it makes match
// after it. It does in so many of a thousand, and ten times as many.
func replacing(random *rand.Rand, often int) byte {
	switch n := random.IntN(1000); {
	case n < often:
		return 255
	case n < 11*often:
		return 254
	}
	return 0
}

// Random traffic gives the matches that the model gives, with room and without.
func TestModel(t *testing.T) {
	t.Parallel()
	for _, sources := range []int{1, 3, 100} {
		for _, room := range []int{0, 1 << 20} {
			for _, slow := range []bool{false, true} {
				for _, often := range []int{0, 20} {
					t.Run(fmt.Sprintf("%d sources, room for %d, slow %t, replaced %d", sources, room, slow, often), func(t *testing.T) {
						t.Parallel()
						testModel(t, newPair(t, modelSections(slow), sources, room), often)
					})
				}
			}
		}
	}
}

func testModel(t *testing.T, q *pair, often int) {
	matches := q.run(t, rand.New(rand.NewPCG(1, uint64(q.model.o.MaxSources))), often)
	q.m.table.check(t)
	if few := slices.Min(matches[:len(matches)-1]); few < 3 {
		t.Errorf("little has happened: %d matches", matches)
	}
}

// run makes random packets, and knocks among them, and gives the number of matches of each section.
func (q *pair) run(t *testing.T, random *rand.Rand, often int) []int {
	matches := make([]int, len(q.model.sections))
	var knock [][2]byte
	var knocker byte
	var b [6]byte
	for i := range 10_000 {
		for j := range b {
			b[j] = byte(random.Uint32())
		}
		b[0] = byte(random.IntN(max(1, i/1000))) // one source at first
		if b[4] < 126 {
			b[4] %= 16
		}
		b[5] = replacing(random, often)
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
	return matches
}

// knockOf gives packets that a section matches: the bytes 2 and 3 of each.
func knockOf(s Section) (knock [][2]byte) {
	steps := s.Steps
	if s.Digits != 0 {
		steps = slices.Concat(steps, []Step{{packet.TCP, s.Digits + 1}}, steps)
	}
	for _, step := range steps {
		kind := byte(10)
		switch {
		case step.Proto == packet.UDP:
			kind = 0
		case s.Target == names["t"]:
			kind = 6
		case s.Target == names["u"]:
			kind = 8
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
	f.Add(random, uint8(131))
	f.Fuzz(func(t *testing.T, traffic []byte, sources uint8) {
		q := newPair(t, modelSections(sources < 128), int(sources%8)+1, int(sources))
		for i := 0; i+6 <= len(traffic); i += 6 {
			q.step(t, traffic[i:i+6])
		}
		q.m.table.check(t)
	})
}
