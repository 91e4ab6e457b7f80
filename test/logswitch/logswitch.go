// Package logswitch turns on the kernel's log of what is dropped in network namespaces, for tests and measurements that
// make hosts of them.
package logswitch

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// On lets the kernel log what namespaces drop, as demo.sh does and by the same two locks: the switch is for the whole
// machine, and its last user puts it back with undo, which is called once.
func On() (undo func() error, err error) {
	const toggle, noted = "/proc/sys/net/netfilter/nf_log_all_netns", "/run/knock-demo.users"
	mutex, err := lock("/run/knock-demo.mutex", unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer mutex.Close()
	users, err := lock(noted, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	value, err := os.ReadFile(toggle)
	if err == nil && string(value) == "0\n" {
		err = errors.Join(os.WriteFile(toggle, []byte("1\n"), 0o644), os.WriteFile(noted, value, 0o644))
	}
	if err != nil {
		users.Close()
		return nil, err
	}
	return func() error {
		defer users.Close()
		mutex, err := lock("/run/knock-demo.mutex", unix.LOCK_EX)
		if err != nil {
			return err
		}
		defer mutex.Close()
		before, err := os.ReadFile(noted)
		if err != nil || len(before) == 0 || unix.Flock(int(users.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			return err // nothing to put back, or another user
		}
		return errors.Join(os.WriteFile(toggle, before, 0o644), os.WriteFile(noted, nil, 0o644))
	}, nil
}

func lock(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), how); err != nil {
		f.Close()
		return nil, fmt.Errorf("failed to lock %q: %w", path, err)
	}
	return f, nil
}
