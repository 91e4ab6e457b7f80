package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portknock/knock/test/logswitch"
)

const examples = "../examples"

// patience is how long a condition may take to come true on a busy machine.
const patience = 20 * time.Second

// needPrograms fails the test if a program is missing. The pairs are
// "program:package of apt".
func needPrograms(t *testing.T, pairs ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	for _, pair := range pairs {
		program, pkg, _ := strings.Cut(pair, ":")
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("no %s: apt-get install %s", program, pkg)
		}
	}
}

// eventually waits until the condition is true.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain for %s", patience, what)
		}
	}
}

// A sandbox is a network namespace of a test's own.
type sandbox struct {
	t    *testing.T
	name string
}

var sandboxes atomic.Int64

func newSandbox(t *testing.T) sandbox {
	t.Helper()
	s := sandbox{t, fmt.Sprintf("knock-examples-%d-%d", os.Getpid(), sandboxes.Add(1))}
	s.must("", "ip", "netns", "add", s.name)
	t.Cleanup(func() { s.must("", "ip", "netns", "del", s.name) })
	s.in("ip", "link", "set", "lo", "up")
	return s
}

// command makes a command that runs in the sandbox. It is killed with its
// context, which ends with the test.
func (s sandbox) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(s.t.Context(), "ip", append([]string{"netns", "exec", s.name, name}, args...)...)
	cmd.WaitDelay = time.Second // grandchildren may hold the output open
	return cmd
}

// in runs a command in the sandbox, which must succeed, and gives its output.
func (s sandbox) in(name string, args ...string) string {
	s.t.Helper()
	return s.must("", "ip", append([]string{"netns", "exec", s.name, name}, args...)...)
}

// must runs a command anywhere with a standard input.
func (s sandbox) must(stdin, name string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// enter calls f on a thread that is in the sandbox. The thread ends then, so that
// nothing else ever runs on it.
func (s sandbox) enter(f func() error) {
	s.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		ns, err := os.Open("/run/netns/" + s.name)
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		s.t.Fatal(err)
	}
}

// serve accepts TCP connections in the sandbox until the test ends.
func (s sandbox) serve(address string) {
	s.t.Helper()
	s.enter(func() error {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		s.t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Close()
			}
		}()
		return nil
	})
}

// How a connection attempt ends.
const (
	opened  = "open"
	refused = "refused"
	dropped = "dropped"
)

// try connects from the sandbox to an address, and says how that ended.
func (s sandbox) try(address string) (result string) {
	s.t.Helper()
	s.enter(func() error {
		c, err := net.DialTimeout("tcp", address, 700*time.Millisecond)
		switch {
		case err == nil:
			c.Close()
			result = opened
		case errors.Is(err, syscall.ECONNREFUSED):
			result = refused
		case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded):
			result = dropped
		default:
			return err
		}
		return nil
	})
	return result
}

// logNamespaces lets the kernel log what namespaces drop until the test ends.
func logNamespaces(t *testing.T) {
	t.Helper()
	undo, err := logswitch.On()
	if err != nil {
		t.Fatalf("failed to turn the switch of the kernel's log: %v", err)
	}
	t.Cleanup(func() {
		if err := undo(); err != nil {
			t.Errorf("failed to turn the switch of the kernel's log back: %v", err)
		}
	})
}

// readExample gives an example with old strings replaced by new ones, each of
// which must be there.
func readExample(t *testing.T, name string, oldNew ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(examples, name))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for i := 0; i < len(oldNew); i += 2 {
		if !strings.Contains(text, oldNew[i]) {
			t.Fatalf("%s lacks %q", name, oldNew[i])
		}
		text = strings.ReplaceAll(text, oldNew[i], oldNew[i+1])
	}
	return text
}

// writeTemp writes a file of a test's own and gives its path.
func writeTemp(t *testing.T, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDemo(t *testing.T) {
	t.Parallel()
	needPrograms(t, "iptables:iptables", "ip:iproute2", "rsyslogd:rsyslog", "nc.openbsd:netcat-openbsd")
	cmd := exec.CommandContext(t.Context(), filepath.Join(examples, "demo.sh"))
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("demo.sh: %v\n%s\n%s", err, out, stderr.String())
	}
	rest := string(out)
	for _, want := range []string{
		"laptop$   nc 192.0.2.1 22\n            SSH-2.0",
		"gate$     ./firewall.sh\n",
		"laptop$   nc 192.0.2.1 22\n            (no answer)\n",
		"gate$     knockdaemon ",
		"laptop$   knockclient -port 22 -time 15 ",
		"laptop$   nc 192.0.2.1 22\n            SSH-2.0",
		"stranger$ nc 192.0.2.1 22\n            (no answer)\n",
		"laptop$   knockclient -port 22 -time 255 ",
		"laptop$   nc 192.0.2.1 22\n            (no answer)\n",
		"All as it should be.\n",
	} {
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			t.Fatalf("demo.sh lacks, in this order, %q:\n%s", want, out)
		}
		rest = after
	}
	if left, err := filepath.Glob(fmt.Sprintf("/run/netns/*-%d", cmd.Process.Pid)); err != nil || len(left) > 0 {
		t.Errorf("demo.sh left %q, %v", left, err)
	}
	if left, err := os.ReadDir(strings.TrimPrefix(cmd.Env[len(cmd.Env)-1], "TMPDIR=")); err != nil || len(left) > 0 {
		t.Errorf("demo.sh left %v in its TMPDIR, %v", left, err)
	}
}

// Every script explains itself, and says in one line what was wrong.
func TestScriptUsage(t *testing.T) {
	t.Parallel()
	wrong := map[string][][]string{
		"demo.sh":          {{"now"}},
		"firewall.sh":      {{"now"}, {"-x"}, {"-k"}, {"-k", "ssh"}, {"-k", "0"}, {"-k", "70000"}, {"-k", "22,993"}, {"-t", "0"}, {"-t", "soon"}, {"-p", `a"b`}},
		"firewall-nft.sh":  {{"now"}, {"-x"}, {"-k"}, {"-k", "ssh"}, {"-k", "0"}, {"-k", "70000"}, {"-k", "22,993"}, {"-t", "0"}, {"-t", "soon"}, {"-p", `a"b`}},
		"knockdaemon.init": {{}, {"begin"}, {"start", "now"}},
	}
	oneLine := regexp.MustCompile(`^[^\n]+\n$`)
	for script, uses := range wrong {
		path := filepath.Join(examples, script)
		if out, err := exec.Command(path, "-h").Output(); err != nil || !strings.HasPrefix(string(out), "usage: ") {
			t.Errorf("%s -h: %v, %q", script, err, out)
		}
		for _, args := range uses {
			cmd := exec.Command(path, args...)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			if cmd.ProcessState.ExitCode() != 2 || stdout.Len() > 0 || !oneLine.MatchString(stderr.String()) {
				t.Errorf("%s %q: %v, stdout %q, stderr %q; want status 2 and one line on stderr", script, args, err, stdout.String(), stderr.String())
			}
		}
	}
}
