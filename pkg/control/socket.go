package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/portknock/knock/pkg/ui"
)

const (
	// maxSocketPath is the longest name, in bytes, that the kernels take for a socket.
	maxSocketPath = 103
	// dialLimit is how long a connection to a socket of this machine may take.
	dialLimit = 5 * time.Second
)

// Listen makes a socket at path that only its owner and root can connect to. It takes the place of one that a killed
// process left there, but not of one that a process listens on, nor of another file. Closing the listener removes the
// socket, unless there is another in its place by then. A path may be longer than a socket's name can be, if its last
// part is not.
func Listen(path string) (net.Listener, error) {
	l, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("failed to make the socket %q: %w", path, err)
	}
	return l, nil
}

func listen(path string) (net.Listener, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	unlock, err := lockDirectory(filepath.Dir(path)) // so that two who start at once do not both take the place
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := makeRoom(path); err != nil {
		return nil, err
	}
	name, done, err := shorten(path)
	if err != nil {
		return nil, err
	}
	defer done()
	config := net.ListenConfig{Control: private}
	l, err := config.Listen(context.Background(), "unix", name)
	if err != nil {
		return nil, reason(err)
	}
	s := &socket{Listener: l, path: path}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if s.made, err = os.Lstat(path); err != nil {
		_ = l.Close()
		return nil, reason(err)
	}
	return s, nil
}

func checkPath(path string) error {
	if path == "" || strings.HasSuffix(path, "/") || strings.ContainsRune(path, 0) {
		return errors.New("not the name of a file")
	}
	return nil
}

// makeRoom takes away a socket on which nobody listens.
func makeRoom(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return reason(err)
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("there is a file of this name that is no socket")
	}
	c, err := dial(context.Background(), path)
	if err == nil {
		_ = c.Close()
		return errors.New("another process listens on it")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) { // as one says who is alive, but busy
		return fmt.Errorf("there is one, and it is not known whether another process listens on it: %w", reason(err))
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("failed to remove the one that another process has left: %w", reason(err))
	}
	return nil
}

// dial connects to the socket at path.
func dial(ctx context.Context, path string) (net.Conn, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	name, done, err := shorten(path)
	if err != nil {
		return nil, err
	}
	defer done()
	dialer := net.Dialer{Timeout: dialLimit}
	return dialer.DialContext(ctx, "unix", name)
}

// reason gives err without the names in it, which may be of our own making: the caller says which file it is about.
func reason(err error) error {
	if number := syscall.Errno(0); errors.As(err, &number) {
		return number
	}
	return err
}

// A socket is a listener that removes its own file and no other.
type socket struct {
	net.Listener
	path   string
	made   fs.FileInfo
	once   sync.Once
	closed error
}

func (s *socket) Close() error {
	s.once.Do(func() {
		if at, err := os.Lstat(s.path); err == nil && os.SameFile(at, s.made) {
			_ = os.Remove(s.path) // else the next one makes room
		}
		s.closed = s.Listener.Close()
	})
	return s.closed
}

// unreachable words why nobody answered at path.
func unreachable(path string, err error) error {
	failed := fmt.Errorf("failed to ask the daemon at %q: %w", path, reason(err))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ui.Hint(fmt.Errorf("no knockdaemon is running with the socket %q", path),
			"start it, or name the -conf or -state-dir that it was started with; if it runs, and somebody has removed the socket, restart it")
	case errors.Is(err, syscall.ECONNREFUSED):
		return ui.Hint(fmt.Errorf("the knockdaemon that made the socket %q is no longer running", path), "start it")
	case errors.Is(err, fs.ErrPermission):
		return ui.Hint(failed, "only root and the user whom the daemon runs as may")
	}
	return failed
}
