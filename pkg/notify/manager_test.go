package notify

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// listen makes the socket of a manager and says so in the environment, as the
// manager does.
func listen(t *testing.T, address string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", address)
	return c
}

// hear reads the next message.
func hear(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	b := make([]byte, 4096)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func noReport(t *testing.T) func(string) {
	return func(message string) { t.Errorf("reported: %s", message) }
}

// The messages are those of sd_notify(3), on a socket in the file system and on one without a name there.
func TestMessages(t *testing.T) {
	for name, address := range map[string]string{
		"path":     filepath.Join(t.TempDir(), "notify"),
		"abstract": fmt.Sprintf("@knock-notify-%d", os.Getpid()),
	} {
		t.Run(name, func(t *testing.T) {
			c := listen(t, address)
			t.Setenv("WATCHDOG_USEC", "")
			t.Setenv("WATCHDOG_PID", "")
			m := New(noReport(t))
			m.Ready("watching")
			m.Status("one port is open")
			m.Reloading()
			m.Ready("")
			m.Stopping()
			var got []string
			for range 5 {
				got = append(got, regexp.MustCompile(`=[0-9]{6,}$`).ReplaceAllString(hear(t, c), "=NUMBER"))
			}
			want := []string{
				"READY=1\nSTATUS=watching", "STATUS=one port is open",
				"RELOADING=1\nMONOTONIC_USEC=NUMBER", "READY=1\nSTATUS=", "STOPPING=1",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

// What the manager says in the environment is heeded, and no child hears it.
func TestEnvironment(t *testing.T) {
	self := strconv.Itoa(os.Getpid())
	tests := map[string]struct {
		socket    bool
		usec, pid string
		interval  time.Duration
		report    string
	}{
		"watchdog":              {true, "90000000", self, 90 * time.Second, ""},
		"watchdog of any":       {true, "90000000", "", 90 * time.Second, ""},
		"watchdog of another":   {true, "90000000", "1", 0, ""},
		"no watchdog":           {true, "", "", 0, ""},
		"watchdog of nobody's":  {false, "90000000", self, 0, ""},
		"nobody":                {false, "", "", 0, ""},
		"watchdog without time": {true, "soon", self, 0, "no watchdog: error converting WATCHDOG_USEC"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("NOTIFY_SOCKET", "")
			if tt.socket {
				listen(t, filepath.Join(t.TempDir(), "notify"))
			}
			t.Setenv("WATCHDOG_USEC", tt.usec)
			t.Setenv("WATCHDOG_PID", tt.pid)
			var said []string
			m := New(func(message string) { said = append(said, message) })
			if m.interval != tt.interval {
				t.Errorf("the interval is %v, want %v", m.interval, tt.interval)
			}
			if got := strings.Join(said, "\n"); !strings.HasPrefix(got, tt.report) || (got == "") != (tt.report == "") {
				t.Errorf("reported %q, want %q", got, tt.report)
			}
			for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
				if value, ok := os.LookupEnv(name); ok {
					t.Errorf("children get %s=%s", name, value)
				}
			}
		})
	}
}

// A manager that reads no more holds nothing up for long.
func TestFrozenManager(t *testing.T) {
	listen(t, filepath.Join(t.TempDir(), "notify"))
	var said []string
	m := New(func(message string) { said = append(said, message) })
	longest := time.Duration(0)
	for range 100_000 { // a queue holds net.unix.max_dgram_qlen, 512 at most on usual systems
		began := time.Now()
		m.Status("busy")
		longest = max(longest, time.Since(began))
		if len(said) > 0 {
			break
		}
	}
	if len(said) != 1 || !strings.Contains(said[0], "timeout") {
		t.Errorf("reported %q, want a timeout", said)
	}
	if longest > 10*sendLimit {
		t.Errorf("a message took %v", longest)
	}
}

// A socket that is gone is told of, and nothing else happens.
func TestManagerIsGone(t *testing.T) {
	listen(t, filepath.Join(t.TempDir(), "notify")).Close()
	var said []string
	m := New(func(message string) { said = append(said, message) })
	m.Ready("watching")
	m.Stopping()
	if len(said) != 1 || !strings.HasPrefix(said[0], "failed to tell the service manager: ") {
		t.Errorf("reported %q, want one failure", said)
	}
}
