package journal

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Instant is one moment by two clocks. The wall clock can be set, and be wrong after a boot; the other one never steps,
// goes on in a suspend, and begins anew at each boot. As long as the machine runs, the latter counts.
type Instant struct {
	Wall time.Time
	Boot time.Duration // since the boot: CLOCK_BOOTTIME
}

// Now reads both clocks of this machine.
func Now() Instant {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		panic("CLOCK_BOOTTIME: " + err.Error()) // Linux has had it since 2.6.39
	}
	return Instant{Wall: time.Now().Round(0), Boot: time.Duration(up.Nano())}
}

// WallAt gives what the wall clock shows when the time since boot is at, unless it is set.
func (i Instant) WallAt(at time.Duration) time.Time { return i.Wall.Add(at - i.Boot) }

// BootID names the present boot of this machine; empty if the kernel will not tell, which counts as another boot each
// time.
func BootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
