package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/config"
)

// lockFile makes path the lock of this process and writes its number into it. It is an error if another process has
// it. The lock goes with the process, however that ends; release also removes the file.
func lockFile(path string, mode os.FileMode) (release func(), err error) {
	f, err := openLocked(path, mode)
	if err != nil {
		return nil, err
	}
	if err = f.Truncate(0); err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("failed to write %q: %w", path, err)
	}
	return func() {
		os.Remove(path) // while it is locked, so that no successor's is removed
		f.Close()
	}, nil
}

func openLocked(path string, mode os.FileMode) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, mode)
		if err != nil {
			return nil, fmt.Errorf("failed to open %q: %w", path, err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			defer f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, fmt.Errorf("another knockdaemon%s holds %q", holder(f), path)
			}
			return nil, fmt.Errorf("failed to lock %q: %w", path, err)
		}
		if stillAt(path, f) {
			return f, nil
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

// lock takes the state directory, made if need be, and the pid file, if there is to be one. A daemon that only says
// what it would do leaves the state alone.
func lock(c *config.Daemon) (release func(), err error) {
	release = func() {}
	take := func(path string, mode os.FileMode) error {
		releaseOne, err := lockFile(path, mode)
		if err == nil {
			before := release
			release = func() { releaseOne(); before() }
		}
		return err
	}
	if !c.Test {
		if err = os.MkdirAll(c.StateDir, 0o700); err != nil {
			return nil, fmt.Errorf("failed to make the state directory: %w", err)
		}
		err = take(filepath.Join(c.StateDir, "lock"), 0o600)
	}
	if err == nil && c.PidFile != "" {
		err = take(c.PidFile, 0o644)
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}
