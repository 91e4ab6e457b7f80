package firewall

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// runLimit is how long one run of iptables may take: the 5 s it waits for
	// its lock, and as much again for a busy machine.
	runLimit = 10 * time.Second
	// killWait is how long a killed run's pipes are waited for.
	killWait = time.Second
	// maxStdout holds a listing of 100,000 rules.
	maxStdout = 16 << 20
	// maxStderr is what is kept of a complaint.
	maxStderr = 4 << 10
)

// runFunc runs iptables once and gives what it printed. A run that ended with
// another status than 0 is a *runError.
type runFunc func(ctx context.Context, args ...string) (string, error)

// runError is a run of iptables that failed.
type runError struct {
	command string
	code    int    // exit status
	stderr  string // one line
}

func (e *runError) Error() string {
	if e.stderr == "" {
		return fmt.Sprintf("%s: exit status %d", e.command, e.code)
	}
	return fmt.Sprintf("%s: %s (exit status %d)", e.command, e.stderr, e.code)
}

// absent reports whether err says that the rule or its chain is not there. The
// exit status 1 alone does not: it also stands for other problems.
func absent(err error) bool {
	var e *runError
	return errors.As(err, &e) && e.code == 1 &&
		(strings.Contains(e.stderr, "Bad rule") || strings.Contains(e.stderr, "No chain/target/match"))
}

// findProgram gives the absolute path of an executable. The folders of system
// programs are looked in also when PATH lacks them, as a user's often does.
func findProgram(name string) (string, error) {
	candidates := []string{name}
	if !strings.Contains(name, "/") {
		candidates = append(candidates, "/usr/sbin/"+name, "/sbin/"+name)
	}
	for _, c := range candidates {
		if path, err := exec.LookPath(c); err == nil {
			return filepath.Abs(path)
		}
	}
	if strings.Contains(name, "/") {
		return "", fmt.Errorf("failed to find %q: %w", name, ErrNotFound)
	}
	return "", fmt.Errorf("failed to find %q in PATH, /usr/sbin and /sbin: %w", name, ErrNotFound)
}

// runner gives a function that runs iptables at path, each time for at most
// limit. It waits for the lock of the legacy variant.
func runner(path string, limit time.Duration) runFunc {
	run := programRunner(path, limit)
	return func(ctx context.Context, args ...string) (string, error) {
		return run(ctx, append([]string{"-w", "5"}, args...)...)
	}
}

// programRunner is runner for any program.
func programRunner(path string, limit time.Duration) runFunc {
	return func(ctx context.Context, args ...string) (string, error) {
		return execute(ctx, path, limit, "", args)
	}
}

// execute runs a program once, for at most limit, with stdin as its input.
func execute(ctx context.Context, path string, limit time.Duration, stdin string, args []string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no end after %v", limit))
	defer cancel()

	stdout, stderr := &bounded{limit: maxStdout}, &bounded{limit: maxStderr}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	if lock := os.Getenv("XTABLES_LOCKFILE"); lock != "" { // where an ordinary user's legacy variant can have one
		cmd.Env = append(cmd.Env, "XTABLES_LOCKFILE="+lock)
	}
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	// In a process group of its own a Ctrl-C on the terminal, meant for the
	// daemon, does not end iptables half way.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
	cmd.WaitDelay = killWait

	err := cmd.Run()
	command := commandLine(filepath.Base(path), args)
	switch {
	case err != nil && ctx.Err() != nil:
		return "", fmt.Errorf("%s: %w", command, context.Cause(ctx))
	case err != nil:
		return "", sortError(command, err, stderr.kept.String())
	case stdout.cut:
		return "", fmt.Errorf("%s: more than %d bytes of output", command, maxStdout)
	}
	return stdout.kept.String(), nil
}

// killGroup kills a process and what it has started.
func killGroup(pid int) error {
	err := syscall.Kill(-pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// sortError tells a want of privilege from every other failure. Both variants
// use exit status 4 (legacy 3 as well) for more than that, such as a lock that
// is held, so the text decides.
func sortError(command string, err error, stderr string) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !exit.Exited() { // not started, or killed
		return fmt.Errorf("%s: %w", command, err)
	}
	e := &runError{command: command, code: exit.ExitCode(), stderr: oneLine(stderr)}
	for _, text := range []string{"Permission denied", "Operation not permitted", "you must be root"} {
		if strings.Contains(e.stderr, text) {
			return fmt.Errorf("%w: %w", ErrNotPermitted, e)
		}
	}
	return e
}

// oneLine joins the lines of a complaint and leaves out advice and warnings.
func oneLine(s string) string {
	var kept []string
	for l := range strings.Lines(s) {
		l = strings.TrimSpace(l)
		if l != "" && l[0] != '#' && !strings.HasPrefix(l, "Try `") {
			kept = append(kept, l)
		}
	}
	return strings.Join(kept, "; ")
}

// commandLine gives a command as it would be typed into a shell.
func commandLine(program string, args []string) string {
	quoted := []string{quote(program)}
	for _, a := range args {
		quoted = append(quoted, quote(a))
	}
	return strings.Join(quoted, " ")
}

// quote quotes a word for the shell if it needs that.
func quote(s string) string {
	plain := func(c rune) bool {
		return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.ContainsRune("_./:,@%+=-", c)
	}
	if s != "" && !strings.ContainsFunc(s, func(c rune) bool { return !plain(c) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// bounded keeps the first limit bytes written to it.
type bounded struct {
	kept  bytes.Buffer // not embedded: its ReadFrom would have no limit
	limit int
	cut   bool // more was written
}

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.limit-b.kept.Len())
	b.cut = b.cut || n < len(p)
	b.kept.Write(p[:n])
	return len(p), nil
}
