package command

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/journal"
)

var noon = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

// sample is a journal of two, written at noon, an hour after the boot.
func sample() record {
	return record{Boot: "b", Stops: []owed{
		{Name: "door", IP: addr(1), Command: `stop "%IP%" <&>`, Until: noon.Add(time.Minute), End: 61 * time.Minute, Left: time.Minute},
		{Name: "door", IP: addr(2), Command: "a\tb", Until: noon, End: time.Hour},
	}}
}

// TestJournal has a journal as it stands on a disk.
func TestJournal(t *testing.T) {
	t.Parallel()
	const want = `knockdaemon-commands 1 9b8fd789cde9a2ed3ec5c9f13b69eeee5e073323ea6e355b8e16bb97d1ad4d5e
{"boot":"b","stops":[{"name":"door","ip":"192.0.0.1","command":"stop \"%IP%\" <&>","until":"2024-05-01T12:01:00Z","end_ns":3660000000000,"left_ns":60000000000},{"name":"door","ip":"192.0.0.2","command":"a\tb","until":"2024-05-01T12:00:00Z","end_ns":3600000000000,"left_ns":0}]}
`
	path := filepath.Join(t.TempDir(), "commands")
	check(t, os.WriteFile(path, []byte(want), 0o600))
	r, _, err := fileOf(path).Load()
	check(t, err)
	if diff := cmp.Diff(sample(), r, compareAddr); diff != "" {
		t.Errorf("read (-want +got)\n%s", diff)
	}
	check(t, fileOf(path).Write(sample()))
	b, err := os.ReadFile(path)
	check(t, err)
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Errorf("written (-want +got)\n%s", diff)
	}
}

var compareAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*record){
		"a command without text": func(r *record) { r.Stops[0].Command = "" },
		"a command of two lines": func(r *record) { r.Stops[0].Command = "a\nb" },
		"no name":                func(r *record) { r.Stops[0].Name = "" },
		"a name with a newline":  func(r *record) { r.Stops[0].Name = "a\nb" },
		"a mapped address":       func(r *record) { r.Stops[0].IP = netip.AddrFrom16(addr(1).As16()) },
		"a zone":                 func(r *record) { r.Stops[0].IP = netip.AddrFrom16(addr(1).As16()).WithZone("x") },
		"twice":                  func(r *record) { r.Stops[1] = r.Stops[0] },
		"no end":                 func(r *record) { r.Stops[0].Until = time.Time{} },
		"too long":               func(r *record) { r.Stops[0].Left = maxWait + 1 },
		"negative":               func(r *record) { r.Stops[0].Left = -1 },
		"late for too long":      func(r *record) { r.Stops[0].Rest = owedFor + 1 },
		"late and negative":      func(r *record) { r.Stops[0].Rest = -1 },
		"too many":               func(r *record) { r.Stops = make([]owed, maxStops+1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := sample()
			change(&r)
			b, err := fileOf("").Encode(r)
			check(t, err)
			if got, err := fileOf("").Decode(b); err == nil {
				t.Errorf("it is taken for %v", got)
			}
		})
	}
}

// The largest journal that can be written can be read.
func TestLargestJournal(t *testing.T) {
	t.Parallel()
	r := record{Boot: strings.Repeat("b", 36)}
	const some = 64
	for n := range some {
		r.Stops = append(r.Stops, owed{
			Name: strings.Repeat(`"`, maxName), IP: addr(n), Command: strings.Repeat(`"`, maxText),
			Until: noon.Add(time.Nanosecond), End: maxWait, Left: maxWait, Rest: owedFor,
		})
	}
	b, err := fileOf("").Encode(r)
	check(t, err)
	if _, err := fileOf("").Decode(b); err != nil || len(b) > maxJournal/maxStops*some {
		t.Errorf("%d bytes for %d, more than %d: %v", len(b), some, maxJournal/maxStops*some, err)
	}
}

func TestLeft(t *testing.T) {
	t.Parallel()
	at := func(wall time.Time, boot time.Duration) journal.Instant {
		return journal.Instant{Wall: wall, Boot: boot}
	}
	for name, test := range map[string]struct {
		now  journal.Instant
		boot string
		want time.Duration
	}{
		"at once":                       {at(noon, time.Hour), "b", time.Minute},
		"20 s later":                    {at(noon.Add(20*time.Second), time.Hour+20*time.Second), "b", 40 * time.Second},
		"the clock was set":             {at(noon.Add(-time.Hour), time.Hour+20*time.Second), "b", 40 * time.Second},
		"an hour later":                 {at(noon.Add(time.Hour), 2*time.Hour), "b", -59 * time.Minute},
		"another boot":                  {at(noon.Add(20*time.Second), time.Second), "c", 40 * time.Second},
		"another boot, an hour later":   {at(noon.Add(time.Hour), time.Second), "c", -59 * time.Minute},
		"another boot, the clock is 0":  {at(time.Unix(0, 0), time.Second), "c", time.Minute},
		"no boot known, 20 s later":     {at(noon.Add(20*time.Second), 5*time.Hour), "", 40 * time.Second},
		"since boot it cannot be later": {at(noon, time.Minute), "b", time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := sample()
			if got := r.Stops[0].left(r, test.now, test.boot); got != test.want {
				t.Errorf("%v left, want %v", got, test.want)
			}
		})
	}
}

// What had failed too often is tried at once, and given up when its time is over by the best clock there is, but not
// untried.
func TestLateEntry(t *testing.T) {
	t.Parallel()
	r := sample()
	r.Stops[0].Rest = 20 * time.Hour // in 1 minute it would be tried
	for name, test := range map[string]struct {
		later time.Duration // by the wall clock
		now   time.Duration // since boot
		boot  string
		want  time.Duration // until it is given up
	}{
		"at once":                   {0, time.Hour, "b", 20 * time.Hour},
		"two hours later":           {2 * time.Hour, 3 * time.Hour, "b", 18 * time.Hour},
		"another boot":              {2 * time.Hour, time.Second, "c", 18 * time.Hour},
		"another boot, days later":  {72 * time.Hour, time.Second, "c", lateDelay},
		"another boot, ages later":  {math.MaxInt64, time.Second, "c", lateDelay},
		"another boot, ages before": {math.MinInt64, time.Second, "c", 20 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := r.Stops[0].entry(r, journal.Instant{Wall: noon.Add(test.later), Boot: test.now}, test.boot)
			if !e.late || e.phase != open || e.due != test.now || e.until-test.now != test.want {
				t.Errorf("late %v, due after %v, given up after %v; want true, 0s, %v", e.late, e.due-test.now, e.until-test.now, test.want)
			}
		})
	}
}

// Who could have written it would have his commands run.
func TestFileOfOthers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "commands")
	check(t, fileOf(path).Write(sample()))
	check(t, os.Chmod(path, 0o620))
	var notes []string
	r := New(Options{Journal: path, Note: func(msg string, err error) { notes = append(notes, strings.ReplaceAll(msg, path, "PATH")) }})
	check(t, r.Start(t.Context()))
	want := []string{`the journal "PATH" cannot be used and is now "PATH.broken": stop commands in it do not run`}
	if diff := cmp.Diff(want, notes); diff != "" || len(r.entries) > 0 {
		t.Errorf("%d taken up, notes (-want +got)\n%s", len(r.entries), diff)
	}
}

func FuzzDecode(f *testing.F) {
	file := fileOf("")
	b, err := file.Encode(sample())
	check(f, err)
	_, body, _ := bytes.Cut(b, []byte("\n"))
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := file.Decode(append(fmt.Appendf(nil, "knockdaemon-commands 1 %x\n", sha256.Sum256(body)), body...))
		if err != nil {
			return
		}
		b, err := file.Encode(r)
		check(t, err)
		again, err := file.Decode(b)
		check(t, err)
		if diff := cmp.Diff(r, again, compareAddr); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	})
}
