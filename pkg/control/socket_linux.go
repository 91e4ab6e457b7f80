package control

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lockPatience is how long another who makes a socket in the same directory is waited for.
const lockPatience = 2 * time.Second

// lockDirectory keeps others who ask for the same out of the directory, until unlock is called.
func lockDirectory(path string) (unlock func(), err error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for began := time.Now(); ; time.Sleep(lockPatience / 40) {
		err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = d.Close() }, nil
		}
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EWOULDBLOCK) || time.Since(began) >= lockPatience {
			_ = d.Close()
			return nil, fmt.Errorf("failed to lock %q: %w", path, err)
		}
	}
}

// private makes the socket's file one of its owner alone. Linux gives the file the mode that the socket has when it is
// bound, less the umask, so there is no moment at which others can connect.
func private(_, _ string, c syscall.RawConn) error {
	var err error
	if cerr := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); cerr != nil {
		return cerr
	}
	return err
}

// shorten gives a name of at most maxSocketPath bytes for path, good until done is called.
func shorten(path string) (name string, done func(), err error) {
	if len(path) < maxSocketPath {
		if strings.HasPrefix(path, "@") { // else it would be no file
			path = "./" + path
		}
		return path, func() {}, nil
	}
	fd, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, err
	}
	name = fmt.Sprintf("/proc/self/fd/%d/%s", fd, filepath.Base(path))
	if len(name) > maxSocketPath {
		_ = unix.Close(fd)
		return "", nil, errors.New("its name is too long for a socket")
	}
	return name, func() { _ = unix.Close(fd) }, nil
}
