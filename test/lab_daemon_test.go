package test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A runningDaemon is a knockdaemon at the gate.
type runningDaemon struct {
	t     *testing.T
	cmd   *exec.Cmd
	out   *watched
	ended chan error
	read  int // how many lines of out were looked at
}

// daemonCommand makes a knockdaemon at the gate. What args say wins.
func (l *lab) daemonCommand(args ...string) *exec.Cmd {
	conf := writeTemp(l.t, l.t.TempDir(), "knockdaemon.conf", l.daemonConf(), 0o600)
	cmd := l.gate.command(filepath.Join(l.bin, "knockdaemon"), append([]string{"-conf", conf}, args...)...)
	cmd.Env = append(os.Environ(), l.env...)
	return cmd
}

// daemonConf is the configuration of the gate's daemon. imkmsg works out times
// from the uptime, and this machine may have slept: hence the line-age.
func (l *lab) daemonConf() string {
	iptables := l.iptables
	if l.wrapper != "" {
		iptables = l.wrapper
	}
	return fmt.Sprintf("%slog-prefix = %q\nline-age = 86400\n"+
		"key-file = %s\niptables = %s\nstate-dir = %s\noutput = json\n",
		l.feed.setting(l.log), l.prefix, l.keyFile, iptables, filepath.Join(l.dir, "state"))
}

// daemon starts one and waits until it watches.
func (l *lab) daemon(args ...string) *runningDaemon {
	l.t.Helper()
	return l.follow(l.daemonCommand(args...))
}

// follow starts the command of a daemon and waits until it watches.
func (l *lab) follow(cmd *exec.Cmd) *runningDaemon {
	l.t.Helper()
	d := l.launch(cmd)
	d.next("watching")
	return d
}

// launch starts the command of a daemon.
func (l *lab) launch(cmd *exec.Cmd) *runningDaemon {
	l.t.Helper()
	d := &runningDaemon{t: l.t, cmd: cmd, out: new(watched), ended: make(chan error, 1)}
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	if err := d.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	go func() { d.ended <- d.cmd.Wait() }()
	l.t.Cleanup(func() {
		if d.ended != nil {
			<-d.ended // it was killed with the test's context
		}
		if l.t.Failed() {
			log, err := os.ReadFile(l.log)
			l.t.Logf("knockdaemon said:\n%s\nthe log, %v:\n%s\nthe firewall:\n%s", d.out, err, log, l.gate.in(l.iptables+"-save", "-c"))
		}
	})
	return d
}

// hasOpen reports whether a process has a file open.
func hasOpen(t *testing.T, pid int, name string) bool {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatalf("process %d is gone: %v", pid, err)
	}
	for _, f := range files {
		if got, err := os.Readlink(filepath.Join(dir, f.Name())); err == nil && got == name {
			return true
		}
	}
	return false
}

// events gives what the daemon has said so far.
func (d *runningDaemon) events() (events []map[string]any) {
	d.t.Helper()
	for line := range strings.Lines(d.out.String()) {
		if !strings.HasSuffix(line, "\n") {
			break // not all of it is there yet
		}
		event := map[string]any{}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			d.t.Fatalf("knockdaemon said %q: %v", line, err)
		}
		events = append(events, event)
	}
	return events
}

// evenlySpaced is a warning that knockd's own example deserves, and so do the
// tests' sections that are like it.
const evenlySpaced = "] its ports are evenly spaced: a scan in such steps completes it"

// next waits for the next line with a message. A warning or an error before it
// fails the test, but for evenlySpaced.
func (d *runningDaemon) next(message string) (event map[string]any) {
	d.t.Helper()
	eventually(d.t, fmt.Sprintf("knockdaemon to say %q", message), func() bool { return d.find(message, &event) })
	return event
}

// find looks for that line in what was not looked at yet.
func (d *runningDaemon) find(message string, event *map[string]any) bool {
	d.t.Helper()
	for _, e := range d.events()[d.read:] {
		d.read++
		if e["msg"] == message {
			*event = e
			return true
		}
		said, _ := e["msg"].(string)
		if level := e["level"]; level != "info" && level != "debug" && !strings.HasSuffix(said, evenlySpaced) {
			d.t.Errorf("before %q knockdaemon said %v", message, e)
		}
	}
	return false
}

// stop ends the daemon, which must like it.
func (d *runningDaemon) stop() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	select {
	case err := <-d.ended:
		d.ended = nil
		if err != nil {
			d.t.Errorf("knockdaemon ended with %v", err)
		}
	case <-time.After(patience):
		d.t.Fatal("knockdaemon does not end on SIGTERM")
	}
}

// timeOf reads a time that the daemon has said.
func (d *runningDaemon) timeOf(event map[string]any, key string) time.Time {
	d.t.Helper()
	text, _ := event[key].(string)
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		d.t.Fatalf("no time %q in %v", key, event)
	}
	return at
}
