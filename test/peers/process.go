package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is a program that runs at the gate, or the logger.
type process struct {
	pid   int
	ended chan struct{} // closed when it has
}

// spawn starts a command in a session of its own: Ctrl-C is for this program alone. What it says goes to a file.
func (l *lab) spawn(name string, cmd *exec.Cmd) (*process, error) {
	said, err := os.OpenFile(l.said(name), os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer said.Close()
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("failed to start %s: %w", name, err)
	}
	p := &process{pid: cmd.Process.Pid, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // whether it ended is what matters, not how
		close(p.ended)
	}()
	l.later(func() error {
		_, err := p.stop(context.Background(), soon)
		return err
	})
	return p, nil
}

func (l *lab) said(name string) string { return filepath.Join(l.dir, name+".said") }

func (p *process) isOver() (bool, error) {
	select {
	case <-p.ended:
		return true, nil
	default:
		return false, nil
	}
}

// signal sends a signal, unless the process has ended: its number may be another's by now.
func (p *process) signal(s syscall.Signal) error {
	if over, _ := p.isOver(); over {
		return nil
	}
	return syscall.Kill(p.pid, s)
}

// children gives the processes that it started, and theirs.
func (p *process) children() (all []int) {
	queue := []int{p.pid}
	for len(queue) > 0 {
		pid := strconv.Itoa(queue[0])
		queue = queue[1:]
		text, _ := os.ReadFile(filepath.Join("/proc", pid, "task", pid, "children")) // it may have ended
		for word := range strings.FieldsSeq(string(text)) {
			child, _ := strconv.Atoi(word)
			all, queue = append(all, child), append(queue, child)
		}
	}
	return all
}

// kill ends it, and what it started if all, with SIGKILL.
func (p *process) kill(all bool) error {
	children := p.children()
	err := p.signal(syscall.SIGKILL)
	if all {
		for _, pid := range children {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		}
	}
	<-p.ended
	return err
}

// stop ends it as systemd does: SIGTERM, and SIGKILL for what that leaves when the daemon ends or the time is up.
func (p *process) stop(ctx context.Context, limit time.Duration) (ended bool, err error) {
	children := p.children()
	if err := p.signal(syscall.SIGTERM); err != nil {
		return false, err
	}
	err = eventually(ctx, limit, "a daemon to end", p.isOver)
	ended = err == nil
	if errors.Is(err, errInVain) {
		err = p.kill(false)
	}
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
	return ended, err
}

// memory gives how much of the machine's memory it takes, and the most that it ever took, in kB.
func (p *process) memory() (now, most int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return 0, 0, err
	}
	words := strings.Fields(string(text))
	i, j := slices.Index(words, "VmRSS:"), slices.Index(words, "VmHWM:")
	if i < 0 || j < 0 {
		return 0, 0, fmt.Errorf("process %d takes no memory: it has ended", p.pid)
	}
	now, err = strconv.Atoi(words[i+1])
	if err == nil {
		most, err = strconv.Atoi(words[j+1])
	}
	return now, most, err
}
