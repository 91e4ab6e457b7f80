package sequence

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestProgress(t *testing.T) {
	t.Parallel()
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	knock, again := plain("1000,2000,3000"), plain("2000,1000")
	target := plain("1000,2000,3000")
	target.Target = names["t"]
	slow := plain("1000,2000:udp")
	slow.Timeout = time.Minute
	door := dynamic("8,9", 5)
	for _, test := range []struct {
		name     string
		sections []Section
		words    string
		src      string
		want     []Progress
	}{
		{name: "nothing", sections: []Section{knock}},
		{name: "another source", sections: []Section{knock}, words: "1000 2000", src: "b"},
		{name: "no address", sections: []Section{knock}, words: "1000 2000", src: "0"},
		{name: "no beginning", sections: []Section{knock}, words: "2000 3000"},
		{
			name: "one", sections: []Section{knock}, words: "1000",
			want: []Progress{{0, 1, 3, at(0), at(0), 0, false}},
		},
		{
			name: "two", sections: []Section{knock}, words: "1000 +1s 2000 +60s",
			want: []Progress{{0, 2, 3, at(0), at(1), 0, false}},
		},
		{
			name: "a wrong end", sections: []Section{knock}, words: "1000 +1s 2000 +1s 3001",
			want: []Progress{{0, 2, 3, at(0), at(1), 1, false}},
		},
		{
			name: "a wrong order", sections: []Section{knock}, words: "1000 +1s 3000 +1s 2000",
			want: []Progress{{0, 2, 3, at(0), at(2), 1, false}},
		},
		{
			name: "copies are not counted", sections: []Section{knock}, words: "1000#5 +1s 1000#5 2000#6 2000#6",
			want: []Progress{{0, 2, 3, at(0), at(1), 0, false}},
		},
		{
			name: "all, too slowly", sections: []Section{knock}, words: "1000 +6s 2000 +6s 3000",
			want: []Progress{{0, 3, 3, at(0), at(12), 0, false}},
		},
		{
			name: "all, with too many strays", sections: []Section{knock}, words: "1000 1001 1999 +1s 2000 2001 +1s 3000 3001",
			want: []Progress{{0, 3, 3, at(0), at(2), 3, true}},
		},
		{
			name: "some, with too many strays", sections: []Section{knock}, words: "999 1000 1001 1999 +1s 2000 2001 2002",
			want: []Progress{{0, 2, 3, at(0), at(1), 4, true}},
		},
		{
			name: "the latest of several beginnings", sections: []Section{knock}, words: "1000 2000 +20s 1000 +1s 2000 +20s 1000",
			want: []Progress{{0, 2, 3, at(20), at(21), 1, false}},
		},
		{
			name: "what has matched is over", sections: []Section{knock}, words: "1000 2000 3000",
		},
		{
			name: "what comes behind it is not", sections: []Section{knock}, words: "1000 2000 3000 +1s 1000",
			want: []Progress{{0, 1, 3, at(1), at(1), 0, false}},
		},
		{
			name: "several sections", sections: []Section{again, slow, knock}, words: "1000 +1s 2000 +1s",
			want: []Progress{{0, 1, 2, at(1), at(1), 0, false}, {1, 1, 2, at(0), at(0), 1, false}, {2, 2, 3, at(0), at(1), 0, false}},
		},
		{
			name: "what another section has matched with", sections: []Section{again, slow, knock}, words: "1000 +1s 2000 +1s 2000:udp +1s",
			want: []Progress{{0, 1, 2, at(1), at(1), 0, false}},
		},
		{
			name: "a target", sections: []Section{target, knock}, words: "1000>t 2000>t 1000 +3s",
			want: []Progress{{0, 2, 3, at(0), at(0), 0, false}, {1, 1, 3, at(0), at(0), 0, false}},
		},
		{
			name: "IPv6", sections: []Section{knock}, words: "1000@6 2000@6 1000@7", src: "6",
			want: []Progress{{0, 2, 3, at(0), at(0), 0, false}},
		},
		{
			name: "IPv4 inside IPv6", sections: []Section{knock}, words: "1000", src: "m",
			want: []Progress{{0, 1, 3, at(0), at(0), 0, false}},
		},
		{name: "a section without steps", sections: []Section{knock, {Timeout: time.Second}}, words: "5"},
		{name: "more than an hour later", sections: []Section{knock}, words: "1000 2000 +3601s"},

		{name: "dynamic, one step", sections: []Section{door}, words: "8", want: []Progress{{0, 1, 5, at(0), at(0), 0, false}}},
		{name: "dynamic, the steps", sections: []Section{door}, words: "8 9", want: []Progress{{0, 2, 5, at(0), at(0), 0, false}}},
		{name: "dynamic, a digit", sections: []Section{door}, words: "8 9 7", want: []Progress{{0, 3, 5, at(0), at(0), 0, false}}},
		{name: "dynamic, two digits", sections: []Section{door}, words: "8 9 7 +1s 6", want: []Progress{{0, 4, 6, at(0), at(1), 0, false}}},
		{name: "dynamic, all but one", sections: []Section{door}, words: "8 9 7 6 8", want: []Progress{{0, 5, 6, at(0), at(0), 0, false}}},
		{name: "dynamic, no port begins with 0", sections: []Section{door}, words: "8 9 5 6 8", want: []Progress{{0, 2, 5, at(0), at(0), 3, true}}},
		{name: "dynamic, no port is so high", sections: []Section{door}, words: "8 9 14 14 14 14 14", want: []Progress{{0, 6, 8, at(0), at(0), 1, true}}},
		{name: "dynamic, the latest of two beginnings", sections: []Section{dynamic("8,9", 20)}, words: "8 9 +1s 8 9", want: []Progress{{0, 2, 5, at(1), at(1), 0, false}}},
		{name: "dynamic, strays", sections: []Section{door}, words: "8 50 9 51", want: []Progress{{0, 2, 5, at(0), at(0), 2, false}}},
		{name: "dynamic, a step astray", sections: []Section{dynamic("8,9", 20)}, words: "8 9 21 9", want: []Progress{{0, 3, 5, at(0), at(0), 1, true}}},
		{name: "dynamic, a step that is a digit", sections: []Section{door}, words: "8 9 7 9", want: []Progress{{0, 4, 6, at(0), at(0), 0, false}}},
		{
			name: "dynamic, all too slowly", sections: []Section{door}, words: "8 9 +6s 7 +6s 8 9",
			want: []Progress{{0, 5, 5, at(0), at(12), 0, false}},
		},
		{
			name: "dynamic, all with too many strays", sections: []Section{door}, words: "8 9 50 51 52 53 54 7 8 9",
			want: []Progress{{0, 5, 5, at(0), at(0), 5, true}},
		},
		{name: "dynamic, matched", sections: []Section{door}, words: "8 9 7 8 9"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			y := &player{m: mustNew(t, Options{}, test.sections...), now: start}
			y.play(test.words)
			src, ok := names[test.src]
			if !ok {
				src = names["a"]
			}
			got := y.m.Progress(src, y.now)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Tries for steps that a section has had before are not looked at.
func TestProgressAfterReplace(t *testing.T) {
	t.Parallel()
	y := &player{m: mustNew(t, Options{}, plain("1000,2000,3000")), now: start}
	y.play("1000 2000")
	y.m.Replace(0, mustParse("1000,2000"))
	if got := y.m.Progress(names["a"], start); got != nil {
		t.Errorf("%+v, want none", got)
	}
	y.play("1000")
	want := []Progress{{0, 1, 2, start, start, 0, false}}
	if diff := cmp.Diff(want, y.m.Progress(names["a"], start)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// progress gives what Progress should say of a plain section: of all choices of tries, the one that the comment tells.
func (m *model) progress(id int, src *modelSource) (Progress, bool) {
	s := m.sections[id]
	var view []*modelTry
	var part []bool
	for _, t := range src.tries {
		if standing := m.standing(t, id); standing != gone {
			view = append(view, t)
			part = append(part, standing == usable)
		}
	}
	done := 0
	for i, t := range view { // how many there are; which, is another question
		if done < len(s.Steps) && part[i] && t.to == s.Steps[done] {
			done++
		}
	}
	for end := len(view); end > 0 && done > 0; end-- {
		for begin := end - 1; begin >= 0; begin-- {
			if picked := choose(s.Steps[:done], view[begin:end], part[begin:end]); picked != nil {
				p := Progress{Section: id, Done: done, Of: len(s.Steps), First: view[begin].at, Last: view[end-1].at, Strays: end - begin - done}
				if done < len(s.Steps) {
					p.Strays = len(view) - begin - done
				}
				p.Spoiled = p.Strays >= len(s.Steps)
				return p, true
			}
		}
	}
	return Progress{}, false
}

// A watcher asks for the Progress of sources between packets, and compares what it is told.
type watcher struct {
	*pair
	told, nearly int
}

// ask asks about one source, and looks whether that has changed anything.
func (w *watcher) ask(t *testing.T, src netip.Addr) map[int]Progress {
	t.Helper()
	table, stats, number := *w.m.table, w.m.stats, w.m.number
	table.tries, table.sources, table.heads = slices.Clone(table.tries), slices.Clone(table.sources), slices.Clone(table.heads)
	said := map[int]Progress{}
	for _, p := range w.m.Progress(src, w.now) {
		said[p.Section] = p
	}
	now := w.m.table
	if !slices.Equal(table.tries, now.tries) || !slices.Equal(table.sources, now.sources) || !slices.Equal(table.heads, now.heads) ||
		table.freeTry != now.freeTry || table.freeSource != now.freeSource || table.freshTry != now.freshTry ||
		table.freshSource != now.freshSource || table.taken != now.taken || stats != w.m.stats || number != w.m.number {
		t.Fatal("the state has changed")
	}
	w.told += len(said)
	w.compare(t, src, said)
	return said
}

// compare compares with the model, apart from dynamic sections.
func (w *watcher) compare(t *testing.T, src netip.Addr, said map[int]Progress) {
	t.Helper()
	want := map[int]Progress{}
	for _, s := range w.model.sources {
		for id, section := range w.model.sections {
			if s.src != src || section.Target != s.dst || section.Digits != 0 {
				continue
			}
			if p, ok := w.model.progress(id, s); ok {
				want[id] = p
			}
		}
	}
	for id, p := range said {
		if w.model.sections[id].Digits == 0 && p != want[id] {
			t.Fatalf("section %d of %s: %+v, want %+v", id, src, p, want[id])
		}
		delete(want, id)
	}
	if len(want) > 0 {
		t.Fatalf("%s: nothing is said of %+v", src, want)
	}
}

// Random traffic gives the matches that it always gives, however often Progress is asked; Progress says what the model
// says; and before the last packet of a match there was one missing.
func TestProgressChangesNothing(t *testing.T) {
	t.Parallel()
	for _, sources := range []int{1, 3, 20} {
		t.Run(fmt.Sprintf("%d sources", sources), func(t *testing.T) {
			t.Parallel()
			w := &watcher{pair: newPair(t, modelSections(true), sources, 300)}
			w.run(t, rand.New(rand.NewPCG(7, uint64(sources))))
			if w.told < 500 || w.nearly < 50 {
				t.Errorf("little has happened: %d told, %d matches", w.told, w.nearly)
			}
		})
	}
}

func (w *watcher) run(t *testing.T, random *rand.Rand) {
	var knock [][2]byte
	var b [6]byte
	for i := range 1200 {
		for j := range b {
			b[j] = byte(random.Uint32())
		}
		b[0], b[5] = byte(random.IntN(1+i/240)), replacing(random, 5)
		if b[4] < 126 {
			b[4] %= 16
		}
		if len(knock) == 0 {
			knock = knockOf(w.model.sections[random.IntN(len(w.model.sections)-1)])
		} else if random.IntN(4) > 0 {
			b[0], b[2], b[3] = 0, knock[0][0], knock[0][1]
			knock = knock[1:]
		}
		said := w.ask(t, netip.AddrFrom4([4]byte{192, 0, 2, b[0] % 8}))
		sections := slices.Clone(w.m.sections) // as they are when the packet comes, unless one is replaced before it
		w.step(t, b[:])
		for _, match := range w.m.matches {
			s := sections[match.Section]
			if p := said[match.Section]; b[5] != 255 && s.size() > 1 && (p.Done == 0 || p.Of-p.Done > 1) {
				t.Fatalf("packet %d: section %d has matched, and before: %+v", i, match.Section, p)
			}
			w.nearly++
		}
		w.m.matches = w.m.matches[:0]
	}
}

// What is remembered of a source is bounded, so what is told is too.
func TestProgressIsBounded(t *testing.T) {
	t.Parallel()
	sections := []Section{plain("1000,2000,3000"), dynamic("8,9", 5)}
	y := &player{m: mustNew(t, Options{}, sections...), now: start}
	for range 2000 {
		y.play("1000 8 1001 50")
	}
	for _, p := range y.m.Progress(names["a"], start) {
		if p.Done != 1 || p.Strays > 64 {
			t.Errorf("%+v", p)
		}
	}
	if n := len(y.m.Progress(names["a"], start)); n != 2 {
		t.Errorf("%d sections, want 2", n)
	}
}
