package command

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// instant is one moment by the wall clock, which can be set, and by the one that starts with the machine and goes on in
// a suspend. The latter counts as long as the machine runs.
type instant struct {
	wall time.Time
	boot time.Duration // CLOCK_BOOTTIME
}

func systemClock() instant {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		panic("CLOCK_BOOTTIME: " + err.Error()) // Linux has had it since 2.6.39
	}
	return instant{wall: time.Now().Round(0), boot: time.Duration(up.Nano())}
}

// bootID names the present boot; empty if the kernel will not tell, which counts as another one each time.
func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}
