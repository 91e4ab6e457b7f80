package client

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/portknock/knock/pkg/ui"
)

// errRefused is what the system says of a port that refuses: WSAECONNREFUSED.
const errRefused = syscall.Errno(10061)

// silence is how long a try to connect waits before the port counts as silent. The system tries thrice, half a second
// apart, before it tells of a refusal.
const silence = 2500 * time.Millisecond

// replace runs a command of cmd's and gives its exit status: a program cannot be replaced here.
func replace(command string, env []string) error {
	cmd := exec.Command(cmp.Or(os.Getenv("ComSpec"), "cmd.exe"))
	cmd.SysProcAttr = &syscall.SysProcAttr{CmdLine: `cmd /S /C "` + command + `"`} // cmd has quotes of its own
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return ui.Status(nil, exit.ExitCode())
	}
	if err != nil {
		return fmt.Errorf("failed to run %q: %w", cmd.Path, err)
	}
	return nil
}
