package test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal is one that a program runs on: what is written to it is typed there.
type terminal struct {
	*os.File
	mu    sync.Mutex // guards shown
	shown []byte
}

// startOnTerminal runs cmd on a terminal of its own until the test ends.
func startOnTerminal(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil { // so wide that no line is cut
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 200, Col: 5000})
	}
	if err != nil {
		t.Fatalf("failed to make a terminal: %v", err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	term := &terminal{File: master}
	read := make(chan struct{})
	go func() {
		defer close(read)
		term.read()
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		<-read // the last program that held the other end is gone
		master.Close()
	})
	return term
}

func (m *terminal) read() {
	for b := make([]byte, 4096); ; {
		n, err := m.Read(b)
		m.mu.Lock()
		m.shown = append(m.shown, b[:n]...)
		m.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// typed types text and waits until what the terminal shows after that matches want. It gives all that was shown since.
// No text waits for what may have been shown already.
func (m *terminal) typed(t *testing.T, text, want string) string {
	t.Helper()
	matcher := regexp.MustCompile("(?s)" + want)
	if text != "" {
		m.mu.Lock()
		m.shown = nil
		m.mu.Unlock()
	}
	if _, err := m.WriteString(text); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		m.mu.Lock()
		shown := bytes.Clone(m.shown)
		m.mu.Unlock()
		if matcher.Match(shown) {
			return string(shown)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t.Fatalf("waited %v in vain for %q, after %q was typed, and saw %q", patience, want, text, m.shown)
	return ""
}
