//go:build unix

package pad

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// How files are opened.
const (
	noFollowing = unix.O_NOFOLLOW // a link leads elsewhere
	noWaiting   = unix.O_NONBLOCK // a FIFO would be waited for
)

// letsOthers tells whether others than a file's owner may read or write it.
func letsOthers(mode fs.FileMode) bool { return mode.Perm()&0o077 != 0 }

// tryLock locks a file until it is closed, unless somebody else has it.
func tryLock(f *os.File) (locked bool, err error) {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, err
		}
	}
}

// openPlace opens the file of a place to read it.
func openPlace(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|noFollowing|noWaiting, 0)
}

// rename replaces a file by another one. It lasts once syncDir has returned.
func rename(from, to string) error { return os.Rename(from, to) }

// syncDir makes a name in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
