package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// healing is how long a fault of the firewall may last: half a minute, and then
// some on a busy machine.
const healing = 30*time.Second + patience

// wantHealed waits for the rules to be these again, each once, and for the jump.
func (l *lab) wantHealed(within time.Duration, want ...string) {
	l.t.Helper()
	deadline := time.Now().Add(within)
	for {
		got := fmt.Sprint(l.open())
		if got == fmt.Sprint(want) && strings.Contains(l.rules(), " -j KNOCK\n") {
			break
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("after %v %s are open, want %q", within, got, want)
		}
		time.Sleep(100 * time.Millisecond)
	}
	l.wantJump()
}

// faults of a firewall that others make while a port is open without a limit.
var faults = map[string]string{
	"the chain is flushed":     "iptables -F KNOCK",
	"the chain is deleted":     "iptables -D INPUT -m comment --comment knockdaemon -j KNOCK; iptables -F KNOCK; iptables -X KNOCK",
	"the jump is taken away":   "iptables -D INPUT -m comment --comment knockdaemon -j KNOCK",
	"a reload drops all of it": "iptables-save | grep -v KNOCK >%s/reload; iptables-restore %s/reload",
	"an older save comes back": "(iptables-save | sed '/-A KNOCK/s/192.0.2.10/192.0.2.66/') >%s/save; iptables-restore --noflush %s/save",
	"duplicates":               "iptables -S KNOCK | grep '^-A' | while read -r rule; do iptables $rule; iptables $rule; done; iptables -A INPUT -m comment --comment knockdaemon -j KNOCK",
}

// Whatever others do to our rules is put right within half a minute, and nothing
// of theirs is touched.
func TestReconcile(t *testing.T) {
	t.Parallel()
	for name, command := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newGate(t, "iptables")
			d := l.daemon()
			l.say(ask("192.0.2.10", 0))
			d.next("rule opened")
			was := l.rules()
			l.gate.in("sh", "-c", strings.ReplaceAll(command, "%s", l.dir))
			if l.rules() == was {
				t.Fatal("the fault is none")
			}
			before := l.foreign()
			l.wantHealed(healing, "192.0.2.10 22")
			if name != "duplicates" { // of which the better half was there all the time
				d.next("firewall put right")
			}
			l.wantForeign(before)
			d.stop()
			l.wantForeign(before)
			if got := ours.FindString(l.rules()); got != "" {
				t.Errorf("at the end %q is left", got)
			}
		})
	}
}

// What waits for half a minute waits no longer when somebody knocks.
func TestKnockHealsAtOnce(t *testing.T) {
	t.Parallel()
	l := newGate(t, "iptables")
	d := l.daemon()
	l.say(ask("192.0.2.10", 0))
	d.next("rule opened")
	l.gate.in("sh", "-c", strings.ReplaceAll(faults["the chain is deleted"], "%s", l.dir))
	l.say(ask("192.0.2.11", 5))
	d.next("rule opened")
	l.wantHealed(10*time.Second, "192.0.2.10 22", "192.0.2.11 22")
}

// A port that is open when the daemon ends is open again after the next start,
// until its own end; in between it is as on-stop says.
func TestRestart(t *testing.T) {
	t.Parallel()
	flush := func(l *lab) { l.gate.in("iptables", "-F"); l.gate.in("iptables", "-X"); l.gate.in("iptables", "-Z") }
	tests := map[string]struct {
		flags   []string
		end     func(*runningDaemon)
		between func(*lab)
		rules   []string // in between
	}{
		"kill -9":        {nil, (*runningDaemon).kill, nil, []string{"192.0.2.11 22", "192.0.2.10 22"}},
		"SIGTERM":        {nil, (*runningDaemon).stop, nil, nil},
		"SIGTERM, keep":  {[]string{"-on-stop", "keep"}, (*runningDaemon).stop, nil, []string{"192.0.2.11 22", "192.0.2.10 22"}},
		"a fresh kernel": {nil, (*runningDaemon).kill, flush, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newGate(t, "iptables")
			d := l.daemon(tt.flags...)
			l.say(ask("192.0.2.10", 0))
			d.next("rule opened")
			l.say(ask("192.0.2.11", 60))
			end := d.timeOf(d.next("rule opened"), "until")
			tt.end(d)
			if tt.between != nil {
				tt.between(l)
			}
			before := l.foreign()
			l.wantRules(tt.rules...)
			d = l.daemon(tt.flags...)
			for name, got := range l.ends() {
				if name != "192.0.2.11 22" || got.Sub(end).Abs() > 2*time.Second {
					t.Errorf("%s ends at %v, want the second one alone, at %v", name, got, end)
				}
			}
			if got := l.open(); len(got) != 2 || len(l.ends()) != 1 {
				t.Errorf("got %q open, want both", got)
			}
			l.say(ask("192.0.2.10", 255))
			d.next("rule closed")
			l.say(ask("192.0.2.11", 255))
			d.next("rule closed")
			d.kill()
			d = l.daemon(tt.flags...)
			l.wantRules()
			d.stop()
			l.wantForeign(before)
		})
	}
}

// With iptables in trouble the log is read on, what was asked for is done when it
// works again, the last wish for each rule first and last, and the journal is true.
func TestFirewallTrouble(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		trouble func(*lab)
		over    func(*lab)
	}{
		"it fails once": {
			func(l *lab) { l.instead("rm " + l.dir + "/instead; echo 'iptables: out of luck' >&2; exit 4") },
			func(*lab) {}},
		"it fails for a while": {
			func(l *lab) { l.instead("exit 4") },
			func(l *lab) { l.instead("") }},
		"it is missing": {
			func(l *lab) { l.move(l.wrapper, l.wrapper+".away") },
			func(l *lab) { l.move(l.wrapper+".away", l.wrapper) }},
		"it hangs": {
			func(l *lab) { l.instead("sleep 600") },
			func(l *lab) { l.instead("") }},
		"it is killed when its work is done": {
			func(l *lab) { l.instead("rm " + l.dir + "/instead; iptables \"$@\"; kill -9 $$") },
			func(*lab) {}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newGate(t, "iptables")
			l.wrapIPTables()
			before := l.foreign()
			d := l.daemon("-debug")
			l.say(ask("192.0.2.10", 0))
			d.next("rule opened")
			tt.trouble(l)
			l.say(ask("192.0.2.11", 60)) // opened in the end
			l.say(ask("192.0.2.10", 255))
			l.say(ask("192.0.2.12", 0)) // and closed again
			l.say(ask("192.0.2.12", 255))
			for range 4 { // all is read although nothing is done
				eventually(t, "the knock to be read", func() bool { return d.said("knock accepted") })
			}
			eventually(t, "the journal to say what was asked for", func() bool {
				leases, _ := l.journal()
				return fmt.Sprint(leases) == "[192.0.2.11 22]"
			})
			tt.over(l)
			l.wantHealed(2*time.Minute, "192.0.2.11 22")
			l.wantForeign(before)
			d.stop()
			l.wantForeign(before)
		})
	}
}

// said looks for a message whatever warnings come before it.
func (d *runningDaemon) said(message string) bool {
	for _, e := range d.events()[d.read:] {
		d.read++
		if e["msg"] == message {
			return true
		}
	}
	return false
}

func (l *lab) move(from, to string) {
	l.t.Helper()
	if err := os.Rename(from, to); err != nil {
		l.t.Fatal(err)
	}
}

// The legacy variant has a lock that others can hold for long.
func TestXtablesLock(t *testing.T) {
	t.Parallel()
	needPrograms(t, "iptables-legacy:iptables")
	l := newGate(t, "iptables-legacy")
	before := l.foreign()
	// A lock of our own: the machine's is nobody's business here.
	lock := filepath.Join(l.dir, "xtables.lock")
	l.env = []string{"XTABLES_LOCKFILE=" + lock}
	d := l.daemon()
	f, err := os.OpenFile(lock, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	held := time.Now()
	l.say(ask("192.0.2.10", 0))
	l.say(ask("192.0.2.11", 0))
	l.say(ask("192.0.2.11", 255))
	for range 3 {
		eventually(t, "the knock to be read", func() bool { return d.said("knock accepted") })
	}
	eventually(t, "the lock to be complained of", func() bool { return strings.Contains(d.out.String(), "rule not added, will try again") })
	time.Sleep(time.Until(held.Add(20 * time.Second)))
	if got := l.gate.in("env", "XTABLES_LOCKFILE=/dev/null", "iptables-legacy-save"); strings.Contains(got, "192.0.2.10") {
		t.Errorf("the lock locks nothing:\n%s", got)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	l.wantHealed(healing, "192.0.2.10 22")
	l.wantForeign(before)
	d.stop()
	l.wantForeign(before)
}

// On a full disk nothing opens, and closing works; when there is room again all
// goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	l := newGate(t, "iptables")
	state := filepath.Join(l.dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	l.must("", "mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", state)
	t.Cleanup(func() { l.must("", "umount", "--lazy", state) })
	d := l.daemon()
	for _, ip := range []string{"192.0.2.10", "192.0.2.11"} {
		l.say(ask(ip, 0))
		d.next("rule opened")
	}
	fill := filepath.Join(state, "fill")
	l.gate.in("sh", "-c", "cat /dev/zero >"+fill+" 2>/dev/null || true")
	l.say(ask("192.0.2.12", 0))
	eventually(t, "the knock to be refused", func() bool { return d.said("rule refused: the journal cannot be written") })
	l.say(ask("192.0.2.10", 255))
	eventually(t, "the port to be closed", func() bool { return d.said("rule closed") })
	l.wantRules("192.0.2.11 22")
	d.kill() // what was closed stays closed, whatever the disk is like
	d = l.daemonThatComplains()
	if got := l.open(); len(got) > 1 || len(got) == 1 && got[0] != "192.0.2.11 22" {
		t.Errorf("after the restart %q are open, want no more than the one that was not closed", got)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	l.say(ask("192.0.2.12", 0))
	eventually(t, "the knock to open", func() bool { return d.said("rule opened") })
	d.stop()

	// It starts on a full disk too, with nothing left of the one before.
	l.gate.in("sh", "-c", "cat /dev/zero >"+fill+" 2>/dev/null || true")
	d = l.daemonThatComplains()
	d.stop()
}

// A disk that has become read-only is the same, but that what is closed may still
// be in the journal, which is said.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	l := newGate(t, "iptables")
	state := filepath.Join(l.dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	l.must("", "mount", "-t", "tmpfs", "-o", "mode=0700", "tmpfs", state)
	t.Cleanup(func() { l.must("", "umount", "--lazy", state) })
	d := l.daemon()
	l.say(ask("192.0.2.10", 0))
	d.next("rule opened")
	// The daemon holds files open for writing there, which a remount refuses; a
	// read-only mount over it is as good.
	mount := func(args ...string) { // where the daemon sees it
		l.must("", "nsenter", append([]string{"--mount", "--target", strconv.Itoa(d.cmd.Process.Pid), "mount"}, args...)...)
	}
	mount("--bind", state, state)
	mount("-o", "remount,bind,ro", state)
	l.say(ask("192.0.2.12", 0))
	eventually(t, "the knock to be refused", func() bool { return d.said("rule refused: the journal cannot be written") })
	l.say(ask("192.0.2.10", 255))
	eventually(t, "the port to be closed", func() bool { return d.said("rule closed") })
	l.wantRules()
	if !strings.Contains(d.out.String(), "still in the journal") {
		t.Error("it is not said that the journal holds a port that is closed")
	}
	d.stop()
}

// A journal that is torn or somebody else's opens nothing, and stops nobody.
func TestBrokenJournal(t *testing.T) {
	t.Parallel()
	l := newGate(t, "iptables")
	d := l.daemon()
	l.say(ask("192.0.2.10", 0))
	d.next("rule opened")
	d.kill()
	path := filepath.Join(l.dir, "state", "leases")
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	d = l.daemonThatComplains()
	if !strings.Contains(d.out.String(), "cannot be used") {
		t.Error("it is not said what became of the journal")
	}
	l.wantRules()
	if _, err := os.Stat(path + ".broken"); err != nil {
		t.Error(err)
	}
	l.say(ask("192.0.2.10", 0))
	d.next("rule opened")
	d.stop()
}

// daemonThatComplains starts one that has something to say before it watches.
func (l *lab) daemonThatComplains(args ...string) *runningDaemon {
	l.t.Helper()
	d := l.launch(l.daemonCommand(args...))
	eventually(l.t, "the daemon to watch", func() bool { return d.said("watching") })
	return d
}
