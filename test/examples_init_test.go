package test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A service is the init script in a sandbox, with all its paths in a directory of
// the test's own.
type service struct {
	sandbox
	dir, script, conf, pidFile string
}

func newService(t *testing.T) service {
	t.Helper()
	dir := t.TempDir()
	v := service{newSandbox(t), dir, "", filepath.Join(dir, "knockdaemon.conf"), filepath.Join(dir, "knockdaemon.pid")}
	writeTemp(t, dir, "knock.key", "correct horse\n", 0o600)
	v.configure("log = " + filepath.Join(dir, "knock.log") + "\nkey-file = " + filepath.Join(dir, "knock.key") +
		"\nstate-dir = " + filepath.Join(dir, "state") + "\n")
	defaults := writeTemp(t, dir, "default", fmt.Sprintf("DAEMON=%s\nCONF=%s\nPIDFILE=%s\nLOGFILE=%s\n",
		filepath.Join(buildCommands(t), "knockdaemon"), v.conf, v.pidFile, filepath.Join(dir, "said.log")), 0o644)
	v.script = writeTemp(t, dir, "knockdaemon.init", readExample(t, "knockdaemon.init", "/etc/default/knockdaemon", defaults), 0o755)
	t.Cleanup(func() {
		if v.pid() != 0 {
			v.do(0, "stop")
		}
	})
	return v
}

func (v service) configure(text string) {
	v.t.Helper()
	writeTemp(v.t, v.dir, filepath.Base(v.conf), text, 0o600)
}

// do runs an action of the script and wants an exit status.
func (v service) do(status int, action string) (stdout, stderr string) {
	v.t.Helper()
	// Without the test's context: the last stop comes after its end. By way of sh: a
	// file that was just written cannot be executed while another test forks.
	cmd := exec.Command("ip", "netns", "exec", v.name, "sh", v.script, action)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	if e := cmd.Run(); cmd.ProcessState.ExitCode() != status {
		v.t.Errorf("%s: %v, want status %d\n%s%s", action, e, status, out.String(), err.String())
	}
	return out.String(), err.String()
}

// pid gives the number in the pid file, or 0 without one.
func (v service) pid() int {
	v.t.Helper()
	data, err := os.ReadFile(v.pidFile)
	if os.IsNotExist(err) {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		v.t.Fatal(err)
	}
	return pid
}

// wantJump wants the daemon's jump to be in the firewall, or not.
func (v service) wantJump(want bool) {
	v.t.Helper()
	if got := strings.Contains(v.in("iptables", "-S"), "-j KNOCK"); got != want {
		v.t.Errorf("there is a jump to KNOCK: %v, want %v", got, want)
	}
}

var initPrograms = []string{"start-stop-daemon:dpkg", "iptables:iptables", "ip:iproute2"}

func TestInitScript(t *testing.T) {
	t.Parallel()
	needPrograms(t, initPrograms...)
	v := newService(t)

	v.do(3, "status")
	v.do(0, "stop")
	v.do(0, "start")
	v.do(0, "status")
	v.wantJump(true)
	first := v.pid()

	if out, _ := v.do(0, "start"); !strings.Contains(out, "already") || v.pid() != first {
		t.Errorf("a second start says %q, process %d became %d", out, first, v.pid())
	}
	v.do(0, "restart")
	second := v.pid()
	if second == first || second == 0 {
		t.Errorf("restart: process %d became %d", first, second)
	}
	v.do(0, "force-reload")
	if third := v.pid(); third == second || third == 0 {
		t.Errorf("force-reload: process %d became %d", second, third)
	}
	v.do(0, "status")
	v.wantJump(true)

	v.do(0, "stop")
	v.wantJump(false)
	v.do(3, "status")
	if v.pid() != 0 {
		t.Error("stop left the pid file")
	}
	if !contains(filepath.Join(v.dir, "said.log"), "watching") {
		t.Error("what the daemon says is not in LOGFILE")
	}
}

// A pid file that outlived its daemon stands in nobody's way, also when its number
// is another program's by now.
func TestInitScriptStalePidFile(t *testing.T) {
	t.Parallel()
	needPrograms(t, initPrograms...)
	v := newService(t)
	other := v.command("sleep", "1000")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	for name, pid := range map[string]int{"of nobody": dead.Process.Pid, "of another": other.Process.Pid} {
		writeTemp(t, v.dir, filepath.Base(v.pidFile), fmt.Sprintln(pid), 0o644)
		v.do(1, "status")
		v.do(0, "stop")
		writeTemp(t, v.dir, filepath.Base(v.pidFile), fmt.Sprintln(pid), 0o644)
		v.do(0, "start")
		v.do(0, "status")
		if v.pid() == pid {
			t.Errorf("pid file %s: it is still there", name)
		}
		v.do(0, "stop")
	}
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("another program was ended: %v", err)
	}
}

// A daemon that was killed leaves a pid file; the next start takes over.
func TestInitScriptAfterKill(t *testing.T) {
	t.Parallel()
	needPrograms(t, initPrograms...)
	v := newService(t)
	v.do(0, "start")
	killed := v.pid()
	if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// Its locks go with its last thread, and only then can it be reaped.
	eventually(t, "the daemon's end", func() bool { return errors.Is(syscall.Kill(killed, 0), syscall.ESRCH) })
	v.do(1, "status")
	v.do(0, "start")
	if v.pid() == killed {
		t.Error("no new process")
	}
	v.do(0, "stop")
	v.wantJump(false)
}

func TestInitScriptCannotStart(t *testing.T) {
	t.Parallel()
	needPrograms(t, initPrograms...)
	tests := map[string]struct {
		spoil  func(service)
		status int
		want   string
	}{
		"unknown key": {func(v service) { v.configure("colour = red\n") }, 1, "unknown setting colour"},
		"no iptables": {func(v service) {
			v.configure("log = /nonexistent/log\nkey = k\niptables = /nonexistent\nstate-dir = " + v.dir + "\n")
		}, 1, "/nonexistent"},
		"no firewall": {func(v service) {
			v.configure("log = /nonexistent/log\nkey = k\niptables = /bin/false\nstate-dir = " + v.dir + "\n")
		}, 1, "did not start"},
		"no configuration": {func(v service) { os.Remove(v.conf) }, 6, "no configuration"},
		"not installed": {func(v service) {
			writeTemp(v.t, v.dir, "default", "DAEMON=/nonexistent\n", 0o644)
		}, 5, "not installed: /nonexistent"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newService(t)
			tt.spoil(v)
			if _, stderr := v.do(tt.status, "start"); !strings.Contains(stderr, tt.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("start says %q, want one line with %q", stderr, tt.want)
			}
			if v.pid() != 0 {
				t.Error("a pid file is left")
			}
		})
	}
}
