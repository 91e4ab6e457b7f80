package sequence

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A reader is a player that goes on with lists of one-time sequences, as who reads them from files does: where a section
// has a list, a match gives it the next sequence, and at the end of the list none.
type reader struct {
	player
	lists map[int][]string
}

// newReader takes sections and lists in the order of their numbers: "1,2,3" is a section, "1,2,3; 4,5" a list.
func newReader(t *testing.T, texts []string, others ...Section) *reader {
	y := &reader{player{now: start}, map[int][]string{}}
	var sections []Section
	for id, text := range texts {
		list := strings.Split(text, "; ")
		sections = append(sections, plain(list[0]))
		if strings.Contains(text, ";") {
			y.lists[id] = list[1:]
		}
	}
	y.m = mustNew(t, Options{}, append(sections, others...)...)
	return y
}

// read gives what matches, as play does.
func (y *reader) read(words string) string {
	var got []string
	for i, word := range strings.Fields(words) {
		for _, match := range slices.Clone(y.m.Observe(y.packet(word), y.now)) {
			text := fmt.Sprintf("%d:%d", i+1, match.Section)
			if match.Port != 0 {
				text += fmt.Sprintf("=%d", match.Port)
			}
			if match.Src != names["a"] {
				text += "@" + match.Src.String()
			}
			got = append(got, text)
			y.next(match.Section)
		}
	}
	return strings.Join(got, " ")
}

func (y *reader) next(id int) {
	list, ok := y.lists[id]
	switch {
	case !ok:
	case len(list) == 0 || list[0] == "": // "1,2,3; " is used up after one
		y.m.Replace(id, nil)
	default:
		y.m.Replace(id, mustParse(list[0]))
		y.lists[id] = list[1:]
	}
}

// A one-time list and other sections share ports. That the list goes on, or is used up, makes no difference to others:
// neither does a packet serve twice, nor is a knock in vain.
func TestOneTimeLists(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sections []string
		packets  string
		want     string
	}{
		"the next needs its own packets":        {[]string{"1,2,3; 2,3,4"}, "1 2 3 4 2 3 4", "3:0 7:0"},
		"the next is the end of the one before": {[]string{"1,2,3; 3"}, "1 2 3 9 3", "3:0 5:0"},
		"the same line twice":                   {[]string{"1,2,3; 1,2,3"}, "1 2 3 3 1 2 3", "3:0 7:0"},
		"packets before the list went on":       {[]string{"1,2; 4,5"}, "4 1 2 5 4 5", "3:0 6:0"},

		"a longer one goes on":             {[]string{"1,2,3; 5,6", "1,2,3,4"}, "1 2 3 4", "3:0 4:1"},
		"a longer one goes on, used up":    {[]string{"1,2,3; ", "1,2,3,4"}, "1 2 3 4", "3:0 4:1"},
		"a longer one, the next is longer": {[]string{"1,2,3; 1,2,3,4,5,6", "1,2,3,4"}, "1 2 3 4", "3:0 4:1"},
		"a longer one, listed before":      {[]string{"1,2,3,4", "2,3; 1"}, "1 2 3 4", "3:1 4:0"},
		"two lists, one in the other":      {[]string{"1,2; 8,9", "1,2,3; 1,2"}, "1 2 3 2 1 2", "2:0 3:1 6:1"},
		"a longer one serves once":         {[]string{"1,2,3; ", "1,2,3,4"}, "1 2 3 4 4 3 4", "3:0 4:1"},
		"a longer one is a list":           {[]string{"1,2,3", "1,2,3,4; ", "1,2,3,4,5"}, "1 2 3 4 5 5", "3:0 4:1 5:2"},

		"no longer one":                       {[]string{"1,2,3; 5,6", "2,3,4"}, "1 2 3 4 2 3 4", "3:0 7:1"},
		"no longer one, used up":              {[]string{"1,2,3; ", "2,3,4"}, "1 2 3 4 2 3 4", "3:0 7:1"},
		"no longer one, the next is short":    {[]string{"1,2,3; 3", "2,3,4"}, "1 2 3 4 2 3 4", "3:0 6:0 7:1"},
		"no longer one, the next is the same": {[]string{"1,2,3; 2,3,4", "2,3,4"}, "1 2 3 4 2 3 4", "3:0 7:0 7:1"},
		"a longer one that it is no part of":  {[]string{"1,2,3; 3,4", "2,3,4,5"}, "1 2 3 4 5", "3:0"},

		"two clients behind one address":          {[]string{"1,2,3; 5,6", "1,2,3"}, "1 1 2 2 3 3", "5:0 5:1 6:1"},
		"two clients behind one address, used up": {[]string{"1,2,3; ", "1,2,3"}, "1 1 2 2 3 3", "5:0 5:1 6:1"},
		"another one's end":                       {[]string{"1,2,3; 5,6", "2,3"}, "1 2 3 3 2 3", "3:0 3:1 6:1"},
		"another one's end, used up":              {[]string{"1,2,3; ", "2,3"}, "1 2 3 3 2 3", "3:0 3:1 6:1"},
		"somebody else was first":                 {[]string{"1,2,3; 5,6", "1,2,3,4"}, "1 2 1@b 2@b 3@b 3 4", "5:0@192.0.2.2 7:1"},

		// What is used is known as that for the steps before only.
		"two more of the list, then a longer one": {[]string{"1; 5; 6; 7", "1,2", "1,2,3"}, "1 5 6 2 1 2 3", "1:0 2:0 3:0 6:1 7:2"},
		"a longer one, the list went on twice":    {[]string{"1,2; 5; 6", "1,2,3,4"}, "1 2 5@b 3 4", "2:0 3:0@192.0.2.2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := newReader(t, test.sections).read(test.packets); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// A dynamic section begins and ends with steps that a list has, too.
func TestOneTimeListInDynamic(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ list, packets, want string }{
		"at both ends": {"7000,8000; 7000,8000", "7000 8000 1041 7000 8000", "2:0 5:0 5:1=1"},
		"used up":      {"7000,8000; ", "7000 8000 1041 7000 8000", "2:0 5:1=1"},
		"in the midst": {"8000,1041; ", "7000 8000 1041 7000 8000", "3:0 5:1=1"},
		"no part":      {"8000,9; ", "7000 8000 9 1041 7000 8000", "3:0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := newReader(t, []string{test.list}, dynamic("7000,8000", 1040)).read(test.packets); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Progress sees what a list has used as Observe does.
func TestProgressBesideOneTimeList(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		list string
		want []Progress
	}{
		"goes on": {"1,2,3; 5,6", []Progress{{1, 3, 4, start, start, 0, false}}},
		"used up": {"1,2,3; ", []Progress{{1, 3, 4, start, start, 0, false}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newReader(t, []string{test.list, "1,2,3,4", "2,3,4"})
			if got := y.read("1 2 3"); got != "3:0" {
				t.Fatalf("got %q", got)
			}
			if diff := cmp.Diff(test.want, y.m.Progress(names["a"], y.now)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
