package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/knock"
)

var elapsed = regexp.MustCompile(`\d+\.\d{3} s\n$|"seconds":[\d.e-]+`)

// The replay's clock is the lines' own: what is old is replayed, and what was too slow then is too slow now.
func TestReplay(t *testing.T) {
	t.Parallel()
	then := time.Date(2003, 2, 12, 0, 13, 26, 0, time.UTC)
	whole := logLines(t, then, "203.0.113.5", open22, 1000)
	slow := logLines(t, then.Add(time.Hour), "203.0.113.6", open22, 1000)
	last := strings.LastIndex(strings.TrimSuffix(slow, "\n"), "\n") + 1
	slow = slow[:last] + strings.Replace(slow[last:], "01:13:26", "01:14:27", 1)
	closing := logLines(t, then.Add(2*time.Hour), "203.0.113.5", knock.Payload{IP: laptop, Port: 80, Time: knock.Close}, 2000)
	noise := "Nov 20 20:08:33 gate sshd[1]: hello\n"
	log := noise + whole + slow + closing + whole[:40]

	for name, test := range map[string]struct {
		flags []string
		want  string
	}{
		"text": {nil, `2003-02-12T00:13:26Z 203.0.113.5: open 198.51.100.7 port 22 for 15 min: allowed
2003-02-12T02:13:26Z 203.0.113.5: close 198.51.100.7 port 80: allowed
26 lines, 24 packets, 2 knocks, ELAPSED`},
		"refused": {[]string{"-allow-ports=80"}, `2003-02-12T00:13:26Z 203.0.113.5: open 198.51.100.7 port 22 for 15 min: refused: port 22 is not in allow-ports
2003-02-12T02:13:26Z 203.0.113.5: close 198.51.100.7 port 80: allowed
26 lines, 24 packets, 2 knocks, ELAPSED`},
		"json": {[]string{"-output=json", "-match-source=true"}, `{"at":"2003-02-12T00:13:26Z","src":"203.0.113.5","action":"open","ip":"198.51.100.7","port":22,"minutes":15,"allowed":false,"refusal":"it came from 203.0.113.5 and names 198.51.100.7 (match-source)"}
{"at":"2003-02-12T02:13:26Z","src":"203.0.113.5","action":"close","ip":"198.51.100.7","port":80,"minutes":0,"allowed":false,"refusal":"it came from 203.0.113.5 and names 198.51.100.7 (match-source)"}
{"lines":26,"packets":24,"knocks":2,ELAPSED}
`},
		"another prefix": {[]string{"-log-prefix=DROP "}, "26 lines, 0 packets, 0 knocks, ELAPSED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			if err := Replay(load(t, append(test.flags, "-replay=-")...), strings.NewReader(log), &out); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, elapsed.ReplaceAllString(out.String(), "ELAPSED")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// More packets than fit into the batches on their way keep their order.
func TestReplayKeepsOrder(t *testing.T) {
	t.Parallel()
	then := time.Date(2003, 2, 12, 0, 0, 0, 0, time.UTC)
	var log strings.Builder
	for i := range 2000 {
		log.WriteString(logLines(t, then.Add(time.Duration(i)*time.Second), "203.0.113.5", knock.Payload{IP: laptop, Port: uint8(i), Time: 1}, 1+8*i))
	}
	var out strings.Builder
	if err := Replay(load(t, "-replay=-"), strings.NewReader(log.String()), &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	for i := range 2000 {
		want := then.Add(time.Duration(i)*time.Second).Format(time.RFC3339) + " 203.0.113.5: " +
			knock.Payload{IP: laptop, Port: uint8(i), Time: 1}.String() + ": allowed"
		if lines[i] != want {
			t.Fatalf("line %d is %q, want %q", i, lines[i], want)
		}
	}
	if !strings.HasPrefix(lines[2000], "16000 lines, 16000 packets, 2000 knocks, ") {
		t.Errorf("the summary is %q", lines[2000])
	}
}

// A log without stamps is replayed at the time of the replay, and what it held before a failure is told.
func TestReplayWithoutStamps(t *testing.T) {
	t.Parallel()
	codec, err := knock.New(knock.Options{Passphrase: []byte("knock")})
	if err != nil {
		t.Fatal(err)
	}
	sequence, err := codec.Seal(open22)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	for i, port := range sequence {
		fmt.Fprintf(&log, "BLOCK 203.0.113.5:%d -> %d\n", i+1, port)
	}
	var out strings.Builder
	in := io.MultiReader(strings.NewReader(log.String()), iotest.ErrReader(iotest.ErrTimeout))
	c := load(t, "-replay=-", `-log-regexp=BLOCK (?P<src>[\d.]+):(?P<spt>\d+) -> (?P<dpt>\d+)`, "-output=json")
	before := time.Now()
	err = Replay(c, in, &out)
	if !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("error %v, want %v", err, iotest.ErrTimeout)
	}
	var told replayedKnock
	if err := json.Unmarshal([]byte(out.String()), &told); err != nil {
		t.Fatalf("told %q: %v", out.String(), err)
	}
	if told.At.Before(before) || told.At.After(time.Now()) || *told.Port != 22 {
		t.Errorf("told %+v, want it now", told)
	}
}

// A stamp without a year is of the last twelve months, however old the log is.
func TestReplayYears(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, age := range []time.Duration{0, time.Hour, 24 * time.Hour, 100 * 24 * time.Hour, 190 * 24 * time.Hour, 300 * 24 * time.Hour} {
		at := now.Add(-age).Truncate(time.Second)
		lines := logLines(t, at, "203.0.113.5", open22, 1000)
		lines = strings.ReplaceAll(lines, at.UTC().Format(time.RFC3339Nano), at.Local().Format(time.Stamp))
		var out strings.Builder
		if err := Replay(load(t, "-replay=-"), strings.NewReader(lines), &out); err != nil {
			t.Fatal(err)
		}
		if want := at.Local().Format(time.RFC3339) + " 203.0.113.5: open"; !strings.HasPrefix(out.String(), want) {
			t.Errorf("told %q, want %q", out.String(), want)
		}
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestReplayFails(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	if err := Replay(load(t, "-replay="+missing), nil, new(strings.Builder)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing log: error %v", err)
	}
	if err := Replay(load(t, "-replay="+t.TempDir()), nil, new(strings.Builder)); err == nil {
		t.Error("a directory: no error")
	}
	if err := Replay(load(t, "-replay=-"), strings.NewReader("x\n"), brokenPipe{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("nowhere to write: error %v", err)
	}
}
