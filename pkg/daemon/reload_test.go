package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/pad"
	"github.com/portknock/knock/pkg/ui"
)

// A reloading rig exchanges configurations as a signal would have it.
func (r *rig) reload(t *testing.T, flags ...string) error {
	t.Helper()
	return r.daemon.exchange(load(t, append([]string{"-log=" + r.log, "-state-dir=" + r.dir, "-output=json"}, flags...)...))
}

// newTestPad makes a pad of 100 knocks, and a copy for a client.
func newTestPad(t *testing.T) (path, client string) {
	t.Helper()
	path, client = filepath.Join(t.TempDir(), "pad"), filepath.Join(t.TempDir(), "pad")
	if err := pad.Make(path, 100); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(client, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path, client
}

// padLines makes the lines of a knock of a pad.
func padLines(t *testing.T, path string, p knock.Payload, firstSrcPort int) string {
	t.Helper()
	sender, err := pad.OpenSender(path, pad.Options{})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := p.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	message, err := sender.Seal(payload)
	if err != nil {
		t.Fatal(err)
	}
	var ports []uint16
	for _, b := range message {
		ports = append(ports, knock.DefaultPortMin+uint16(b))
	}
	return packetLines("203.0.113.5", firstSrcPort, ports...)
}

// A pad goes with the key that the configuration gives it to, by whatever name, and with no other's limits.
func TestReloadOfPads(t *testing.T) {
	t.Parallel()
	one, oneClient := newTestPad(t)
	two, twoClient := newTestPad(t)
	keys := func(a, b string) string {
		return conf(t, fmt.Sprintf("[key alice]\npad = %s\nallow-ports = 22\n[key bob]\npad = %s\nallow-ports = 80\n", a, b))
	}
	r := newRig(t, keys(one, two))
	r.append(t, padLines(t, oneClient, open22, 1000))
	r.journal.wait(t, "rule opened ip=198.51.100.7 port=22")

	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(one, moved); err != nil {
		t.Fatal(err)
	}
	if err := r.reload(t, keys(moved, two)); err != nil {
		t.Fatal(err)
	}
	r.append(t, padLines(t, oneClient, open22, 2000))
	r.journal.wait(t, "rule refreshed ip=198.51.100.7 port=22")

	if err := r.reload(t, keys(two, moved)); err != nil {
		t.Fatal(err)
	}
	r.append(t, padLines(t, oneClient, open22, 3000))
	r.journal.wait(t, "key=bob reason=port 22 is not in allow-ports")
	r.append(t, padLines(t, twoClient, knock.Payload{IP: laptop, Port: 22, Time: knock.Close}, 4000))
	r.journal.wait(t, "rule closed ip=198.51.100.7 port=22")

	again := filepath.Join(t.TempDir(), "again")
	if err := os.Link(two, again); err != nil {
		t.Fatal(err)
	}
	if err := r.reload(t, keys(two, again)); err == nil || !strings.Contains(err.Error(), "is that of two keys") {
		t.Errorf("one pad for two keys: error %v", err)
	}
	r.append(t, padLines(t, twoClient, knock.Payload{IP: laptop, Port: 22, Time: knock.Forever}, 5000))
	r.journal.wait(t, "knock=open 198.51.100.7 port 22 without time limit key=alice") // the old configuration works
}

// Where packets are seen before the firewall drops them, its bans are the daemon's too.
func TestBansOfSniffedSources(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if err := r.daemon.leases.Ban(laptop, time.Hour, true); err != nil {
		t.Fatal(err)
	}
	r.journal.wait(t, "ban opened")
	for flag, want := range map[string]bool{"-log=" + r.log: false, "-kmsg=true": false, "-nflog=5": true, "-interface=lo": true} {
		s, err := r.daemon.newSetup(load(t, flag, "-state-dir="+r.dir))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.ignored(laptop); got != want {
			t.Errorf("%s: banned %v, want %v", flag, got, want)
		}
	}
}

// A source that a reload has named and that does not work is tried again, and what is open stays open.
func TestReloadToABrokenSource(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.append(t, logLines(t, time.Now(), "203.0.113.5", open22, 1000))
	r.journal.wait(t, "rule opened ip=198.51.100.7 port=22")
	next := filepath.Join(t.TempDir(), "log")
	c := load(t, "-log="+next, "-state-dir="+r.dir, "-output=json")
	if err := os.Mkdir(next, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := r.daemon.exchange(c); err != nil {
		t.Fatal(err)
	}
	r.journal.wait(t, "nothing is watched, will try again")
	r.checkDump(t, "chain\naccept 198.51.100.7 22/tcp for 15 min\n")
	if err := os.Remove(next); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(next, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); strings.Count(r.journal.text(), "watching\n") < 2; {
		if time.Now().After(end) {
			t.Fatalf("it is not watched again:\n%s", r.journal.text())
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.log = next
	r.append(t, logLines(t, time.Now(), "203.0.113.5", knock.Payload{IP: laptop, Port: 22, Time: knock.Close}, 2000))
	r.journal.wait(t, "rule closed ip=198.51.100.7 port=22")
}

// A reload that is refused changes nothing, and -test cannot be switched on while ports are open for real.
func TestReloadKeepsTest(t *testing.T) {
	t.Parallel()
	list := filepath.Join(t.TempDir(), "list")
	write := func(text string) {
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(" 1,2,3\n 4,5,6\n")
	section := conf(t, "[s]\none_time_sequences = "+list+"\nopen = 22\n")
	r := newRig(t, section)
	if err := r.reload(t, section, "-test=true"); err != nil {
		t.Fatal(err)
	}
	r.append(t, packetLines("203.0.113.5", 1000, 1, 2, 3))
	r.journal.wait(t, "rule opened ip=203.0.113.5 port=22")
	marked, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("#1,2,3\n 4,5,6\n", string(marked)); diff != "" {
		t.Errorf("the list (-want +got)\n%s", diff)
	}

	// Somebody changes the list: what is knocked of the old one is refused, and the new one counts from then on.
	write(" 7,8,9\n")
	r.append(t, packetLines("203.0.113.6", 1000, 4, 5, 6))
	r.journal.wait(t, "knock refused src=203.0.113.6")
	r.append(t, packetLines("203.0.113.6", 2000, 7, 8, 9))
	r.journal.wait(t, "rule opened ip=203.0.113.6 port=22")
}

// A knock that closes a port does so whatever a configuration of before has made of it.
func TestReloadOfForwards(t *testing.T) {
	t.Parallel()
	r := newRig(t, "-forward=22=10.0.0.5:22")
	r.append(t, logLines(t, time.Now(), "203.0.113.5", open22, 1000))
	r.journal.wait(t, "rule opened ip=198.51.100.7 port=22")
	if err := r.reload(t); err != nil {
		t.Fatal(err)
	}
	closing := open22
	closing.Time = knock.Close
	r.append(t, logLines(t, time.Now(), "203.0.113.5", closing, 2000))
	r.journal.wait(t, "rule closed ip=198.51.100.7 port=22")
	r.checkDump(t, "chain\nforward chain\n")
}

// Whoever is not allowed to knock is not, by a sequence either.
func TestSectionsOfSomeOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t, "-allow-ips=203.0.113.0/24", conf(t, "[s]\nsequence = 1,2,3\nopen = 22\n"))
	r.append(t, packetLines("192.0.2.5", 1000, 1, 2, 3))
	r.journal.wait(t, "knock refused src=192.0.2.5 knock=open 22/tcp for 15 min section=s reason=192.0.2.5 is not in allow-ips")
	r.append(t, packetLines("203.0.113.5", 1000, 1, 2, 3))
	r.journal.wait(t, "rule opened ip=203.0.113.5 port=22")
}

// A log file that cannot be written to is told of.
func TestLogFileThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	_, flush := NewLog(&config.Daemon{LogFile: "/nonexistent/log"}, &out)
	flush()
	if !strings.Contains(out.String(), "LogFile cannot be written") {
		t.Errorf("told %q", out.String())
	}
}

// Commands alone need no iptables; what opens ports does, also if a reload brings it.
func TestWithoutIPTables(t *testing.T) {
	t.Parallel()
	flags := func(section string) *config.Daemon {
		given := []ui.Given{{Name: "conf", Value: strings.TrimPrefix(conf(t, "log = l\niptables = /nonexistent\n[s]\nsequence = 1,2\n"+section), "-conf=")}}
		c, err := config.LoadDaemon(given, func(string) string { return "" })
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	runs, opens := flags("command = /bin/true %IP%\n"), flags("open = 22\n")
	d, err := New(runs, newTestLog(t, runs, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.exchange(opens); err == nil || !strings.Contains(err.Error(), "no iptables") {
		t.Errorf("a reload that opens ports: error %v", err)
	}
	if _, err := New(opens, newTestLog(t, opens, io.Discard)); !errors.Is(err, firewall.ErrNotFound) {
		t.Errorf("a start that opens ports: error %v, want %v", err, firewall.ErrNotFound)
	}
}
