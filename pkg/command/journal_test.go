package command

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

var noon = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

// sample is a journal of two, written at noon, an hour after the boot.
func sample() record {
	return record{Boot: "b", Stops: []owed{
		{Name: "door", IP: addr(1), Command: `stop "%IP%" <&>`, Until: noon.Add(time.Minute), End: 61 * time.Minute, Left: time.Minute},
		{Name: "door", IP: addr(2), Command: "a\tb", Until: noon, End: time.Hour},
	}}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	b, err := sample().encode()
	check(t, err)
	const want = `knockdaemon-commands 1 HASH
{"boot":"b","stops":[{"name":"door","ip":"192.0.0.1","command":"stop \"%IP%\" <&>","until":"2024-05-01T12:01:00Z","end_ns":3660000000000,"left_ns":60000000000},{"name":"door","ip":"192.0.0.2","command":"a\tb","until":"2024-05-01T12:00:00Z","end_ns":3600000000000,"left_ns":0}]}
`
	head, body, _ := strings.Cut(string(b), "\n")
	if len(head) != len(journalHead)+64 {
		t.Errorf("head %q", head)
	}
	if diff := cmp.Diff(want, journalHead+"HASH\n"+body); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	got, err := decode(b)
	check(t, err)
	if diff := cmp.Diff(sample(), got, compareAddr); diff != "" {
		t.Errorf("read again (-want +got)\n%s", diff)
	}
	for i := range b { // cut anywhere, or changed
		if _, err := decode(b[:i]); err == nil {
			t.Fatalf("the first %d bytes are a journal", i)
		}
		changed := bytes.Clone(b)
		changed[i] ^= 1
		if _, err := decode(changed); err == nil {
			t.Fatalf("a journal with another byte %d is one", i)
		}
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
		"too many":               func(r *record) { r.Stops = make([]owed, maxHeld+1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := sample()
			change(&r)
			b, err := r.encode()
			check(t, err)
			if got, err := decode(b); err == nil {
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
			Until: noon.Add(time.Nanosecond), End: maxWait, Left: maxWait,
		})
	}
	b, err := r.encode()
	check(t, err)
	if _, err := decode(b); err != nil || len(b) > maxJournal/maxHeld*some {
		t.Errorf("%d bytes for %d, more than %d: %v", len(b), some, maxJournal/maxHeld*some, err)
	}
}

func TestLeft(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		now  instant
		boot string
		want time.Duration
	}{
		"at once":                       {instant{noon, time.Hour}, "b", time.Minute},
		"20 s later":                    {instant{noon.Add(20 * time.Second), time.Hour + 20*time.Second}, "b", 40 * time.Second},
		"the clock was set":             {instant{noon.Add(-time.Hour), time.Hour + 20*time.Second}, "b", 40 * time.Second},
		"an hour later":                 {instant{noon.Add(time.Hour), 2 * time.Hour}, "b", -59 * time.Minute},
		"another boot":                  {instant{noon.Add(20 * time.Second), time.Second}, "c", 40 * time.Second},
		"another boot, an hour later":   {instant{noon.Add(time.Hour), time.Second}, "c", -59 * time.Minute},
		"another boot, the clock is 0":  {instant{time.Unix(0, 0), time.Second}, "c", time.Minute},
		"no boot known, 20 s later":     {instant{noon.Add(20 * time.Second), 5 * time.Hour}, "", 40 * time.Second},
		"since boot it cannot be later": {instant{noon, time.Minute}, "b", time.Minute},
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

func TestFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "commands")
	r, err := readJournal(path)
	check(t, err)
	if len(r.Stops) > 0 {
		t.Errorf("a journal that is not there holds %v", r)
	}
	check(t, writeJournal(path, sample()))
	r, err = readJournal(path)
	check(t, err)
	if diff := cmp.Diff(sample(), r, compareAddr); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	info, err := os.Stat(path)
	check(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

// Who could have written it would have his commands run.
func TestFileOfOthers(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(path string) error{
		"others can write it": func(path string) error { return os.Chmod(path, 0o602) },
		"its group can":       func(path string) error { return os.Chmod(path, 0o620) },
		"another's":           func(path string) error { return os.Chown(path, 12345, 0) },
		"a pipe":              func(path string) error { _ = os.Remove(path); return unix.Mkfifo(path, 0o600) },
		"too long":            func(path string) error { return os.Truncate(path, maxJournal+1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "commands")
			check(t, writeJournal(path, sample()))
			check(t, change(path))
			var notes []string
			r := New(Options{Journal: path, Note: func(msg string, err error) { notes = append(notes, strings.ReplaceAll(msg, path, "PATH")) }})
			check(t, r.Start(t.Context()))
			want := []string{`the journal "PATH" cannot be used and is now "PATH.broken": stop commands in it do not run`}
			if diff := cmp.Diff(want, notes); diff != "" || len(r.entries) > 0 {
				t.Errorf("%d taken up, notes (-want +got)\n%s", len(r.entries), diff)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	b, err := sample().encode()
	check(f, err)
	_, body, _ := bytes.Cut(b, []byte("\n"))
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		if r, err := decode(body); err == nil {
			t.Fatalf("without a head it is %v", r)
		}
		r, err := decode(sum(body))
		if err != nil {
			return
		}
		b, err := r.encode()
		check(t, err)
		again, err := decode(b)
		check(t, err)
		if diff := cmp.Diff(r, again, compareAddr); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	})
}
