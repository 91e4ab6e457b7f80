//go:build !linux

package control

import (
	"errors"
	"fmt"
	"syscall"
)

// lockDirectory fails: there is no daemon for this system.
func lockDirectory(string) (unlock func(), err error) {
	return nil, fmt.Errorf("a socket of one user alone: %w", errors.ErrUnsupported)
}

func private(_, _ string, _ syscall.RawConn) error { return errors.ErrUnsupported }

func shorten(path string) (name string, done func(), err error) {
	if len(path) > maxSocketPath {
		return "", nil, errors.New("its name is too long for a socket")
	}
	return path, func() {}, nil
}
