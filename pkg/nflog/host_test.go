package nflog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/packet"
)

// host is a network namespace of a test's own, with a firewall: the test's goroutine is in it and stays there.
type host struct {
	t  *testing.T
	ns int
}

// newHost makes a host. Each rule is a command; quotes are not known.
func newHost(t *testing.T, rules ...string) *host {
	t.Helper()
	runtime.LockOSThread() // and never unlocked: the thread is not to be used again
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		t.Fatalf("failed to make a network namespace (this test needs root): %v", err)
	}
	ns, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	check(t, err)
	t.Cleanup(func() { unix.Close(ns) })
	h := &host{t: t, ns: ns}
	h.run("ip link set lo up")
	h.run(rules...)
	return h
}

func (h *host) run(commands ...string) {
	h.t.Helper()
	for _, c := range commands {
		args := strings.Fields(c)
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			h.t.Fatalf("failed to run %s: %v: %s", c, err, out)
		}
	}
}

// udp sends a packet to a port of addr.
func (h *host) udp(addr string, ports ...int) {
	h.t.Helper()
	for _, port := range ports {
		c, err := net.Dial("udp", net.JoinHostPort(addr, fmt.Sprint(port)))
		check(h.t, err)
		_, err = c.Write([]byte("x"))
		check(h.t, err)
		c.Close()
	}
}

// syn asks for a connection to a port of addr that is closed.
func (h *host) syn(addr string, port int) {
	h.t.Helper()
	c, err := net.DialTimeout("tcp", net.JoinHostPort(addr, fmt.Sprint(port)), 10*time.Second)
	if err == nil {
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		h.t.Fatalf("failed to knock: %v, want a refused connection", err)
	}
}

// listener is a running Listener and all that it said.
type listener struct {
	t     *testing.T
	looks atomic.Int32
	stop  func()

	mu      sync.Mutex // guards packets and reports
	packets []packet.Packet
	reports []string
}

// listen runs a Listener in h. Change may change it, and the way that packets go.
func (h *host) listen(group uint16, change func(*Listener, *func(packet.Packet))) *listener {
	h.t.Helper()
	r := &listener{t: h.t}
	started := make(chan struct{})
	l := New(Options{
		Group:   group,
		Started: func() { close(started) },
		Looked:  func() { r.looks.Add(1) },
		Report: func(msg string, err error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.reports = append(r.reports, fmt.Sprintf("%s: %v", msg, err))
		},
	})
	handle := func(p packet.Packet) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.packets = append(r.packets, p)
	}
	if change != nil {
		change(l, &handle)
	}
	ctx, cancel := context.WithCancel(h.t.Context())
	done := make(chan error, 1)
	go func() { done <- h.inside(func() error { return l.Run(ctx, handle) }) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				h.t.Errorf("Run: %v", err)
			}
		case <-time.After(10 * time.Second):
			h.t.Error("Run does not end")
		}
	})
	h.t.Cleanup(r.stop)
	select {
	case <-started:
	case err := <-done:
		done <- nil
		h.t.Fatalf("Run: %v", err)
	}
	return r
}

// inside calls f in a thread of h's, which ends with the goroutine.
func (h *host) inside(f func() error) error {
	runtime.LockOSThread()
	if err := unix.Setns(h.ns, unix.CLONE_NEWNET); err != nil {
		return err
	}
	return f()
}

func (r *listener) got() []packet.Packet {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.packets)
}

func (r *listener) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.reports)
}

// want waits until there are as many packets as in want, and compares them. To see that nothing follows, end with a
// packet that would come after it.
func (r *listener) want(want ...packet.Packet) {
	r.t.Helper()
	eventually(func() bool { return len(r.got()) >= len(want) })
	opts := cmp.Options{cmpopts.IgnoreFields(packet.Packet{}, "SrcPort"), cmpopts.EquateComparable(netip.Addr{})}
	if diff := cmp.Diff(want, r.got(), opts); diff != "" {
		r.t.Fatalf("packets (-want +got):\n%s", diff)
	}
}

func (r *listener) wantReports(want ...string) {
	r.t.Helper()
	eventually(func() bool { return len(r.told()) >= len(want) })
	if diff := cmp.Diff(want, r.told()); diff != "" {
		r.t.Fatalf("reports (-want +got):\n%s", diff)
	}
}

// eventually waits for ok, for longer than any promise of this package and the machine's moods take.
func eventually(ok func() bool) bool {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if ok() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func udp(addr string, port uint16) packet.Packet {
	a := netip.MustParseAddr(addr)
	return packet.Packet{Src: a, Dst: a, DstPort: port, Proto: packet.UDP}
}

func syn(addr string, port uint16) packet.Packet {
	p := udp(addr, port)
	p.Proto, p.Flags = packet.TCP, packet.SYN
	return p
}
