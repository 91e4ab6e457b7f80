package firewall

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// script writes a shell script to stand for iptables and gives its path.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fake-iptables")
	// While the file is open for writing no other test may fork: its child would
	// hold it open too, and the kernel would not run it ("text file busy").
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNewIPTablesRefuses(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	tests := map[string]struct {
		options  Options
		notFound bool
		want     string
	}{
		"no such name": {Options{Program: "no-such-iptables"}, true,
			`failed to find "no-such-iptables" in PATH, /usr/sbin and /sbin: program not found`},
		"no such path": {Options{Program: "/nowhere/iptables"}, true,
			`failed to find "/nowhere/iptables": program not found`},
		"folder": {Options{Program: folder}, true,
			fmt.Sprintf("failed to find %q: program not found", folder)},
		"chain": {Options{Chain: "-F"}, false,
			`chain "-F" is not 1 to 20 of A-Z a-z 0-9 _ . - with no "-" first`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := NewIPTables(tt.options)
			if f != nil || errorText(err) != tt.want || errors.Is(err, ErrNotFound) != tt.notFound {
				t.Errorf("got %v and error %q (ErrNotFound: %v), want error %q (ErrNotFound: %v)",
					f, errorText(err), errors.Is(err, ErrNotFound), tt.want, tt.notFound)
			}
		})
	}
}

// TestFindProgramBeyondPath is not parallel: it changes PATH.
func TestFindProgramBeyondPath(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	got, err := findProgram("iptables")
	if err != nil || got != "/usr/sbin/iptables" {
		t.Errorf("got %q, %v, want /usr/sbin/iptables", got, err)
	}
}

func TestRunnerGivesArgumentsAndEnvironment(t *testing.T) {
	t.Parallel()
	path := script(t, `printf '%s|' "$@"; echo; env | grep -v -e '^PWD=' -e '^_=' -e '^SHLVL=' | sort
		echo "group $(ps -o pgid= -p $$ | tr -d ' ') $$" | awk '{ print ($2 == $3) ? "own group" : "group of others" }'`)
	out, err := runner(path, runLimit)(t.Context(), "-S", "two words", "$HOME")
	if err != nil {
		t.Fatal(err)
	}
	want := "-w|5|-S|two words|$HOME|\nLC_ALL=C\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nown group\n"
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestRunnerErrors(t *testing.T) {
	t.Parallel()
	held := "Another app is currently holding the xtables lock"
	tests := map[string]struct {
		body         string
		want         string // error
		notPermitted bool
	}{
		"words of the program": {"echo 'iptables: No such thing.' >&2; echo >&2; echo 'Try `iptables -h'\\'' for more' >&2; exit 2",
			"fake-iptables -w 5 -S: iptables: No such thing. (exit status 2)", false},
		"no words":     {"exit 3", "fake-iptables -w 5 -S: exit status 3", false},
		"lock is held": {"echo '" + held + "' >&2; exit 4", "fake-iptables -w 5 -S: " + held + " (exit status 4)", false},
		"not permitted": {"echo 'Permission denied (you must be root)' >&2; exit 3",
			"changing the firewall needs root or CAP_NET_ADMIN: fake-iptables -w 5 -S: Permission denied (you must be root) (exit status 3)", true},
		"killed": {"kill -9 $$", "fake-iptables -w 5 -S: signal: killed", false},
		"endless output": {"head -c 17000000 /dev/zero",
			"fake-iptables -w 5 -S: more than 16777216 bytes of output", false},
		"endless complaint": {"head -c 17000000 /dev/zero | tr '\\0' x >&2; exit 1",
			"fake-iptables -w 5 -S: " + strings.Repeat("x", 4096) + " (exit status 1)", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := runner(script(t, tt.body), runLimit)(t.Context(), "-S")
			if diff := cmp.Diff(tt.want, errorText(err)); diff != "" || out != "" {
				t.Errorf("%d bytes of output, want none; error (-want +got):\n%s", len(out), diff)
			}
			if got := errors.Is(err, ErrNotPermitted); got != tt.notPermitted {
				t.Errorf("ErrNotPermitted: got %v, want %v", got, tt.notPermitted)
			}
		})
	}
}

// TestHangingProgram has a program that never ends, and whose child keeps its
// output open.
func TestHangingProgram(t *testing.T) {
	t.Parallel()
	pidFile := filepath.Join(t.TempDir(), "pid")
	body := fmt.Sprintf("sleep 1000 & echo $! > %s; wait", pidFile)
	f := newIPTables(Options{Chain: "KNOCK"}, runner(script(t, body), 300*time.Millisecond), nil)
	start := time.Now()
	err := f.Add(t.Context(), always(rule("192.0.2.7", 22)))
	want := `failed to add rule "192.0.2.7 22/tcp": fake-iptables -w 5 -S: no end after 300ms`
	if diff := cmp.Diff(want, errorText(err)); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v, want about 300ms", took)
	}
	pid, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	waitGone(t, strings.TrimSpace(string(pid)))
}

// waitGone waits until a process has ended, be it reaped or not.
func waitGone(t *testing.T, pid string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
	}
	t.Errorf("process %s that the program has started still runs", pid)
}

func TestCancelledRun(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := runner(script(t, "exit 0"), runLimit)(ctx, "-S")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestQuote(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"iptables": "iptables", "192.0.2.1/32": "192.0.2.1/32", "": "''", "two words": "'two words'",
		"it's": `'it'\''s'`, "$x": "'$x'", "a;b": "'a;b'", "*": "'*'", "~": "'~'", "ö": "'ö'",
	}
	for in, want := range tests {
		if got := quote(in); got != want {
			t.Errorf("quote(%q): got %s, want %s", in, got, want)
		}
	}
}

func TestOneLine(t *testing.T) {
	t.Parallel()
	in := "# Warning: other tables present\niptables v1.8.9 (legacy): no such option \n\nTry `iptables -h' for more\nPerhaps upgrade.\n"
	if got, want := oneLine(in), "iptables v1.8.9 (legacy): no such option; Perhaps upgrade."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
