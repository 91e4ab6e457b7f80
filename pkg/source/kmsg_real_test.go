package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/test/logswitch"
)

// readKernel starts a Kmsg on the kernel's own log, which the whole machine writes to, and keeps the lines in which
// mark is.
func readKernel(t *testing.T, mark string) *rig {
	t.Helper()
	r := &rig{t: t}
	started := make(chan struct{})
	k := NewKmsg(Options{Started: func() { close(started) }})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- k.Run(ctx, func(line []byte) {
			if !bytes.Contains(line, []byte(mark)) {
				return
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.lines = append(r.lines, string(line))
		})
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(r.stop)
	select {
	case <-started:
	case err := <-done:
		done <- nil
		t.Fatalf("Run: %v", err)
	}
	return r
}

// A packet that the firewall of a namespace logs comes as one line; text of the same look that a process writes, of the
// kernel's facility and with a newline before it, does not.
func TestKmsgOfTheKernel(t *testing.T) {
	t.Parallel()
	logNamespaces(t)
	mark := fmt.Sprintf("KMSG%d", os.Getpid())
	logHost(t, mark+" ")

	imitate(t, mark+" 1 ", "") // from before the start: never seen
	knockUDP(t, 1)
	r := readKernel(t, mark)
	forged := "IN=lo OUT= MAC= SRC=192.0.2.66 DST=127.0.0.1 LEN=60 PROTO=UDP SPT=1 DPT=7 LEN=9 "
	imitate(t, "<4>", mark+" "+forged)
	imitate(t, "<0>kernel: ", "x\n<4>"+mark+" "+forged)
	knockUDP(t, 7)
	knockUDP(t, 8)
	if !eventually(func() bool { return len(r.got()) >= 2 }) {
		t.Fatalf("lines: %q", r.got())
	}
	wantForged(t, mark, 3)

	d, err := packet.NewDecoder(packet.Options{Prefix: mark + " ", Head: packet.HeadDmesg, Boot: time.Unix(0, 0)})
	check(t, err)
	var got []packet.Packet
	for _, line := range r.got() {
		p, err := d.Decode([]byte(line), time.Now())
		if err != nil || p.At.Unix() <= 0 {
			t.Errorf("line %q: %v, stamp %v", line, err, p.At)
		}
		got = append(got, p)
	}
	host := netip.MustParseAddr("127.0.0.1")
	want := []packet.Packet{
		{Src: host, Dst: host, DstPort: 7, Proto: packet.UDP},
		{Src: host, Dst: host, DstPort: 8, Proto: packet.UDP},
	}
	opt := cmpopts.IgnoreFields(packet.Packet{}, "At", "SrcPort")
	if diff := cmp.Diff(want, got, opt, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
}

// logNamespaces switches the log of namespaces on. The switch is now and then not found where namespaces come and go.
func logNamespaces(t *testing.T) {
	t.Helper()
	var undo func() error
	var err error
	if !eventually(func() bool {
		undo, err = logswitch.On()
		return !errors.Is(err, fs.ErrNotExist)
	}) {
		t.Fatal(err)
	}
	check(t, err)
	t.Cleanup(func() { check(t, undo()) })
}

// logHost moves the test into a namespace of its own, whose firewall logs UDP.
func logHost(t *testing.T, prefix string) {
	t.Helper()
	runtime.LockOSThread() // and never unlocked: the thread is not to be used again
	check(t, syscall.Unshare(syscall.CLONE_NEWNET))
	for _, c := range []string{"ip link set lo up", "iptables -w 5 -A INPUT -p udp -j LOG --log-prefix"} {
		args := strings.Fields(c)
		if args[0] == "iptables" {
			args = append(args, prefix)
		}
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("failed to run %s: %v: %s", c, err, out)
		}
	}
}

func knockUDP(t *testing.T, port int) {
	t.Helper()
	c, err := net.Dial("udp4", fmt.Sprintf("127.0.0.1:%d", port))
	check(t, err)
	defer c.Close()
	_, err = c.Write([]byte("x"))
	check(t, err)
}

// imitate writes a message to the kernel's log as any process with the right to may.
func imitate(t *testing.T, head, text string) {
	t.Helper()
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	check(t, err)
	defer f.Close()
	_, err = f.WriteString(head + text)
	check(t, err)
}

// wantForged makes sure that the imitations are in the log, or leaving them out would be no feat.
func wantForged(t *testing.T, mark string, want int) {
	t.Helper()
	f, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|syscall.O_NONBLOCK, 0)
	check(t, err)
	defer f.Close()
	check(t, f.SetReadDeadline(time.Now().Add(10*time.Second)))
	got, buf := 0, make([]byte, maxRecord)
	for range 1_000_000 { // more than a ring holds
		n, err := syscallRead(f, buf)
		if errors.Is(err, syscall.EAGAIN) {
			break
		}
		if errors.Is(err, syscall.EPIPE) {
			continue
		}
		check(t, err)
		if bytes.Contains(buf[:n], []byte(mark)) && !bytes.HasPrefix(buf[:n], []byte("4,")) {
			got++
		}
	}
	if got != want {
		t.Errorf("%d imitations in the log, want %d", got, want)
	}
}

// syscallRead reads without waiting.
func syscallRead(f *os.File, b []byte) (n int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	errRead := raw.Read(func(fd uintptr) bool { n, err = syscall.Read(int(fd), b); return true })
	return n, errors.Join(errRead, err)
}

// Without CAP_SYSLOG the log can be read only where the administrator allows it.
func TestKmsgNotPermitted(t *testing.T) {
	t.Parallel()
	restricted, err := os.ReadFile("/proc/sys/kernel/dmesg_restrict")
	check(t, err)
	out, err := again(t, envKmsg+"=1", nobody()).Output()
	check(t, err)
	want := "started\n"
	if string(restricted) != "0\n" {
		want = "not permitted: failed to read the kernel's log: open /dev/kmsg: operation not permitted\n"
	}
	if string(out) != want {
		t.Errorf("said %q, want %q", out, want)
	}
}

// readKmsg is what TestKmsgNotPermitted runs as another user.
func readKmsg() int {
	ctx, cancel := context.WithCancel(context.Background())
	k := NewKmsg(Options{Started: func() { fmt.Println("started"); cancel() }})
	err := k.Run(ctx, func([]byte) {})
	if errors.Is(err, fs.ErrPermission) {
		fmt.Println("not permitted:", err)
	} else if err != nil {
		return 1
	}
	return 0
}
