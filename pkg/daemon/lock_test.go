package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/portknock/knock/pkg/config"
)

func TestLockKeepsASecondOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pidFile := filepath.Join(dir, "pid")
	first := load(t, "-log=l", "-state-dir="+filepath.Join(dir, "a"), "-pid-file="+pidFile)
	held, err := takeLocks(first)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(pidFile); len(got) != 0 || err != nil {
		t.Errorf("before it is announced the pid file holds %q, %v", got, err)
	}
	if err := held.announce(); err != nil {
		t.Fatal(err)
	}
	pid := fmt.Sprintf("%d\n", os.Getpid())
	if got, err := os.ReadFile(pidFile); string(got) != pid || err != nil {
		t.Errorf("the pid file holds %q, %v", got, err)
	}
	for name, second := range map[string][]string{
		"the same state": {"-log=l", "-state-dir=" + filepath.Join(dir, "a")},
		"the same pid":   {"-log=l", "-state-dir=" + filepath.Join(dir, "b"), "-pid-file=" + pidFile},
	} {
		path := map[string]string{"the same state": filepath.Join(dir, "a", "lock"), "the same pid": pidFile}[name]
		want := fmt.Sprintf("another knockdaemon (process %d) holds %q", os.Getpid(), path)
		if _, err := takeLocks(load(t, second...)); err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", name, err, want)
		}
	}
	if got, err := os.ReadFile(pidFile); string(got) != pid || err != nil {
		t.Errorf("after the second the pid file holds %q, %v", got, err)
	}
	held.release()
	if _, err := os.Stat(pidFile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pid file is still there: %v", err)
	}
	held, err = takeLocks(first)
	if err != nil {
		t.Fatalf("after the first has left: %v", err)
	}
	held.release()
}

// A file that a killed daemon left is no lock.
func TestLockTakesOverWhatWasLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pidFile := filepath.Join(dir, "pid")
	if err := os.WriteFile(pidFile, []byte("4194304999\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	held, err := takeLocks(load(t, "-log=l", "-state-dir="+dir, "-pid-file="+pidFile))
	if err != nil {
		t.Fatal(err)
	}
	defer held.release()
	if got, err := os.ReadFile(pidFile); len(got) != 0 || err != nil {
		t.Errorf("before it is announced the pid file holds %q, %v", got, err)
	}
	if err := held.announce(); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(pidFile); string(got) != fmt.Sprintf("%d\n", os.Getpid()) {
		t.Errorf("the pid file holds %q", got)
	}
}

// A file that its holder removed while another waited to lock it keeps nobody out, so it is no lock.
func TestLockOnARemovedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !stillAt(path, f) {
		t.Error("a file is not where it was made")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if stillAt(path, f) {
		t.Error("a removed file is where it was")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if stillAt(path, f) {
		t.Error("a removed file is where another is")
	}
}

func TestLockFollowsNoLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	victim, link := filepath.Join(dir, "victim"), filepath.Join(dir, "pid")
	if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, link); err != nil {
		t.Fatal(err)
	}
	if _, err := takeLocks(load(t, "-log=l", "-state-dir="+dir, "-pid-file="+link)); err == nil {
		t.Error("no error")
	}
	if got, _ := os.ReadFile(victim); string(got) != "precious" {
		t.Errorf("the file behind the link holds %q", got)
	}
}

// Root leaves a state directory alone that is another user's: its daemon could not start any more.
func TestLocksOfAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("run this as root")
	}
	dir := t.TempDir()
	const nobody = 65534
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	l, err := takeLocks(&config.Daemon{StateDir: dir})
	l.release()
	if want := fmt.Sprintf("the state directory %q is that of the user nobody, and this is root", dir); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
		t.Errorf("left there: %v, %v", left, err)
	}
}
