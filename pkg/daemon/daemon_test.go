package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/ui"
)

// load makes settings of flags, "-name=value"; the key is "knock".
func load(t *testing.T, flags ...string) *config.Daemon {
	t.Helper()
	given := []ui.Given{{Name: "key", Value: "knock"}}
	for _, f := range flags {
		name, value, _ := strings.Cut(strings.TrimPrefix(f, "-"), "=")
		given = append(given, ui.Given{Name: name, Value: value})
	}
	c, err := config.LoadDaemon(given, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newTestLog(t *testing.T, c *config.Daemon, w io.Writer) *logrus.Logger {
	t.Helper()
	log, flush := NewLog(c, w)
	t.Cleanup(flush)
	return log
}

// A journal is the daemon's own log, one JSON object a line, that a test can wait for.
type journal struct {
	mu      sync.Mutex
	entries []string
	changed chan struct{}
}

func newJournal() *journal { return &journal{changed: make(chan struct{}, 1)} }

func (j *journal) Write(b []byte) (int, error) {
	var entry map[string]any
	if err := json.Unmarshal(b, &entry); err != nil {
		return 0, err
	}
	line := fmt.Sprint(entry["msg"])
	for _, key := range []string{"src", "knock", "ip", "port", "proto", "to", "key", "section", "reason", "command", "error", "lines", "old"} {
		if v, ok := entry[key]; ok {
			line += fmt.Sprintf(" %s=%v", key, v)
		}
	}
	j.mu.Lock()
	j.entries = append(j.entries, line)
	j.mu.Unlock()
	select {
	case j.changed <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.entries, "\n") + "\n"
}

// wait waits until the journal holds text.
func (j *journal) wait(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !strings.Contains(j.text(), text) {
		select {
		case <-j.changed:
		case <-deadline:
			t.Fatalf("no %q in\n%s", text, j.text())
		}
	}
}

// A rig is a daemon at work on a log of its own, with a firewall that is none.
type rig struct {
	dir, log string
	daemon   *Daemon
	firewall *firewall.Fake
	journal  *journal
	stop     func() error // ends it and gives Run's error
}

func newRig(t *testing.T, flags ...string) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{dir: dir, log: filepath.Join(dir, "log"), firewall: firewall.NewFake(), journal: newJournal()}
	if err := os.WriteFile(r.log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := load(t, append([]string{"-log=" + r.log, "-state-dir=" + dir, "-output=json"}, flags...)...)
	d := newDaemon(newTestLog(t, c, r.journal))
	r.daemon = d
	if err := d.prepare(c, r.firewall); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	r.journal.wait(t, "watching")
	return r
}

// logLines makes the lines of a knock that src made at a time.
func logLines(t *testing.T, at time.Time, src string, p knock.Payload, firstSrcPort int) string {
	t.Helper()
	codec, err := knock.New(knock.Options{Passphrase: []byte("knock")})
	if err != nil {
		t.Fatal(err)
	}
	sequence, err := codec.Seal(p)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for i, port := range sequence {
		fmt.Fprintf(&b, "%s gate kernel: [ 12.000001] DENY IN=eth0 OUT= MAC= SRC=%s DST=192.0.2.1 LEN=60 PROTO=TCP SPT=%d DPT=%d WINDOW=1 RES=0x00 SYN URGP=0 \n",
			at.UTC().Format(time.RFC3339Nano), src, firstSrcPort+i, port)
	}
	return b.String()
}

func (r *rig) append(t *testing.T, text string) {
	t.Helper()
	f, err := os.OpenFile(r.log, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

var (
	laptop = netip.MustParseAddr("198.51.100.7")
	open22 = knock.Payload{IP: laptop, Port: 22, Time: 15}
)

func (r *rig) checkDump(t *testing.T, want string) {
	t.Helper()
	got := regexp.MustCompile(`until (\S+)`).ReplaceAllStringFunc(r.firewall.Dump(), func(end string) string {
		at, err := time.Parse(time.RFC3339, strings.TrimPrefix(end, "until "))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("for %.0f min", time.Until(at).Minutes())
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("firewall (-want +got)\n%s", diff)
	}
}

func TestKnockOpensAndCloses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.append(t, logLines(t, time.Now(), "203.0.113.5", open22, 1000))
	r.journal.wait(t, "rule opened ip=198.51.100.7 port=22")
	r.checkDump(t, "chain\naccept 198.51.100.7 22/tcp for 15 min\n")
	r.append(t, logLines(t, time.Now(), "203.0.113.5", open22, 2000))
	r.journal.wait(t, "rule refreshed ip=198.51.100.7 port=22")
	r.checkDump(t, "chain\naccept 198.51.100.7 22/tcp for 15 min\n")
	r.append(t, logLines(t, time.Now(), "203.0.113.5", knock.Payload{IP: laptop, Port: 22, Time: knock.Close}, 3000))
	r.journal.wait(t, "rule closed ip=198.51.100.7 port=22")
	r.checkDump(t, "chain\n")
	r.append(t, logLines(t, time.Now(), "203.0.113.5", knock.Payload{IP: laptop, Port: 25, Time: knock.Forever}, 4000))
	r.journal.wait(t, "rule opened ip=198.51.100.7 port=25")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r.checkDump(t, "")
	want := `watching
knock accepted src=203.0.113.5 knock=open 198.51.100.7 port 22 for 15 min
rule opened ip=198.51.100.7 port=22
knock accepted src=203.0.113.5 knock=open 198.51.100.7 port 22 for 15 min
rule refreshed ip=198.51.100.7 port=22
knock accepted src=203.0.113.5 knock=close 198.51.100.7 port 22
rule closed ip=198.51.100.7 port=22
knock accepted src=203.0.113.5 knock=open 198.51.100.7 port 25 without time limit
rule opened ip=198.51.100.7 port=25
rules removed, leases kept for the next start: 1
stopped lines=32 old=0
`
	r.journal.wait(t, "stopped")
	if diff := cmp.Diff(want, r.journal.text()); diff != "" {
		t.Errorf("journal (-want +got)\n%s", diff)
	}
}

// Lines of more than a minute ago, or from now, open nothing, and are told of once.
func TestOldLines(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.append(t, logLines(t, time.Now().Add(-62*time.Second), "203.0.113.5", open22, 1000))
	r.append(t, logLines(t, time.Now().Add(+70*time.Second), "203.0.113.5", open22, 2000))
	r.append(t, logLines(t, time.Now().Add(-50*time.Second), "203.0.113.5", knock.Payload{IP: laptop, Port: 23, Time: 1}, 3000))
	r.journal.wait(t, "rule opened ip=198.51.100.7 port=23")
	r.checkDump(t, "chain\naccept 198.51.100.7 23/tcp for 1 min\n")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(r.journal.text(), "ignored lines"); got != 1 {
		t.Errorf("told of old lines %d times, want once:\n%s", got, r.journal.text())
	}
	r.journal.wait(t, "stopped lines=24 old=16")
}

// Noise is counted and not logged, however much of it there is.
func TestNoiseIsNotLogged(t *testing.T) {
	t.Parallel()
	r := newRig(t, "-debug=true")
	var noise strings.Builder
	for port := 745; port <= 1000; port++ {
		fmt.Fprintf(&noise, "%s gate kernel: DENY IN=e OUT= SRC=203.0.113.%d DST=192.0.2.1 PROTO=TCP SPT=%d DPT=%d WINDOW=1 SYN URGP=0 \n",
			time.Now().UTC().Format(time.RFC3339), port%4, port, port)
	}
	r.append(t, strings.Repeat(noise.String(), 20)+logLines(t, time.Now(), "203.0.113.9", open22, 1000))
	r.journal.wait(t, "rule opened")
	if got := strings.Count(r.journal.text(), "\n"); got > 4 {
		t.Errorf("%d entries, want watching, counts, accepted, opened:\n%s", got, r.journal.text())
	}
}

func TestRefusedKnock(t *testing.T) {
	t.Parallel()
	r := newRig(t, "-allow-ports=80")
	r.append(t, logLines(t, time.Now(), "203.0.113.5", open22, 1000))
	r.journal.wait(t, "knock refused src=203.0.113.5 knock=open 198.51.100.7 port 22 for 15 min reason=port 22 is not in allow-ports")
	r.checkDump(t, "chain\n")
}

func TestFirewallFails(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.firewall.Fail(firewall.OpAdd, errors.New("the firewall is out"))
	r.append(t, logLines(t, time.Now(), "203.0.113.5", open22, 1000))
	r.journal.wait(t, "rule not added, will try again")
	r.firewall.Fail(firewall.OpAdd, nil)
	r.append(t, logLines(t, time.Now(), "203.0.113.5", open22, 2000))
	r.journal.wait(t, "rule opened ip=198.51.100.7 port=22")
	r.checkDump(t, "chain\naccept 198.51.100.7 22/tcp for 15 min\n")
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	fake := firewall.NewFake()
	fake.Fail(firewall.OpSetup, firewall.ErrNotPermitted)
	dir := t.TempDir()
	c := load(t, "-log="+filepath.Join(dir, "log"), "-state-dir="+dir)
	d := newDaemon(newTestLog(t, c, io.Discard))
	if err := d.prepare(c, fake); err != nil {
		t.Fatal(err)
	}
	err := d.Run(t.Context())
	var out strings.Builder
	ui.Fail(&out, "p", err)
	if !errors.Is(err, firewall.ErrNotPermitted) || !strings.Contains(out.String(), "p: hint: run as root") {
		t.Errorf("%v: %s", err, out.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "lock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the lock is still there: %v", err)
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	dir, j := t.TempDir(), newJournal()
	c := load(t, "-log="+filepath.Join(dir, "log"), "-state-dir=/nonexistent/x", "-test=true", "-output=json", "-iptables=/nonexistent")
	d, err := New(c, newTestLog(t, c, j))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	j.wait(t, "watching")
	if err := os.WriteFile(c.Source.Log, []byte(logLines(t, time.Now(), "203.0.113.5", open22, 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	j.wait(t, "would run command=/nonexistent -w 5 -I KNOCK -s 198.51.100.7/32 -p tcp -m tcp --dport 22 -m time --datestop 20")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	j.wait(t, "stopped")
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	src := netip.MustParseAddr("203.0.113.5")
	with := func(change func(*knock.Payload)) knock.Payload {
		p := open22
		change(&p)
		return p
	}
	ips := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("203.0.113.5/32")}
	for name, test := range map[string]struct {
		allow   config.Allow
		payload knock.Payload
		want    string
	}{
		"anything":                  {config.Allow{}, open22, ""},
		"port":                      {config.Allow{Ports: config.Ports{{Low: 22, High: 22}}}, open22, ""},
		"another port":              {config.Allow{Ports: config.Ports{{Low: 80, High: 80}}}, open22, "port 22 is not in allow-ports"},
		"another port, to close":    {config.Allow{Ports: config.Ports{{Low: 80, High: 80}}}, with(func(p *knock.Payload) { p.Time = knock.Close }), "port 22 is not in allow-ports"},
		"address":                   {config.Allow{IPs: ips}, with(func(p *knock.Payload) { p.IP = src }), ""},
		"another address":           {config.Allow{IPs: ips}, open22, "198.51.100.7 is not in allow-ips"},
		"its own address":           {config.Allow{MatchSource: true}, with(func(p *knock.Payload) { p.IP = src }), ""},
		"not its own address":       {config.Allow{MatchSource: true}, open22, "it came from 203.0.113.5 and names 198.51.100.7 (match-source)"},
		"as long as allowed":        {config.Allow{MaxTime: 15}, open22, ""},
		"too long":                  {config.Allow{MaxTime: 14}, open22, "15 minutes, max-time is 14"},
		"without an end":            {config.Allow{MaxTime: 254}, with(func(p *knock.Payload) { p.Time = knock.Forever }), "no time limit, max-time is 254"},
		"closing is never too long": {config.Allow{MaxTime: 1}, with(func(p *knock.Payload) { p.Time = knock.Close }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, refusal(test.allow, src, test.payload)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
