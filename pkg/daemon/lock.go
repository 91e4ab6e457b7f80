package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/ui"
)

// A lock is a file that at most one process holds. It goes with the process, however that ends.
type lock struct{ *os.File }

// release gives the lock up and removes its file.
func (l lock) release() {
	os.Remove(l.Name()) // while it is locked, so that no successor's is removed
	l.Close()
}

// sign writes this process's number into the file.
func (l lock) sign() error {
	err := l.Truncate(0)
	if err == nil {
		_, err = l.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return fmt.Errorf("failed to write %q: %w", l.Name(), err)
	}
	return nil
}

// lockPatience is how long a lock is waited for: the children of a daemon that was killed may hold it for a moment, if
// they were just about to become an iptables.
const lockPatience = 2 * time.Second

// heldError is a lock that another process has.
type heldError struct{ path, holder string }

func (e *heldError) Error() string {
	return fmt.Sprintf("another knockdaemon%s holds %q", e.holder, e.path)
}

// lockFile locks the file at path, which is made if need be. It is a heldError if another process has it, and stays to
// have it.
func lockFile(path string) (lock, error) {
	for began := time.Now(); ; time.Sleep(lockPatience / 40) {
		l, err := tryLock(path)
		if held := (*heldError)(nil); !errors.As(err, &held) || time.Since(began) >= lockPatience {
			return l, err
		}
	}
}

// tryLock is lockFile without patience. Nobody else may read the file: whoever can may lock it too, and keep the next
// daemon from starting.
func tryLock(path string) (lock, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err == nil {
			err = f.Chmod(0o600)
		}
		if err != nil {
			return lock{}, fmt.Errorf("failed to open %q: %w", path, err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			defer f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return lock{}, &heldError{path, holder(f)}
			}
			return lock{}, fmt.Errorf("failed to lock %q: %w", path, err)
		}
		if stillAt(path, f) {
			return lock{f}, nil
		}
		f.Close() // the one who held it has just removed it: a lock on that file keeps nobody out
	}
}

func stillAt(path string, f *os.File) bool {
	at, err := os.Stat(path)
	if err != nil {
		return false
	}
	locked, err := f.Stat()
	return err == nil && os.SameFile(at, locked)
}

// holder gives " (process 123)" if f says who locked it.
func holder(f *os.File) string {
	b, _ := io.ReadAll(io.LimitReader(f, 16))
	pid := strings.TrimSpace(string(b))
	if pid == "" || strings.Trim(pid, "0123456789") != "" {
		return ""
	}
	return " (process " + pid + ")"
}

// locks are what keeps a second daemon away.
type locks struct {
	held []lock
	pid  lock // its number is not yet in it; nil File: there is no pid file
}

// takeLocks locks the state directory, made if need be, and the pid file, if there is to be one. A daemon that only
// says what it would do leaves the state alone.
func takeLocks(c *config.Daemon) (l *locks, err error) {
	l = new(locks)
	defer func() {
		if err != nil {
			l.release()
		}
	}()
	if !c.Test {
		if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
			return l, fmt.Errorf("failed to make the state directory: %w", err)
		}
		if err := checkOwner(c.StateDir); err != nil {
			return l, err
		}
		state, err := l.take(filepath.Join(c.StateDir, "lock"))
		if err != nil {
			return l, err
		}
		_ = state.sign() // for people to read; on a full disk it is a lock all the same
	}
	if c.PidFile != "" {
		l.pid, err = l.take(c.PidFile)
	}
	return l, err
}

// checkOwner keeps root from leaving files of his in the state of a daemon that runs as somebody else, who could then
// not start any more.
func checkOwner(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("failed to look at the state directory: %w", err)
	}
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	if owner == os.Geteuid() || os.Geteuid() != 0 {
		return nil
	}
	name := strconv.Itoa(owner)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return ui.Hint(fmt.Errorf("the state directory %q is that of the user %s, and this is root", dir, name),
		"start the service, or name another -state-dir and -chain; to run it as root from now on: chown -R root %s", dir)
}

func (l *locks) take(path string) (lock, error) {
	one, err := lockFile(path)
	if err != nil {
		return one, err
	}
	l.held = append(l.held, one)
	return one, one.Truncate(0) // a number that a killed daemon left is nobody's
}

// announce writes the pid file: who waits for a number in it waits for a daemon that is at work.
func (l *locks) announce() error {
	if l.pid.File == nil {
		return nil
	}
	return l.pid.sign()
}

func (l *locks) release() {
	for _, one := range slices.Backward(l.held) {
		one.release()
	}
}
