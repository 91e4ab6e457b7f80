package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/knock"
)

// newGate makes a lab without a laptop and a logger: the test itself writes the
// lines of the log, as many and as fast as it likes. The firewall also holds what
// is somebody else's, in every table.
func newGate(t *testing.T, program string) *lab {
	t.Helper()
	needPrograms(t, "iptables:iptables", "ip:iproute2")
	dir := t.TempDir()
	l := &lab{logger: logger{t: t, dir: dir, prefix: "DENY ", log: filepath.Join(dir, "knock.log")}, iptables: program, bin: buildCommands(t)}
	l.key = "a long passphrase of the gate"
	l.keyFile = writeTemp(t, dir, "knock.key", l.key+"\n", 0o600)
	l.gate = newSandbox(t)
	writeTemp(t, dir, "knock.log", "", 0o640)
	l.must(strings.Join([]string{
		"*filter", ":INPUT DROP", ":KNOCKER - ", // a name that begins as ours
		"-A INPUT -i lo -j ACCEPT", "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",
		"-A INPUT -s 198.51.100.1/32 -p tcp -m tcp --dport 22 -j ACCEPT", // like a rule of ours
		`-A INPUT -p tcp --dport 745:1000 -j LOG --log-prefix "DENY "`, "-A INPUT -p tcp --dport 745:1000 -j DROP",
		`-A KNOCKER -p tcp -m comment --comment "not knockdaemon" -j RETURN`, "-A FORWARD -j KNOCKER", "COMMIT",
		"*nat", "-A PREROUTING -p tcp --dport 2222 -j REDIRECT --to-ports 22", "COMMIT",
		"*mangle", "-A INPUT -p tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT", "COMMIT", "",
	}, "\n"), "ip", "netns", "exec", l.gate.name, program+"-restore")
	return l
}

// say writes the lines of the knock for p that ip makes.
func (l *lab) say(p knock.Payload) {
	l.t.Helper()
	l.write(l.lines(p.IP, p))
}

// lines are what the firewall writes when src knocks for p.
func (l *lab) lines(src netip.Addr, p knock.Payload) string {
	l.t.Helper()
	return l.tries(src, l.sealed(knock.Options{Passphrase: []byte(l.key)}, p))
}

// sealed gives the ports of a knock.
func (l *lab) sealed(o knock.Options, p knock.Payload) []uint16 {
	l.t.Helper()
	codec, err := knock.New(o)
	if err != nil {
		l.t.Fatal(err)
	}
	ports, err := codec.Seal(p)
	if err != nil {
		l.t.Fatal(err)
	}
	return ports
}

// tries are the lines of tries to connect to ports, each from a port of its own.
func (l *lab) tries(src netip.Addr, ports []uint16) string {
	var b strings.Builder
	at := time.Now().UTC().Format(time.RFC3339Nano)
	for _, port := range ports {
		fmt.Fprintf(&b, "%s gate kernel: [ 12.000001] %sIN=eth0 OUT= MAC= SRC=%s DST=192.0.2.1 LEN=60 PROTO=TCP SPT=%d DPT=%d WINDOW=1 RES=0x00 SYN URGP=0 \n",
			at, l.prefix, src, 1024+sandboxes.Add(1)%60000, port)
	}
	return b.String()
}

// write appends to the log.
func (l *lab) write(text string) {
	l.t.Helper()
	f, err := os.OpenFile(l.log, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		defer f.Close()
		_, err = f.WriteString(text)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// ask is a knock for port 22 of an address.
func ask(ip string, minutes uint8) knock.Payload {
	return knock.Payload{IP: netip.MustParseAddr(ip), Port: 22, Time: minutes}
}

// kill ends the daemon as nothing else does.
func (d *runningDaemon) kill() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		d.t.Fatal(err)
	}
	<-d.ended
	d.ended = nil
}

// ours are the lines of iptables-save that the daemon may change: its chain, the
// jump to it and the rules in it.
var ours = regexp.MustCompile(`(?m)^(:KNOCK |-A KNOCK |-A INPUT -m comment --comment knockdaemon -j KNOCK$).*\n`)

// foreign gives all tables without what is ours.
func (l *lab) foreign() string {
	l.t.Helper()
	return ours.ReplaceAllString(l.rules(), "")
}

// wantForeign insists that nothing of anybody else's has changed.
func (l *lab) wantForeign(before string) {
	l.t.Helper()
	if diff := cmp.Diff(before, l.foreign()); diff != "" {
		l.t.Errorf("somebody else's rules were touched (-before +after):\n%s", diff)
	}
}

// wantJump insists on one chain of ours and one jump to it.
func (l *lab) wantJump() {
	l.t.Helper()
	rules := l.rules()
	if chains, jumps := strings.Count(rules, "\n:KNOCK "), strings.Count(rules, " -j KNOCK\n"); chains != 1 || jumps != 1 {
		l.t.Errorf("got %d chains and %d jumps, want one of each:\n%s", chains, jumps, rules)
	}
}

// A journaled lease is what the journal says of one; the rest of it is between the
// daemon and itself.
type journaled struct {
	IP    string    `json:"ip"`
	Port  int       `json:"port"`
	Until time.Time `json:"until"`
}

// journal gives the leases in the journal as "ADDRESS PORT", and their ends.
func (l *lab) journal() (leases []string, ends map[string]time.Time) {
	l.t.Helper()
	b, err := os.ReadFile(filepath.Join(l.dir, "state", "leases"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		l.t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(b), "\n")
	var content struct {
		Leases []journaled `json:"leases"`
	}
	if err := json.Unmarshal([]byte(body), &content); err != nil {
		l.t.Fatalf("the journal is not whole: %v: %s", err, b)
	}
	ends = map[string]time.Time{}
	for _, j := range content.Leases {
		name := fmt.Sprintf("%s %d", j.IP, j.Port)
		leases = append(leases, name)
		ends[name] = j.Until
	}
	slices.Sort(leases)
	return leases, ends
}

// A wrapped iptables is a program that does what the test says, and then perhaps
// what iptables does.
func (l *lab) wrapIPTables() {
	l.t.Helper()
	real, err := exec.LookPath(l.iptables)
	if err != nil {
		l.t.Fatal(err)
	}
	l.wrapper = writeTemp(l.t, l.dir, "iptables", fmt.Sprintf("#!/bin/sh\n[ ! -e %s/instead ] || . %s/instead\nexec %s \"$@\"\n", l.dir, l.dir, real), 0o755)
}

// instead makes the wrapped iptables run a shell script first; empty: nothing.
func (l *lab) instead(script string) {
	l.t.Helper()
	path := filepath.Join(l.dir, "instead")
	if script == "" {
		if err := os.Remove(path); err != nil {
			l.t.Fatal(err)
		}
		return
	}
	temp := writeTemp(l.t, l.dir, "instead.new", script+"\n", 0o644)
	if err := os.Rename(temp, path); err != nil {
		l.t.Fatal(err)
	}
}
