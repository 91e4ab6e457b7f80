package test

import (
	"bufio"
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The kernel alone can start both commands: they name no loader.
func TestStaticCommands(t *testing.T) {
	t.Parallel()
	dir := buildCommands(t)
	for _, name := range []string{"knockclient", "knockdaemon"} {
		f, err := elf.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) > 0 {
			t.Errorf("%s needs %q, %v", name, libraries, err)
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				t.Errorf("%s needs a loader", name)
			}
		}
	}
}

// A daemon that has nothing to do is small, and so is one that has done it.
func TestMemory(t *testing.T) {
	t.Parallel()
	l := newLab(t, firewallKind{})
	d := l.daemon()
	d.wantSmall("idle")
	for range 5 {
		l.knock("-port", "22", "-time", "5")
		d.next("knock accepted")
	}
	d.wantSmall("after some knocks")
}

// wantSmall compares the resident memory with what it may be.
func (d *runningDaemon) wantSmall(when string) {
	d.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "\nVmRSS:")
	var kB int
	if _, err := fmt.Sscan(after, &kB); err != nil {
		d.t.Fatalf("no VmRSS in %s", status)
	}
	d.t.Logf("%s: %d kB", when, kB)
	if kB >= 20<<10 {
		d.t.Errorf("%s the daemon has %d kB resident, want less than 20 MiB", when, kB)
	}
}

// wantSecret looks for the key where others can see it.
func (l *lab) wantSecret(pid int) {
	l.t.Helper()
	for _, name := range []string{"cmdline", "environ", "comm"} {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil {
			l.t.Fatal(err)
		}
		if name == "cmdline" && !bytes.Contains(data, []byte("knock")) {
			l.t.Fatalf("%q is the command line of something else", data)
		}
		if bytes.Contains(data, []byte(l.key)) {
			l.t.Errorf("the key is in %s: %q", name, data)
		}
	}
}

// Nobody can read the key from a process's arguments, nor from what either
// command says at its most talkative.
func TestKeyIsKept(t *testing.T) {
	t.Parallel()
	l := newLab(t, firewallKind{})
	d := l.daemon("-debug")
	l.wantSecret(d.cmd.Process.Pid)

	client := l.client("-debug", "-port", "22", "-delay", "300", gateIP)
	out := new(watched)
	client.Stdout, client.Stderr = out, out
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the client to knock", func() bool { return l.logged() > 0 })
	l.wantSecret(client.Process.Pid)
	if err := client.Wait(); err != nil {
		t.Errorf("knockclient: %v", err)
	}
	if !strings.Contains(out.String(), "knockclient: debug: ") {
		t.Errorf("knockclient -debug said %q", out)
	}
	d.next("rule opened")
	d.stop()
	if !strings.Contains(d.out.String(), `"level":"debug"`) {
		t.Errorf("knockdaemon -debug said\n%s", d.out)
	}
	for name, said := range map[string]string{"knockclient": out.String(), "knockdaemon": d.out.String()} {
		if strings.Contains(said, l.key) {
			t.Errorf("%s told the key:\n%s", name, said)
		}
	}
}

// contents gives the names and contents of the files in a directory, and of a socket which one it is.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		if f.Type() == os.ModeSocket {
			info, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			all[f.Name()] = fmt.Sprintf("socket %d", info.Sys().(*syscall.Stat_t).Ino)
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name()] = string(data)
	}
	return all
}

// A second daemon with the same state or pid file gives up, and harms nothing.
func TestSecondDaemon(t *testing.T) {
	t.Parallel()
	l := newLab(t, firewallKind{})
	l.echo(22)
	run := t.TempDir()
	pid := filepath.Join(run, "pid")
	before := l.rules()
	d := l.daemon("-pid-file", pid)
	l.knock("-port", "22", "-time", "5")
	d.next("rule opened")

	state := filepath.Join(l.dir, "state")
	rules, stateBefore, runBefore := l.rules(), contents(t, state), contents(t, run)
	for name, args := range map[string][]string{
		"state":    {"-pid-file", filepath.Join(run, "pid2")},
		"pid file": {"-pid-file", pid, "-state-dir", filepath.Join(t.TempDir(), "state2")},
		"both":     {"-pid-file", pid},
	} {
		stdout, stderr, status := l.run(l.daemonCommand(args...))
		want := fmt.Sprintf("another knockdaemon (process %d) holds", d.cmd.Process.Pid)
		if status != 1 || stdout != "" || !strings.HasPrefix(stderr, "knockdaemon: error: ") || !strings.Contains(stderr, want) {
			t.Fatalf("same %s: status %d, stdout %q, stderr %q; want status 1 and %q", name, status, stdout, stderr, want)
		}
		l.wantBefore(rules)
		if diff := cmp.Diff(stateBefore, contents(t, state)); diff != "" {
			t.Errorf("same %s: the state (-before +after):\n%s", name, diff)
		}
		if diff := cmp.Diff(runBefore, contents(t, run)); diff != "" {
			t.Errorf("same %s: the pid files (-before +after):\n%s", name, diff)
		}
	}
	l.wantOpen(laptopIP, 22)
	l.knock("-port", "22", "-time", "255")
	d.next("rule closed")
	d.stop()
	l.wantBefore(before)

	third := l.daemon("-pid-file", pid)
	third.stop()
	l.wantBefore(before)
}

// A terminal that is closed and a log that nobody reads any more end nothing.
func TestHangUp(t *testing.T) {
	t.Parallel()
	l := newLab(t, firewallKind{})
	l.echo(22)
	before := l.rules()
	terminal, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	d := l.daemonCommand()
	d.Stderr = stderr
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	stderr.Close()
	if line, err := bufio.NewReader(terminal).ReadString('\n'); !strings.Contains(line, `"msg":"watching"`) {
		t.Fatalf("knockdaemon said %q, %v", line, err)
	}
	terminal.Close()
	if err := d.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for _, port := range []int{22, 23} {
		l.knock("-port", strconv.Itoa(port))
		eventually(t, "the rule", func() bool { return slices.Contains(l.open(), fmt.Sprintf("%s %d", laptopIP, port)) })
	}
	l.wantOpen(laptopIP, 22)
	if err := d.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := d.Wait(); err != nil {
		t.Errorf("knockdaemon ended with %v", err)
	}
	l.wantBefore(before)
}
