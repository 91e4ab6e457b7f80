//go:build unix

package client

import (
	"fmt"
	"syscall"
	"time"
)

// errRefused is what the kernel says of a port that refuses.
const errRefused = syscall.ECONNREFUSED

// silence is how long a try to connect waits before the port counts as silent: less than the kernel waits before it
// sends a second SYN.
const silence = 900 * time.Millisecond

// replace runs a command of the shell's in place of this program. It returns only if that cannot be done.
func replace(command string, env []string) error {
	err := syscall.Exec("/bin/sh", []string{"sh", "-c", command}, env)
	return fmt.Errorf("failed to run %q: %w", "/bin/sh", err)
}
