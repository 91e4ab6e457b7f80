package sequence

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// resent is when Linux sends a SYN again whose socket is left open, from the first on.
var resent = []time.Duration{time.Second, 3 * time.Second, 7 * time.Second, 15 * time.Second, 31 * time.Second, 63 * time.Second}

// A sending is a packet (see player) and when it is sent.
type sending struct {
	at   time.Duration
	word string
}

// knocks gives packets, 200 ms apart, of one sequence after the other, which begin every so often; and all their copies.
// Each is from a source port of its own, which its copies have too.
func knocks(every time.Duration, sequences ...string) (all []sending) {
	from := 0
	for i, text := range sequences {
		for j, step := range strings.Split(text, ",") {
			from++
			s := sending{time.Duration(i)*every + time.Duration(j)*200*time.Millisecond, fmt.Sprintf("%s#%d", step, from)}
			all = append(all, s)
			for _, later := range resent {
				all = append(all, sending{s.at + later, s.word})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b sending) int { return cmp.Compare(a.at, b.at) })
	return all
}

// playAll gives what matches, as "time:section", and "=port".
func (y *player) playAll(all []sending) string {
	var got []string
	for _, s := range all {
		y.now = start.Add(s.at)
		if match, ok := strings.CutPrefix(y.play(s.word), "1"); ok {
			got = append(got, s.at.String()+match)
		}
	}
	return strings.Join(got, " ")
}

// Copies that a kernel sends complete nothing, however short the Timeouts are, and whatever has matched meanwhile.
func TestCopiesOfKernel(t *testing.T) {
	t.Parallel()
	const open, shut = "7000,8000,9000", "9000,8000,7000"
	ports := []string{open, shut, "571", "1042,1044,1043"}
	for name, test := range map[string]struct {
		packets []sending
		want    string
	}{
		"a knock":     {knocks(0, open), "400ms:0"},
		"open, close": {knocks(2*time.Second, open, shut), "400ms:0 2.4s:1"},
		"apart":       {knocks(40*time.Second, open, shut), "400ms:0 40.4s:1"},
		"at once":     {knocks(600*time.Millisecond, open, shut, open, shut), "400ms:0 1s:1 1.6s:0 2.2s:1"},
		"all minute long": {
			knocks(10*time.Second, open, shut, open, shut, open, shut, open),
			"400ms:0 10.4s:1 20.4s:0 30.4s:1 40.4s:0 50.4s:1 1m0.4s:0",
		},
		"one packet":   {knocks(0, "571"), "0s:2"},
		"another last": {knocks(0, open+",1"), "400ms:0"},
		"dynamic":      {knocks(0, "1042,1044,1043,1048,1040,1042,1044,1043"), "1.4s:3=80"},
		"after two minutes": {
			[]sending{
				{0, "7000#1"}, {0, "8000#1"}, {0, "9000#1"},
				{2 * time.Minute, "7000#1"}, {2 * time.Minute, "8000#1"}, {2 * time.Minute, "9000#1"},
				{2*time.Minute + 1, "7000#1"}, {2*time.Minute + 1, "8000#1"}, {2*time.Minute + 1, "9000#1"},
			},
			"0s:0 2m0.000000001s:0",
		},
	} {
		for _, timeout := range []time.Duration{5 * time.Second, 25 * time.Second, 10 * time.Minute} {
			t.Run(fmt.Sprintf("%s, %s", name, timeout), func(t *testing.T) {
				t.Parallel()
				var sections []Section
				for _, text := range ports {
					s := plain(text)
					s.Timeout = timeout
					sections = append(sections, s)
				}
				sections[3].Digits = 1040
				y := &player{m: mustNew(t, Options{}, sections...)}
				if got := y.playAll(test.packets); got != test.want {
					t.Errorf("got %q, want %q", got, test.want)
				}
			})
		}
	}
}
