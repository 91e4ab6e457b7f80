package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A host is the name of a network namespace.
type host string

// command makes a command that runs there. (ip becomes the command: there is one process.)
func (h host) command(name string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", string(h), name}, args...)...)
}

// run runs a command there to its end, and gives its output.
func (h host) run(stdin, name string, args ...string) (string, error) {
	return output(stdin, "ip", append([]string{"netns", "exec", string(h), name}, args...)...)
}

// enter calls f on a thread that is there. The thread ends then, so that nothing else ever runs on it.
func (h host) enter(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		ns, err := os.Open("/run/netns/" + string(h))
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err != nil {
			done <- fmt.Errorf("failed to enter %q: %w", h, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// output runs a command to its end, and gives its output.
func output(stdin, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("failed to run %q: %w: %s", cmd.Args, err, out)
	}
	return string(out), nil
}

// spawn starts a command that runs until the lab is torn down, in a session of its own: Ctrl-C is for this program
// alone. What it says goes to a file; ending early is an error, with what it said.
func (l *lab) spawn(name string, cmd *exec.Cmd) error {
	said, err := os.Create(l.said(name))
	if err != nil {
		return err
	}
	defer said.Close()
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("failed to start %s: %w", name, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	l.later(func() error {
		select {
		case err := <-ended:
			text, _ := os.ReadFile(l.said(name))
			return fmt.Errorf("%s ended early: %w: %s", name, errors.Join(err, errEarly), text)
		default:
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return fmt.Errorf("failed to end %s: %w", name, err)
		}
		select {
		case <-ended:
			return nil
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-ended
			return fmt.Errorf("%s did not end on SIGTERM", name)
		}
	})
	return nil
}

var errEarly = errors.New("it should run until it is told to end")

func (l *lab) said(name string) string { return filepath.Join(l.dir, name+".said") }

// waitFor waits until a command has said something.
func (l *lab) waitFor(name, text string) error {
	var said []byte
	err := eventually(fmt.Sprintf("%s to say %q", name, text), func() bool {
		said, _ = os.ReadFile(l.said(name))
		return strings.Contains(string(said), text)
	})
	if err != nil {
		return fmt.Errorf("%w; it said: %s", err, said)
	}
	return nil
}
