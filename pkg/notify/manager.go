// Package notify tells the service manager, systemd or one that speaks its
// protocol (sd_notify(3)), how the daemon is: that it is ready, that it stops,
// and that each part of it still goes round. It leaves to others what the parts
// are, and to the manager what becomes of a daemon that hangs.
package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

const (
	// sendLimit is how long a manager that does not read is waited for. Nothing
	// that the daemon does may hang because the manager does.
	sendLimit = time.Second
	// maxStatus is the longest status, in bytes.
	maxStatus = 512
)

// Manager is the service manager that has started the process, or nobody. Its
// methods may be called from several goroutines, and do nothing for nobody.
type Manager struct {
	interval time.Duration // the manager's patience; 0: there is no watchdog
	start    time.Time     // what beats are counted from, as the clock on the wall may be set
	report   func(string)
	send     func(state string) error // nil: there is nobody

	mu     sync.Mutex // guards what is below
	parts  []*Part
	failed bool // the last message did not get through
}

// New finds out who started the process from NOTIFY_SOCKET, WATCHDOG_USEC and
// WATCHDOG_PID, which it takes out of the environment so that no child answers
// in the daemon's place. It starts nothing. Report, if not nil, gets what an
// operator should know, on changes only: that the manager cannot be told
// something, that a part is late or goes round again.
func New(report func(string)) *Manager {
	if report == nil {
		report = func(string) {}
	}
	address := os.Getenv("NOTIFY_SOCKET")
	interval, err := daemon.SdWatchdogEnabled(true)
	if err := errors.Join(err, os.Unsetenv("NOTIFY_SOCKET")); err != nil {
		report(fmt.Sprintf("no watchdog: %v", err))
	}
	if address == "" {
		return newManager(0, nil, report)
	}
	return newManager(interval, func(state string) error { return send(address, state) }, report)
}

func newManager(interval time.Duration, send func(string) error, report func(string)) *Manager {
	return &Manager{interval: interval, start: time.Now(), report: report, send: send}
}

// Ready says that the daemon is at work, at its start and after each Reloading.
func (m *Manager) Ready(status string) {
	m.tell(daemon.SdNotifyReady + "\nSTATUS=" + oneLine(status))
}

// Reloading says that the daemon reads its settings anew. Ready must follow.
func (m *Manager) Reloading() {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &up); err != nil {
		m.report(fmt.Sprintf("failed to read the clock: %v", err))
		return
	}
	// The time is for managers that wait for the answer to their own SIGHUP.
	m.tell(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, up.Nano()/int64(time.Microsecond)))
}

// Stopping says that the daemon ends.
func (m *Manager) Stopping() { m.tell(daemon.SdNotifyStopping) }

// Status says in one line what the daemon does, for people. Control characters
// are left out, and what is longer than 512 bytes is cut.
func (m *Manager) Status(status string) { m.tell("STATUS=" + oneLine(status)) }

// tell sends a message, and reports only the first in a row that fails.
func (m *Manager) tell(state string) {
	if m.send == nil {
		return
	}
	err := m.send(state)
	m.mu.Lock()
	news := err != nil && !m.failed
	m.failed = err != nil
	m.mu.Unlock()
	if news {
		m.report(fmt.Sprintf("failed to tell the service manager: %v", err))
	}
}

// send is daemon.SdNotify with an end to its patience.
func send(address, state string) error {
	ctx, cancel := context.WithTimeout(context.Background(), sendLimit)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unixgram", address)
	if err != nil {
		return err
	}
	defer c.Close()
	end, _ := ctx.Deadline()
	if err := c.SetWriteDeadline(end); err != nil {
		return err
	}
	_, err = c.Write([]byte(state))
	return err
}

// oneLine makes a status of any text: a newline in it would begin another message,
// and one that is not UTF-8 is dropped by the manager.
func oneLine(s string) string {
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return -1
		}
		return c
	}, strings.ToValidUTF8(s, ""))
	return strings.ToValidUTF8(s[:min(len(s), maxStatus)], "")
}
