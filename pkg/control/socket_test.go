package control

import (
	"context"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/ui"
)

// told gives what the operator is told of err, with directories left out.
func told(dir string, err error) string {
	var b strings.Builder
	ui.Fail(&b, "knockdaemon", err)
	return strings.ReplaceAll(b.String(), dir, "DIR")
}

// stale leaves a socket on which nobody listens, as a killed daemon does.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

// connects says whether somebody listens at path.
func connects(t *testing.T, path string) bool {
	t.Helper()
	c, err := dial(context.Background(), path)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func TestListen(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(t *testing.T, path string){
		"nothing there": func(*testing.T, string) {},
		"a stale one":   stale,
		"a stale one that anybody could use": func(t *testing.T, path string) {
			stale(t, path)
			if err := os.Chmod(path, 0o777); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for kind, parts := range map[string][]string{
			"short": {"control"},
			"long":  {strings.Repeat("a", 90), strings.Repeat("b", 90), "control"},
		} {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				path := filepath.Join(append([]string{dir}, parts...)...)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if kind != "long" {
					before(t, path)
				}
				l, err := Listen(path)
				if err != nil {
					t.Fatal(err)
				}
				info, err := os.Lstat(path)
				if err != nil || info.Mode() != fs.ModeSocket|0o600 {
					t.Errorf("the socket is %v, %v", info, err)
				}
				if !connects(t, path) {
					t.Error("nobody listens")
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
				l.Close()
				if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 0 {
					t.Errorf("what is left is %v, %v", left, err)
				}
			})
		}
	}
}

func TestListenWhereItMayNot(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		path   string
		before func(t *testing.T, path string)
		why    string
	}{
		"a living one": {"s", func(t *testing.T, path string) {
			l, err := Listen(path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}, `failed to make the socket "DIR/s": another process listens on it`},
		"one of another kind": {"s", func(t *testing.T, path string) {
			c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
		}, `failed to make the socket "DIR/s": there is one, and it is not known whether another process listens on it: protocol wrong type for socket`},
		"a file": {"s", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, `failed to make the socket "DIR/s": there is a file of this name that is no socket`},
		"a link to a stale one": {"s", func(t *testing.T, path string) {
			stale(t, path+"2")
			if err := os.Symlink(path+"2", path); err != nil {
				t.Fatal(err)
			}
		}, `failed to make the socket "DIR/s": there is a file of this name that is no socket`},
		"a directory": {"s", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, `failed to make the socket "DIR/s": there is a file of this name that is no socket`},
		"no directory":     {"d/s", nil, `failed to make the socket "DIR/d/s": open DIR/d: no such file or directory`},
		"a long name":      {strings.Repeat("s", 120), nil, `failed to make the socket "DIR/` + strings.Repeat("s", 120) + `": its name is too long for a socket`},
		"not a name":       {"d/", nil, `failed to make the socket "DIR/d/": not the name of a file`},
		"a name cut short": {"a\x00b", nil, `failed to make the socket "DIR/a\x00b": not the name of a file`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := dir + "/" + test.path
			var was fs.FileInfo
			if test.before != nil {
				test.before(t, path)
				was, _ = os.Lstat(path)
			}
			_, err := Listen(path)
			if diff := cmp.Diff("knockdaemon: error: "+test.why+"\n", told(dir, err)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if is, _ := os.Lstat(path); was != nil && (is == nil || !os.SameFile(is, was)) {
				t.Errorf("what was there is gone")
			}
		})
	}
	if _, err := Listen(""); err == nil {
		t.Error("there is a socket without a name")
	}
}

// Of many who find a stale socket at once, one gets its place.
func TestListenRace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	stale(t, path)
	var group sync.WaitGroup
	got := make(chan net.Listener, 8)
	for range cap(got) {
		group.Go(func() {
			if l, err := Listen(path); err == nil {
				got <- l
			}
		})
	}
	group.Wait()
	if len(got) != 1 {
		t.Errorf("%d have made the socket", len(got))
	}
	if !connects(t, path) {
		t.Error("nobody listens")
	}
	for range len(got) {
		(<-got).Close()
	}
}

// Who ends late takes nothing from who has come after.
func TestCloseLeavesASuccessorsSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	first.Close()
	if !connects(t, path) {
		t.Error("the second socket is gone")
	}
}

func TestAskWhereNobodyAnswers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before func(t *testing.T, path string)
		want   string
	}{
		"no socket": {nil, `knockdaemon: error: no knockdaemon is running with the socket "DIR/s"
knockdaemon: hint: start it, or name the -conf or -state-dir that it was started with; if it runs, and somebody has removed the socket, restart it
`},
		"a stale one": {stale, `knockdaemon: error: the knockdaemon that made the socket "DIR/s" is no longer running
knockdaemon: hint: start it
`},
		"no right": {func(t *testing.T, path string) {
			l, err := Listen(path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			runtime.LockOSThread() // and never unlocked: the thread is not to be used again
			if _, err := unix.SetfsuidRetUid(987); err != nil {
				t.Fatal(err)
			}
		}, `knockdaemon: error: failed to ask the daemon at "DIR/s": permission denied
knockdaemon: hint: only root and the user whom the daemon runs as may
`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "") // t.TempDir is closed to others, and the socket's own mode is what matters
			if err == nil {
				err = os.Chmod(dir, 0o755)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			if test.before != nil {
				test.before(t, dir+"/s")
			}
			_, err = AskStatus(t.Context(), dir+"/s")
			if diff := cmp.Diff(test.want, told(dir, err)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			_, _ = unix.SetfsuidRetUid(os.Getuid())
		})
	}
}

// On Linux a name that begins with @ is no file, and anybody could connect to it.
func TestNoSocketIsAbstract(t *testing.T) {
	t.Parallel()
	name, done, err := shorten("@control")
	if err != nil || name != "./@control" {
		t.Fatalf("@control is %q, %v", name, err)
	}
	done()
}
