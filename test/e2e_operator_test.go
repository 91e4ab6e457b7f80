package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/control"
	"github.com/portknock/knock/pkg/knock"
)

// ask asks the gate's daemon, and gives what it says.
func (l *lab) ask(args ...string) string {
	l.t.Helper()
	stdout, stderr, status := l.run(l.daemonCommand(args...))
	if status != 0 || stderr != "" {
		l.t.Fatalf("knockdaemon %q: status %d, stderr %q", args, status, stderr)
	}
	return stdout
}

// asked reads what the daemon says as JSON.
func asked[T any](l *lab, args ...string) (v T) {
	l.t.Helper()
	text := l.ask(append(args, "-output", "json")...)
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		l.t.Fatalf("knockdaemon %q said %q: %v", args, text, err)
	}
	return v
}

// An operator sees who is in, by which key, and until when; closes it; and reads why somebody is not in.
func TestOperator(t *testing.T) {
	t.Parallel()
	l := newGate(t, "iptables")
	conf := writeTemp(t, l.dir, "keys.conf", l.daemonConf()+"[key alice]\nkey-file = "+
		writeTemp(t, l.dir, "alice.key", "the key of alice\n", 0o600)+"\nallow-ports = 22\n", 0o600)
	d := l.daemon("-conf", conf)
	if got := asked[control.Status](l, "-conf", conf, "-status"); len(got.Leases) != 0 || len(got.Sources) != 1 || !got.Sources[0].Watching {
		t.Errorf("at first it says %+v", got)
	}
	for _, args := range [][]string{
		{"-key-file", filepath.Join(l.dir, "alice.key"), "-ip", "198.51.100.7", "-port", "22", "-time", "15"},
		{"-key-file", filepath.Join(l.dir, "alice.key"), "-ip", "198.51.100.7", "-port", "23", "-time", "15"},
		{"-key-file", l.keyFile, "-ip", "198.51.100.8", "-port", "80", "-time", "0"},
	} {
		l.must("", filepath.Join(l.bin, "knockclient"), append(args, "-log-to-file", l.log, "127.0.0.1")...)
	}
	eventually(t, "the knocks", func() bool { return strings.Count(d.out.String(), "rule opened") == 2 && d.said("knock refused") })
	status := asked[control.Status](l, "-conf", conf, "-status")
	var got []string
	for _, one := range status.Leases {
		limit := "without end"
		if one.Until != nil && time.Until(*one.Until) > 14*time.Minute && time.Until(*one.Until) <= 15*time.Minute {
			limit = "15 min"
		}
		got = append(got, fmt.Sprintf("%s %s %d/%s %s by %q from %s", one.Action, one.Address, one.Port, one.Proto, limit, one.By, one.From))
	}
	for _, k := range status.Keys {
		got = append(got, fmt.Sprintf("%q: %d accepted, %d refused, ever: %t", k.Name, k.Accepted, k.Refused, k.Last != nil))
	}
	want := []string{
		`open 198.51.100.7 22/tcp 15 min by "key alice" from 127.0.0.1`,
		`open 198.51.100.8 80/tcp without end by "key" from 127.0.0.1`,
		`"key": 1 accepted, 0 refused, ever: true`,
		`"key alice": 1 accepted, 1 refused, ever: true`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the status (-want +got)\n%s", diff)
	}
	for _, words := range []string{"198.51.100.7 +22/tcp +14 min \\d+ s +key alice +127.0.0.1", "198.51.100.8 +80/tcp +no limit +key +127.0.0.1"} {
		if text := l.ask("-conf", conf, "-status"); !regexp.MustCompile(words).MatchString(text) {
			t.Errorf("no %q in\n%s", words, text)
		}
	}

	if got, want := l.ask("-conf", conf, "-close", "198.51.100.7:22"), "closed 22/tcp, which was open to 198.51.100.7 by key alice\n"; got != want {
		t.Errorf("-close says %q, want %q", got, want)
	}
	l.wantOpenRules("198.51.100.8 80") // at once: that it is closed was waited for
	if got, want := l.ask("-conf", conf, "-close", "198.51.100.7"), "nothing was open to 198.51.100.7\n"; got != want {
		t.Errorf("-close says %q, want %q", got, want)
	}

	// Who had it opened is known after a crash, too.
	d.kill()
	d = l.daemon("-conf", conf)
	if text := l.ask("-conf", conf, "-status"); !strings.Contains(text, "198.51.100.8") || !regexp.MustCompile(`no limit +key +127.0.0.1`).MatchString(text) {
		t.Errorf("after a crash:\n%s", text)
	}
	d.stop()
	stdout, stderr, code := l.run(l.daemonCommand("-conf", conf, "-status"))
	if code != 1 || stdout != "" || !strings.Contains(stderr, "no knockdaemon is running") {
		t.Errorf("without a daemon: status %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

// While iptables hangs the daemon answers at once, what waits for it is not told of as open, and can be closed.
func TestOperatorOfHangingFirewall(t *testing.T) {
	t.Parallel()
	l := newGate(t, "iptables")
	l.wrapIPTables()
	d := l.daemon()
	l.instead("until [ ! -e " + l.dir + "/hang ]; do sleep 0.05; done")
	hang := writeTemp(t, l.dir, "hang", "", 0o600)
	l.say(ask("198.51.100.7", 5)) // which the daemon is busy with
	d.next("knock accepted")
	l.say(ask("198.51.100.8", 5))
	d.next("knock accepted")
	for _, src := range []string{"198.51.100.7", "198.51.100.8"} {
		if text := l.ask("-status"); !regexp.MustCompile(regexp.QuoteMeta(src) + ` +22/tcp +not yet in force +key`).MatchString(text) {
			t.Errorf("no word that %s waits in\n%s", src, text)
		}
		if text := l.ask("-why", src); !strings.Contains(text, "is not yet in the firewall") {
			t.Errorf("-why %s says\n%s", src, text)
		}
	}
	closing := make(chan string, 1)
	go func() {
		stdout, stderr, status := l.run(l.daemonCommand("-close", "198.51.100.8"))
		closing <- fmt.Sprintf("%d %s%s", status, stdout, stderr)
	}()
	eventually(t, "the closing to be heard", func() bool { return len(asked[control.Status](l, "-status").Leases) == 1 })
	if err := os.Remove(hang); err != nil {
		t.Fatal(err)
	}
	if got, want := <-closing, "0 closed 22/tcp, which was open to 198.51.100.8 by key\n"; got != want {
		t.Errorf("-close says %q, want %q", got, want)
	}
	eventually(t, "the other rule", func() bool { return len(l.open()) == 1 })
	l.wantOpenRules("198.51.100.7 22")
	d.stop()
}

// Each reason for which a knock opens nothing is told.
func TestWhy(t *testing.T) {
	t.Parallel()
	l := newGate(t, "iptables")
	d := l.daemon("-allow-ports", "22", "-guess-limit", "200", "-ban-action", "ignore", "-line-age", "60")
	ports := l.sealed(knock.Options{Passphrase: []byte(l.key)}, ask("203.0.113.99", 5))
	lines := func(src string, n int) string { return l.tries(netip.MustParseAddr(src), ports[:n]) }
	other := append([]uint16{}, ports...)
	other[0], other[7] = other[7], other[0]
	old := regexp.MustCompile(`(?m)^\S+`).ReplaceAllString(lines("203.0.113.5", 8), time.Now().Add(-2*time.Hour).Format(time.RFC3339))
	refused := ask("203.0.113.6", 5)
	refused.Port = 23

	l.write(lines("203.0.113.2", 5))
	l.write(l.tries(netip.MustParseAddr("203.0.113.3"), other))
	l.write(strings.ReplaceAll(lines("203.0.113.4", 8), l.prefix, "DROPPED "))
	l.write(old)
	l.write(l.lines(netip.MustParseAddr("203.0.113.6"), refused))
	l.write(l.lines(netip.MustParseAddr("203.0.113.16"), refused)) // for that other address
	l.write(strings.Repeat(lines("203.0.113.7", 3), 2))
	l.write(l.noise("203.0.113.8", 2000))
	l.write(strings.ReplaceAll(lines("203.0.113.9", 8), " kernel: ", " sshd[1]: "))
	l.write(l.lines(netip.MustParseAddr("198.51.100.1"), ask("198.51.100.1", 5)))
	eventually(t, "the knock", func() bool { return d.said("rule opened") })

	for src, want := range map[string]string{
		"203.0.113.1":  "nothing was seen from it since the daemon was started ",
		"203.0.113.2":  "only 5 SYNs of the 8 of a knock were seen",
		"203.0.113.3":  "its SYNs are no knock of any key",
		"203.0.113.4":  "another prefix",
		"203.0.113.5":  "the log's clock or time zone is not this machine's",
		"203.0.113.6":  "its knock was refused: open 203.0.113.6 port 23 for 5 min: port 23 is not in allow-ports (asked for by 203.0.113.16)",
		"203.0.113.16": "its knock was refused: open 203.0.113.6 port 23 for 5 min: port 23 is not in allow-ports",
		"203.0.113.7":  "only 3 SYNs of the 8",
		"203.0.113.8":  "it is banned",
		"203.0.113.9":  "was not written by the kernel's logger",
		"198.51.100.1": "22/tcp",
	} {
		text := l.ask("-why", src)
		if !strings.Contains(text, want) {
			t.Errorf("-why %s says\n%s\nwant %q in it", src, text, want)
		}
		t.Logf("%s", text)
	}
	if text := l.ask("-why", "203.0.113.7"); !strings.Contains(text, "copies") {
		t.Errorf("no word about copies in\n%s", text)
	}
	d.stop()
}

// Only root and the daemon's user can ask; and metrics are there for who wants them.
func TestOperatorAccess(t *testing.T) {
	t.Parallel()
	l := newGate(t, "iptables")
	state := filepath.Join(l.dir, "state")
	d := l.daemon("-metrics", "127.0.0.1:9745")
	info, err := os.Lstat(filepath.Join(state, "control"))
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("the socket has %v, %v; want only its owner to use it", info.Mode(), err)
	}
	l.say(ask("198.51.100.7", 5))
	eventually(t, "the knock", func() bool { return d.said("rule opened") })
	text := l.gate.in("curl", "--silent", "--show-error", "http://127.0.0.1:9745/metrics")
	for _, line := range []string{
		`knockdaemon_leases{action="open"} 1`, `knockdaemon_knocks_total 1`, `knockdaemon_key_accepted_total{key=""} 1`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
	l.must(text, "promtool", "check", "metrics")
	if got := l.gate.in("curl", "--silent", "--unix-socket", filepath.Join(state, "control"), "http://knockdaemon/status"); !json.Valid([]byte(got)) {
		t.Errorf("the socket says %q", got)
	}
	if got := l.gate.in("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--header", "Host: evil.example", "http://127.0.0.1:9745/metrics"); got != fmt.Sprint(http.StatusForbidden) {
		t.Errorf("with another host's name it answers %s", got)
	}
	d.stop()
	if _, err := os.Lstat(filepath.Join(state, "control")); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}
