package source

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The test binary plays other parts when these are set.
const (
	envFollow    = "SOURCE_TEST_FOLLOW"     // follow this path, print what comes
	envNoInotify = "SOURCE_TEST_NO_INOTIFY" // set this limit in /proc/sys/user to 0 first
	envKmsg      = "SOURCE_TEST_KMSG"       // read the kernel's log, print how that begins
)

func TestMain(m *testing.M) {
	if path := os.Getenv(envFollow); path != "" {
		os.Exit(followAndPrint(path))
	}
	if os.Getenv(envKmsg) != "" {
		os.Exit(readKmsg())
	}
	if limit := os.Getenv(envNoInotify); limit != "" {
		if err := setLimit(limit, "0"); err != nil || inotifyWorks() {
			fmt.Fprintln(os.Stderr, "failed to take inotify away:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// setLimit sets a limit of this process's user namespace.
func setLimit(name, value string) error {
	return os.WriteFile(filepath.Join("/proc/sys/user", name), []byte(value), 0o644)
}

func inotifyWorks() bool {
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC)
	if err != nil {
		return false
	}
	defer syscall.Close(fd)
	_, err = syscall.InotifyAddWatch(fd, "/", syscall.IN_CREATE)
	return err == nil
}

func followAndPrint(path string) int {
	f := NewFollower(path, Options{Report: func(msg string, err error) {
		fmt.Printf("report %s: %v\n", msg, err)
	}})
	f.started = func() { fmt.Println("started") }
	if err := f.Run(context.Background(), func(line []byte) { fmt.Printf("line %s\n", line) }); err != nil {
		fmt.Println("error", err)
		return 1
	}
	return 0
}

// again is a command that runs this binary with env set.
func again(t *testing.T, env string, attr *syscall.SysProcAttr, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	t.Cleanup(cancel)
	// By this name another user can run it too, wherever the binary is.
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), env)
	cmd.SysProcAttr = attr
	cmd.Dir = "/"
	return cmd
}

// rig is a running Follower and all it said.
type rig struct {
	t    *testing.T
	path string
	stop func()

	mu      sync.Mutex // guards lines and reports
	lines   []string
	reports []string
}

// newRig follows a log that need not exist in a fresh directory.
func newRig(t *testing.T, content ...string) *rig {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kern.log")
	if len(content) > 0 {
		write(t, path, content...)
	}
	return newRigAt(t, path, nil)
}

func newRigAt(t *testing.T, path string, change func(*Follower)) *rig {
	t.Helper()
	r := &rig{t: t, path: path}
	f := NewFollower(path, Options{Report: func(msg string, err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.reports = append(r.reports, msg)
	}})
	started := make(chan struct{})
	f.started = func() { close(started) }
	if change != nil {
		change(f)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- f.Run(ctx, func(line []byte) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.lines = append(r.lines, string(line))
		})
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(r.stop)
	<-started
	return r
}

func (r *rig) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// want waits until the lines that came since the start are exactly want. To
// see that nothing follows, end with a line that would come after it.
func (r *rig) want(want ...string) {
	r.t.Helper()
	if !eventually(func() bool { return slices.Equal(r.got(), want) }) {
		r.t.Fatalf("lines (-want +got):\n%s", cmp.Diff(want, r.got()))
	}
}

func (r *rig) wantReport(msg string) {
	r.t.Helper()
	if !eventually(func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return slices.Contains(r.reports, msg)
	}) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.t.Fatalf("no report %q, only %q", msg, r.reports)
	}
}

// eventually waits for ok, for longer than any promise of this package and
// the machine's moods take.
func eventually(ok func() bool) bool {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if ok() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// stay lets a state of the log last, so that it is looked at, by events or
// not. It waits for no answer: that time passes is part of the story told.
func stay(d time.Duration) { time.Sleep(d) }

// write appends to the file at path, each piece with a system call of its own.
func write(t *testing.T, path string, pieces ...string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	check(t, err)
	defer f.Close()
	for _, p := range pieces {
		_, err := f.WriteString(p)
		check(t, err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stamped makes n log lines that no other call makes, and the same as text.
func stamped(name string, n int) (lines []string, text string) {
	for i := range n {
		lines = append(lines, fmt.Sprintf("Nov 20 11:22:33 host kernel: [%5d.000000] DENY IN=eth0 SRC=192.0.2.%d %s", i, i%256, name))
	}
	return lines, strings.Join(lines, "\n") + "\n"
}

// child is a Follower in a process of its own.
type child struct {
	t   *testing.T
	out chan string
}

func newChild(t *testing.T, path string, attr *syscall.SysProcAttr) *child {
	t.Helper()
	cmd := again(t, envFollow+"="+path, attr)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	c := &child{t: t, out: make(chan string, 100)}
	go func() {
		defer close(c.out)
		for s := bufio.NewScanner(out); s.Scan(); {
			c.out <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return c
}

// want waits for the next thing said, which must begin with prefix. Whether
// there is inotify is not what these tests ask.
func (c *child) want(prefix string) {
	c.t.Helper()
	for late := time.After(10 * time.Second); ; {
		select {
		case s, ok := <-c.out:
			switch {
			case !ok:
				c.t.Fatalf("the process ended; want %q", prefix)
			case strings.HasPrefix(s, "report no inotify"):
				continue
			case !strings.HasPrefix(s, prefix):
				c.t.Fatalf("said %q, want %q", s, prefix)
			}
			return
		case <-late:
			c.t.Fatalf("said nothing, want %q", prefix)
		}
	}
}
