package onetime

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// network moves the calling goroutine, and the programs that it runs, into a network namespace of its own, where
// there is a loopback interface and nothing else. It goes with the goroutine's thread.
func network(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // and never unlocked: the thread is not to be used again
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		t.Fatalf("failed to make a network namespace (this test needs root): %v", err)
	}
	command(t, "ip", "link", "set", "lo", "up")
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("failed to run %s %q: %v: %s", name, args, err, out)
	}
}

// wait waits until a file holds text.
func wait(t *testing.T, path, text string) {
	t.Helper()
	var got []byte
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if got, _ = os.ReadFile(path); strings.Contains(string(got), text) {
			return
		}
	}
	t.Fatalf("no %q in %q:\n%s", text, path, got)
}

// knockd runs Debian's knockd with the sequences at path, and gives what ends it. It prints a line into said for each knock.
func knockd(t *testing.T, path, said string) (end func()) {
	t.Helper()
	dir := t.TempDir()
	conf, log := filepath.Join(dir, "knockd.conf"), filepath.Join(dir, "log")
	check(t, os.WriteFile(conf, fmt.Appendf(nil, `[options]
	logfile = %s
[door]
	one_time_sequences = %s
	seq_timeout = 20
	tcpflags = syn
	command = echo opened for %%IP%% >>%s
`, log, path, said), 0o600))
	k := exec.Command("knockd", "-i", "lo", "-c", conf)
	check(t, k.Start())
	end = func() {
		_ = k.Process.Kill()
		_ = k.Wait()
	}
	t.Cleanup(end)
	wait(t, log, "starting up, listening on lo")
	return end
}

// A file that is used half by knockd goes on with ours, and the other way round: neither takes what the other has used.
func TestKnockd(t *testing.T) {
	t.Parallel()
	network(t)
	said := filepath.Join(t.TempDir(), "said")
	path := file(t, "# some of them\n 7001,8001\n 7002:udp,8002\n\n7003,8003,9003\n 7004,8004:tcp\n 7005,8005\n")

	end := knockd(t, path, said)
	command(t, "knock", "-d", "20", "127.0.0.1", "7001", "8001")
	wait(t, said, "opened for 127.0.0.1\n")
	wait(t, path, "\n#7001,8001\n")
	command(t, "knock", "-d", "20", "127.0.0.1", "7002:udp", "8002")
	wait(t, path, "\n#7002:udp,8002\n")
	end()

	f := open(t, path)
	for _, want := range []string{"7003,8003,9003", "7004,8004"} {
		var got []string
		for _, s := range f.Steps() {
			got = append(got, s.String())
		}
		if diff := cmp.Diff(want, strings.Join(got, ",")); diff != "" {
			t.Errorf("the sequence that counts (-want +got):\n%s", diff)
		}
		check(t, f.Use())
	}
	if f.Left() != 1 {
		t.Errorf("%d left, want 1", f.Left())
	}

	end = knockd(t, path, said)
	command(t, "knock", "-d", "20", "127.0.0.1", "7004", "8004") // used by us: for knockd it counts no more
	command(t, "knock", "-d", "20", "127.0.0.1", "7005", "8005")
	wait(t, path, "\n#7005,8005\n")
	wait(t, said, strings.Repeat("opened for 127.0.0.1\n", 3))
	end()
	if diff := cmp.Diff("# some of them\n#7001,8001\n#7002:udp,8002\n\n#003,8003,9003\n#7004,8004:tcp\n#7005,8005\n", content(t, path)); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
	if got := content(t, said); got != strings.Repeat("opened for 127.0.0.1\n", 3) {
		t.Errorf("knockd's commands said %q, want three lines", got)
	}
	if err := f.Use(); err == nil || !strings.Contains(err.Error(), "was changed since it was read") {
		t.Errorf("Use of what knockd has used = %v", err)
	}
}
