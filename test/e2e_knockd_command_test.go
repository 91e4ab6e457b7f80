package test

import (
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

// commandLab starts a daemon with secrets in its environment and one section, that runs a command.
func commandLab(t *testing.T, command func(dir string) string, args ...string) (*lab, *runningDaemon) {
	t.Helper()
	l := newSniffLab(t)
	conf := l.knockdConf("[options]\n[run]\n\tsequence = 7000,8000,9000\n\ttcpflags = syn\n\tcommand = " + command(l.dir) + "\n")
	daemon := append([]string{filepath.Join(l.bin, "knockdaemon"), "-conf", conf, "-state-dir", filepath.Join(l.dir, "state"), "-output", "json"}, args...)
	// Whoever runs the tests may have left them files that are open.
	closed := `for f in /proc/self/fd/*; do [ "${f##*/}" -le 2 ] || eval "exec ${f##*/}>&-"; done; exec "$@"`
	cmd := l.gate.command("bash", append([]string{"-c", closed, "bash"}, daemon...)...)
	cmd.Env = append(os.Environ(), "KNOCK_KEY=a long passphrase", "NOTIFY_SOCKET="+filepath.Join(l.dir, "notify"), "SECRET=yes", "IP=6.6.6.6", "LD_PRELOAD=")
	return l, l.launch(cmd)
}

// In a shell's quotes and pipes, as anywhere else, %IP% is an address.
func TestSequenceCommandInShell(t *testing.T) {
	t.Parallel()
	l, d := commandLab(t, func(dir string) string {
		return fmt.Sprintf(`echo "%%IP%%" '%%IP%%' $IP %%ip%% | tr . - >%s/out; echo done`, dir)
	})
	d.wantWatching()
	l.send(syns(laptopIP, 7000, 8000, 9000)...)
	if got := d.next("command started")["output"]; got != "done" {
		t.Errorf("output %q", got)
	}
	l.wantText(filepath.Join(l.dir, "out"), "192-0-2-2 192-0-2-2 192-0-2-2 %ip%\n")
	l.knockWith("fd00::1", "-6", "7000", "8000", "9000")
	d.next("command started")
	l.wantText(filepath.Join(l.dir, "out"), "fd00::2 fd00::2 fd00::2 %ip%\n")
	d.stop()
}

// wantWatching waits until the daemon listens. Nobody is at the other end of the service manager's socket, which it says
// after that.
func (d *runningDaemon) wantWatching() {
	d.t.Helper()
	eventually(d.t, "knockdaemon to listen", func() bool { return d.said("watching") })
	eventually(d.t, "it to miss the service manager", func() bool {
		return strings.Contains(d.out.String(), "failed to tell the service manager")
	})
	d.read = len(d.events())
}

// A command finds nothing of the daemon's: no secret, no input, no file.
func TestSequenceCommandInheritsNothing(t *testing.T) {
	t.Parallel()
	l, d := commandLab(t, func(dir string) string {
		return fmt.Sprintf("env >%[1]s/env; wc -c >%[1]s/input; ls -l /proc/self/fd >%[1]s/files; pwd >%[1]s/dir", dir)
	})
	d.wantWatching()
	l.send(syns(laptopIP, 7000, 8000, 9000)...)
	var started map[string]any
	eventually(t, "the command to end", func() bool { return d.sees("command started", &started) || d.sees("command start failed", &started) })
	l.wantText(filepath.Join(l.dir, "input"), "0\n")
	files := mustRead(t, filepath.Join(l.dir, "files")) // that of ls itself is the fourth
	if got := strings.Count(files, " -> "); got != 4 || !strings.Contains(files, " 0 -> /dev/null\n") || !strings.Contains(files, " 2 -> pipe:") {
		t.Errorf("its open files:\n%s", files)
	}
	l.wantText(filepath.Join(l.dir, "dir"), "/\n")
	var names []string
	for line := range strings.Lines(mustRead(t, filepath.Join(l.dir, "env"))) {
		name, _, _ := strings.Cut(line, "=")
		if name != "_" && name != "PWD" && name != "OLDPWD" && name != "SHLVL" { // the shell's own
			names = append(names, name)
		}
	}
	if diff := cmp.Diff([]string{"IP", "LC_ALL", "PATH"}, slices.Sorted(slices.Values(names))); diff != "" {
		t.Errorf("the environment (-want +got)\n%s", diff)
	}
	d.stop()
}

// A command that takes too long is killed with its children.
func TestSequenceCommandLimit(t *testing.T) {
	t.Parallel()
	l, d := commandLab(t, func(dir string) string {
		return fmt.Sprintf("sleep 1000 & echo $! >%[1]s/new; mv %[1]s/new %[1]s/child; wait", dir)
	}, "-command-limit", "1")
	d.wantWatching()
	l.send(syns(laptopIP, 7000, 8000, 9000)...)
	child := 0
	eventually(t, "the child", func() bool {
		b, _ := os.ReadFile(filepath.Join(l.dir, "child"))
		child, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		return child > 0
	})
	failed := map[string]any{}
	eventually(t, "the command to fail", func() bool { return d.sees("command start failed", &failed) })
	if got := failed["error"]; got != "killed: no end after 1s" {
		t.Errorf("error %q", got)
	}
	eventually(t, "the child to die", func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		return err != nil || strings.Contains(string(status), ") Z ") || syscall.Kill(child, 0) == syscall.ESRCH
	})
	l.send(syns(otherIP, 7000, 8000, 9000)...)
	eventually(t, "the next knock", func() bool { return d.accepted(otherIP) == 1 })
	d.stop()
}
