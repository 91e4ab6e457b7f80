package lease

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Instant is one moment by two clocks. The wall clock can be set, and be wrong
// after a boot; the other one never steps, goes on in a suspend, and begins anew
// at each boot. A running Manager trusts the latter.
type Instant struct {
	Wall time.Time
	Boot time.Duration // since the boot: CLOCK_BOOTTIME
}

// maxDrift is how far the clocks may part before the wall clock counts as set.
const maxDrift = time.Second

// systemClock reads both clocks of this machine.
func systemClock() Instant {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		panic("CLOCK_BOOTTIME: " + err.Error()) // Linux has had it since 2.6.39
	}
	return Instant{Wall: time.Now().Round(0), Boot: time.Duration(up.Nano())}
}

// bootID names the present boot of this machine; empty if the kernel will not
// tell, which counts as another boot each time.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// wall gives what the wall clock shows when the time since boot is at.
func (i Instant) wall(at time.Duration) time.Time {
	return i.Wall.Add(at - i.Boot)
}

// look reads the clocks, and notices a wall clock that was set: then the ends in
// the firewall and in the journal are wrong, and must be written anew.
func (m *Manager) look() Instant {
	now := m.clock()
	stepped := now.Wall.Sub(m.base.wall(now.Boot))
	if stepped.Abs() <= maxDrift {
		return Instant{Wall: m.base.wall(now.Boot), Boot: now.Boot}
	}
	m.base = now
	m.unsaved = true
	m.believe(now)
	m.sync.due = now.Boot
	m.note("the clock was set: the ends of open ports were moved with it, by "+stepped.Round(time.Second).String(), nil)
	return now
}

// believe ends what was restored in another boot where the wall clock says, now
// that it was set: until then it may have been too slow for anybody to tell how
// long the machine was off.
func (m *Manager) believe(now Instant) {
	m.update(func() {
		for _, e := range m.entries {
			if !e.until.IsZero() && e.open {
				e.end = max(1, min(e.end, now.Boot+e.until.Sub(now.Wall)))
			}
		}
	})
}
