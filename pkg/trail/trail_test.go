package trail

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

var (
	start = time.Date(2026, 11, 20, 20, 0, 0, 0, time.UTC)
	alice = netip.MustParseAddr("192.0.2.1")
	bob   = netip.MustParseAddr("2001:db8::2")
)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// A note is a call of Note.
type note struct {
	src     netip.Addr
	kind    Kind
	text    string
	seconds int
}

func TestNote(t *testing.T) {
	t.Parallel()
	euros := strings.Repeat("€", 100) // of three bytes
	for _, test := range []struct {
		name  string
		notes []note
		src   netip.Addr
		now   int
		want  []Entry
	}{
		{name: "nothing", src: alice},
		{name: "about another source", notes: []note{{bob, Old, "x", 0}}, src: alice},
		{name: "about nobody", notes: []note{{netip.Addr{}, Old, "x", 0}, {netip.IPv6Unspecified(), Old, "x", 0}}},
		{
			name: "about nobody, who is not ::", src: netip.IPv6Unspecified(),
			notes: []note{{netip.Addr{}, Old, "x", 0}},
		},
		{
			name: "once", src: alice,
			notes: []note{{alice, Refused, "port 80 is not in allow-ports", 0}},
			want:  []Entry{{Refused, "port 80 is not in allow-ports", 1, at(0), at(0)}},
		},
		{
			name: "the last text, and how often", src: alice,
			notes: []note{{alice, Prefix, "DROP", 0}, {alice, Prefix, "UFW", 5}, {alice, Prefix, "DROP2", 7}},
			want:  []Entry{{Prefix, "DROP2", 3, at(0), at(7)}},
		},
		{
			name: "in the order of the kinds", src: bob,
			notes: []note{{bob, Ignored, "i", 0}, {bob, Damaged, "d", 1}, {bob, Foreign, "f", 2}, {bob, Prefix, "p", 3}, {bob, Old, "o", 4}, {bob, Copy, "c", 5}, {bob, Accepted, "a", 6}, {bob, Refused, "r", 7}},
			want: []Entry{
				{Refused, "r", 1, at(7), at(7)}, {Accepted, "a", 1, at(6), at(6)}, {Copy, "c", 1, at(5), at(5)}, {Old, "o", 1, at(4), at(4)},
				{Prefix, "p", 1, at(3), at(3)}, {Foreign, "f", 1, at(2), at(2)}, {Damaged, "d", 1, at(1), at(1)}, {Ignored, "i", 1, at(0), at(0)},
			},
		},
		{
			name: "IPv4 inside IPv6", src: netip.MustParseAddr("::ffff:192.0.2.1"),
			notes: []note{{alice, Copy, "", 0}},
			want:  []Entry{{Copy, "", 1, at(0), at(0)}},
		},
		{
			name: "an hour ago", src: alice, now: 3600,
			notes: []note{{alice, Copy, "c", 0}},
			want:  []Entry{{Copy, "c", 1, at(0), at(0)}},
		},
		{
			name: "more than an hour ago", src: alice, now: 3601,
			notes: []note{{alice, Copy, "c", 0}, {alice, Old, "o", 1}},
			want:  []Entry{{Old, "o", 1, at(1), at(1)}},
		},
		{
			name: "anew after more than an hour", src: alice, now: 3601,
			notes: []note{{alice, Copy, "c", 0}, {alice, Copy, "c", 3601}},
			want:  []Entry{{Copy, "c", 1, at(3601), at(3601)}},
		},
		{
			name: "for longer than an hour", src: alice, now: 9000,
			notes: []note{{alice, Copy, "c", 0}, {alice, Copy, "c", 3000}, {alice, Copy, "c", 6000}},
			want:  []Entry{{Copy, "c", 3, at(0), at(6000)}},
		},
		{
			name: "a clock set back", src: alice,
			notes: []note{{alice, Copy, "c", 10}, {alice, Copy, "d", 5}},
			want:  []Entry{{Copy, "d", 2, at(10), at(10)}},
		},
		{
			name: "a long text", src: alice,
			notes: []note{{alice, Old, strings.Repeat("x", 5000), 0}},
			want:  []Entry{{Old, strings.Repeat("x", 200), 1, at(0), at(0)}},
		},
		{
			name: "a long text, cut inside a character", src: alice,
			notes: []note{{alice, Old, euros, 0}},
			want:  []Entry{{Old, euros[:198], 1, at(0), at(0)}},
		},
		{
			name: "a short text after a long one", src: alice,
			notes: []note{{alice, Old, euros, 0}, {alice, Old, "o", 1}},
			want:  []Entry{{Old, "o", 2, at(0), at(1)}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			tr := New(4)
			for _, n := range test.notes {
				tr.Note(n.src, n.kind, n.text, at(n.seconds))
			}
			if diff := cmp.Diff(test.want, tr.Of(test.src, at(test.now))); diff != "" {
				t.Errorf("entries (-want +got)\n%s", diff)
			}
		})
	}
}

// model is a Trail for one who reads: a list of all notes, looked through from end to end.
type model struct {
	size  int
	notes []note
}

func (m *model) note(n note) {
	m.notes = append(m.notes, n)
	var seen []netip.Addr // the newest first
	for i := len(m.notes) - 1; i >= 0; i-- {
		switch src := m.notes[i].src; {
		case slices.Contains(seen, src):
		case len(seen) < m.size:
			seen = append(seen, src)
		default: // the stillest: all of it goes
			m.notes = slices.DeleteFunc(m.notes, func(n note) bool { return n.src == src })
			return
		}
	}
}

func (m *model) of(src netip.Addr, now int) (entries []Entry) {
	for kind := Refused; kind <= Ignored; kind++ {
		var e Entry
		for _, n := range m.notes {
			if n.src != src || n.kind != kind {
				continue
			}
			if e.Count == 0 || at(n.seconds).Sub(e.Last) > time.Hour {
				e = Entry{Kind: kind, First: at(n.seconds)}
			}
			e.Count++
			e.Text = n.text
			if e.Last.Before(at(n.seconds)) {
				e.Last = at(n.seconds)
			}
		}
		if e.Count > 0 && at(now).Sub(e.Last) <= time.Hour {
			entries = append(entries, e)
		}
	}
	return entries
}

// Random notes give what the model gives, with room for a few sources and for many.
func TestModel(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 2, 7, 100} {
		t.Run(fmt.Sprintf("%d sources", size), func(t *testing.T) {
			t.Parallel()
			tr, m, random := New(size), model{size: max(1, size)}, rand.New(rand.NewPCG(5, uint64(size)))
			now, told := 0, 0
			for i := range 1500 {
				now = max(0, now+random.IntN(60)-5)
				if random.IntN(100) == 0 {
					now += random.IntN(5000)
				}
				n := note{sourceOf(random.IntN(10)), Kind(random.IntN(8)), fmt.Sprint(random.IntN(3)), now}
				m.note(n)
				tr.Note(n.src, n.kind, n.text, at(n.seconds))
				src := sourceOf(random.IntN(11))
				got := tr.Of(src, at(now))
				if diff := cmp.Diff(m.of(src, now), got); diff != "" {
					t.Fatalf("note %d: entries of %s (-want +got)\n%s", i, src, diff)
				}
				told += len(got)
			}
			if told < 100 {
				t.Errorf("little has happened: %d entries told", told)
			}
		})
	}
}

func sourceOf(n int) netip.Addr {
	if n%2 == 0 {
		return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)})
}

// A flood fills what there is and no more; the last 4096 are there yet, and those before them not.
func TestFlood(t *testing.T) {
	t.Parallel()
	const sources = 4096
	tr, text := New(sources), strings.Repeat("y", 300)
	for n := range 10 * sources {
		tr.Note(sourceOf(n), Kind(n%8), text, start)
	}
	if len(tr.places) != sources || cap(tr.sources) != 1+sources {
		t.Errorf("%d sources in room for %d, want %d in %d", len(tr.places), cap(tr.sources), sources, 1+sources)
	}
	if bytes := unsafe.Sizeof(tr.sources[0]); bytes > 2048 {
		t.Errorf("a source takes %d bytes", bytes)
	}
	for n := range 10 * sources {
		if got, want := len(tr.Of(sourceOf(n), start)) == 1, n >= 9*sources; got != want {
			t.Fatalf("source %d is there: %t, want %t", n, got, want)
		}
	}
}

// Whatever the notes say, a text is cut where a character ends, and what is told is what was noted.
func FuzzNote(f *testing.F) {
	f.Add("DENY", uint8(0), []byte{192, 0, 2, 1})
	f.Add(strings.Repeat("€", 70), uint8(7), make([]byte, 16))
	f.Add(strings.Repeat("\xff", 300), uint8(3), make([]byte, 16))
	f.Fuzz(func(t *testing.T, text string, kind uint8, addr []byte) {
		src, _ := netip.AddrFromSlice(addr)
		tr := New(1)
		tr.Note(src, Kind(kind%8), text, start)
		entries := tr.Of(src, start)
		if !src.IsValid() {
			if len(entries) != 0 {
				t.Fatalf("%+v of nobody", entries)
			}
			return
		}
		if len(entries) != 1 || entries[0].Kind != Kind(kind%8) || entries[0].Count != 1 {
			t.Fatalf("%+v of one note", entries)
		}
		got := entries[0].Text
		if !strings.HasPrefix(text, got) || len(got) > 200 || len(got) < min(len(text), 197) {
			t.Fatalf("%q of %q", got, text)
		}
		if utf8.ValidString(text) && !utf8.ValidString(got) {
			t.Fatalf("%q ends in half a character", got)
		}
	})
}
