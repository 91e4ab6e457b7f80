package command

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// waitFor waits for a condition.
func waitFor(t testing.TB, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// alive tells whether a process is there, and no zombie.
func alive(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, state, _ := strings.Cut(string(b), ") ")
	return err == nil && !strings.HasPrefix(state, "Z")
}

// number waits for a file with a number in it.
func number(t testing.TB, path string) (n int) {
	t.Helper()
	waitFor(t, path, func() bool {
		b, _ := os.ReadFile(path)
		var err error
		n, err = strconv.Atoi(strings.TrimSpace(string(b)))
		return err == nil
	})
	return n
}

func script(t testing.TB, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	check(t, os.WriteFile(path, []byte(text), mode))
	return path
}

func TestRun(t *testing.T) {
	t.Parallel()
	plain := script(t, "#!/bin/sh\necho \"$# $1 $2\"\n", 0o755)
	headless := script(t, "echo \"$# $1 $2\"\n", 0o755)
	for name, test := range map[string]struct{ command, output, err string }{
		"by argv":           {plain + " %IP% x", "2 192.0.0.7 x", ""},
		"by the shell":      {plain + " '%IP% x' \"$IP\"", "2 192.0.0.7 x 192.0.0.7", ""},
		"without a head":    {headless + " %IP% x", "2 192.0.0.7 x", ""},
		"found in our PATH": {"sh -Z", "sh: 0: Illegal option -Z", "exit status 2"},
		"exit status":       {"echo no >&2; exit 3", "no", "exit status 3"},
		"a signal":          {"kill -9 $$", "", "signal: killed"},
		"not there":         {"/nowhere/x %IP%", "", "failed to run: fork/exec /nowhere/x: no such file or directory"},
		"not in the PATH":   {"no-such-program %IP%", "", `failed to find "no-such-program" in ` + searchPath},
		"no stdin":          {"cat; readlink /proc/self/fd/0", "/dev/null", ""},
		"in the root":       {"readlink /proc/self/cwd", "/", ""},
		"its own group":     {"test $$ = $(ps -o pgid= -p $$)", "", ""},
		"much output":       {"head -c 1000000 /dev/zero | tr '\\0' x; echo; echo end", strings.Repeat("x", 195) + "; end", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			output, err := run(t.Context(), parse(t, test.command), addr(7), time.Minute)
			if err == nil != (test.err == "") || err != nil && err.Error() != test.err {
				t.Errorf("error %v, want %q", err, test.err)
			}
			if diff := cmp.Diff(test.output, output); diff != "" {
				t.Errorf("output (-want +got)\n%s", diff)
			}
		})
	}
}

// Nothing of the daemon's gets into the environment of a command, but for the place of iptables's lock.
func TestEnvironment(t *testing.T) {
	t.Setenv("KNOCK_KEY", "secret")
	t.Setenv("NOTIFY_SOCKET", "/run/secret")
	t.Setenv("PATH", "/nowhere")
	t.Setenv("XTABLES_LOCKFILE", "/run/lock/x")
	out, err := run(t.Context(), parse(t, "env"), addr(7), time.Minute)
	check(t, err)
	const want = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; LC_ALL=C; IP=192.0.0.7; XTABLES_LOCKFILE=/run/lock/x"
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A command that takes too long is killed with all that it has started, and so is one that is under way at the end.
func TestKill(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		limit time.Duration
		want  string
	}{
		"limit": {4 * time.Second, "killed: no end after 4s"},
		"end":   {time.Hour, "killed: the daemon ends"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pid := filepath.Join(t.TempDir(), "pid")
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			go func() {
				waitFor(t, pid, func() bool { _, err := os.Stat(pid); return err == nil })
				if test.limit == time.Hour {
					cancel(errEnd)
				}
			}()
			out, err := run(ctx, parse(t, "sleep 1000 & echo begun; echo $! >"+pid+".new; mv "+pid+".new "+pid+"; wait"), addr(7), test.limit)
			if err == nil || err.Error() != test.want || out != "begun" {
				t.Errorf("run = %q, %v, want %s", out, err, test.want)
			}
			child := number(t, pid)
			waitFor(t, "the end of the command's child", func() bool { return !alive(child) })
		})
	}
}

// What a command leaves in the background goes on, is not waited for, and can print what it likes.
func TestBackground(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	go_, said := filepath.Join(dir, "go"), filepath.Join(dir, "said")
	out, err := run(t.Context(), parse(t, "(while ! test -e "+go_+"; do sleep 0.01; done; head -c 200000 /dev/zero; echo x; echo here >"+said+") & echo $!"), addr(7), time.Hour)
	check(t, err)
	pid, err := strconv.Atoi(out)
	check(t, err)
	if !alive(pid) {
		t.Error("it is gone")
	}
	check(t, os.WriteFile(go_, nil, 0o600))
	waitFor(t, "what it does in the end", func() bool { b, _ := os.ReadFile(said); return string(b) == "here\n" })
	waitFor(t, "its end", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || !alive(pid) })
}

func TestOneLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                   "",
		"\n \n":                              "",
		"a\n\n  b\r\n":                       "a; b",
		"a\x1b[2J\x00\xff\u202eb":            "a?[2J???b",
		strings.Repeat("é", 150):             strings.Repeat("é", 100),
		"x" + strings.Repeat("é", 100) + "y": strings.Repeat("é", 99) + "y",
	} {
		if got := oneLine(text); got != want || len(got) > maxOutput {
			t.Errorf("oneLine(%q) = %q, want %q", text, got, want)
		}
	}
}
