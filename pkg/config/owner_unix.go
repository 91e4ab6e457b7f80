//go:build unix

package config

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// foreign tells whether a file belongs to neither root nor who runs this.
func foreign(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid()
}

// giveTo gives f the owner that another file has: root may write for somebody who is then to read it. That the group
// cannot be given is no error.
func giveTo(f *os.File, info os.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if err := f.Chown(int(stat.Uid), int(stat.Gid)); int(stat.Uid) != os.Geteuid() {
		return err
	}
	return nil
}

// patience is how long another one that writes in a directory is waited for.
const patience = 5 * time.Second

// lockDir has others that lock a directory wait until the file that it gives is closed.
func lockDir(path string) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		busy := errors.Is(err, syscall.EWOULDBLOCK)
		switch {
		case err == nil:
			return dir, nil
		case errors.Is(err, syscall.EINTR) || busy && time.Since(began) < patience:
			continue
		case busy:
			err = errors.New("another program has it locked")
		}
		dir.Close()
		return nil, fmt.Errorf("failed to lock %q: %w", path, err)
	}
}
