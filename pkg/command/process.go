package command

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	shell      = "/bin/sh"
	searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// run runs a command for src, for at most limit and until ctx ends, and gives the last of what it printed. Processes
// that it has left behind live on after it, as they do with knockd; if it is killed, so are they.
func run(ctx context.Context, c Command, src netip.Addr, limit time.Duration) (string, error) {
	argv := c.argv(src)
	path, err := find(argv[0])
	if err != nil {
		return "", err
	}
	o, err := newOutput()
	if err != nil {
		return "", fmt.Errorf("failed to make a pipe: %w", err)
	}
	cmd := prepare(path, argv, src, o)
	err = cmd.Start()
	if errors.Is(err, syscall.ENOEXEC) { // a script that does not say whose: the shell takes it for its own
		cmd = prepare(shell, append([]string{shell, path}, argv[1:]...), src, o)
		err = cmd.Start()
	}
	if err != nil {
		o.end()
		return "", fmt.Errorf("failed to run: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no end after %v", limit))
	defer cancel()
	killed := await(ctx, cmd.Process.Pid)
	err = cmd.Wait()
	if killed {
		err = fmt.Errorf("killed: %w", context.Cause(ctx))
	}
	return o.end(), err
}

// prepare makes a process group that inherits nothing of ours. It may find the lock of iptables where an ordinary
// user's legacy variant can have one.
func prepare(path string, argv []string, src netip.Addr, o *output) *exec.Cmd {
	env := []string{"PATH=" + searchPath, "LC_ALL=C", "IP=" + src.String()}
	if lock := os.Getenv("XTABLES_LOCKFILE"); lock != "" {
		env = append(env, "XTABLES_LOCKFILE="+lock)
	}
	return &exec.Cmd{
		Path: path, Args: argv, Dir: "/", Env: env,
		Stdout: o.theirs, Stderr: o.theirs,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
}

// await waits until a process has ended, or kills its group at the end of ctx and tells so. The process is not reaped:
// until then no other one can have its number.
func await(ctx context.Context, pid int) (killed bool) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for errors.Is(unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
		}
	}()
	select {
	case <-ended:
		return false
	case <-ctx.Done():
		_ = syscall.Kill(-pid, syscall.SIGKILL) // ours and there, at least as a zombie
		<-ended
		return true
	}
}

// Program gives the path of the program that c runs, as it is found when it runs; empty if who knocks has a say in it.
// The error says that there is none, or that it is no file that anybody could run.
func (c Command) Program() (path string, err error) {
	name := shell
	if !c.shell {
		name = words(c.text)[0]
	}
	if strings.Contains(name, placeholder) {
		return "", nil
	}
	if path, err = find(name); err != nil {
		return "", err
	}
	path = filepath.Join("/", path) // where commands run
	switch info, err := os.Stat(path); {
	case err != nil:
		return "", fmt.Errorf("failed to look at a program: %w", err)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%q is no file", path)
	case info.Mode().Perm()&0o111 == 0:
		return "", fmt.Errorf("%q is not executable", path)
	}
	return path, nil
}

// find gives the path of a program as the shell of our commands finds it. Our own PATH has no say.
func find(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for dir := range strings.SplitSeq(searchPath, ":") {
		path := dir + "/" + name
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("failed to find %q in %s", name, searchPath)
}
