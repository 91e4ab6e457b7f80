package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long whatever should happen soon may take on a busy machine.
const patience = 20 * time.Second

// A host is the name of a network namespace.
type host string

// command makes a command that runs there. (ip becomes the command: there is one process.)
func (h host) command(name string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", string(h), name}, args...)...)
}

// run runs a command there to its end, and gives its output.
func (h host) run(stdin, name string, args ...string) (string, error) {
	return output(stdin, h.command(name, args...))
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

// ip runs the program ip, with words as a person types them.
func ip(words string, args ...any) error {
	_, err := output("", exec.Command("ip", strings.Fields(fmt.Sprintf(words, args...))...))
	return err
}

// output runs a command to its end, and gives its output.
func output(stdin string, cmd *exec.Cmd) (string, error) {
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("failed to run %q: %w: %s", cmd.Args, err, out)
	}
	return string(out), nil
}

var errInVain = errors.New("waited in vain")

// eventually waits until the condition is true, or for errInVain.
func eventually(ctx context.Context, limit time.Duration, what string, condition func() (bool, error)) error {
	for end := time.Now().Add(limit); ; {
		switch done, err := condition(); {
		case err != nil:
			return err
		case done:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("%w for %s, %v", errInVain, what, limit)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
