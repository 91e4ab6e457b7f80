package sniff

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/packet"
)

// A space is a network namespace of a test's own.
type space struct {
	t  testing.TB
	fd *os.File
}

func newSpace(t testing.TB) *space {
	t.Helper()
	s := &space{t: t}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			s.fd, err = os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("failed to make a network namespace (this test needs root): %v", err)
	}
	t.Cleanup(func() { s.fd.Close() })
	s.ip("link set lo up")
	return s
}

// start runs f in the namespace, and gives what it returns.
func (s *space) start(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(s.fd.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return done
}

// in runs f in the namespace to its end.
func (s *space) in(f func() error) {
	s.t.Helper()
	if err := <-s.start(f); err != nil {
		s.t.Fatal(err)
	}
}

// ip runs commands of iproute2's, one a line.
func (s *space) ip(commands string) {
	s.t.Helper()
	for c := range strings.Lines(commands) {
		if c = strings.TrimSpace(c); c == "" {
			continue
		}
		s.in(func() error {
			out, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput()
			if err != nil {
				return fmt.Errorf("ip %s: %w: %s", c, err, out)
			}
			return nil
		})
	}
}

// wire joins two namespaces: eth0 of the laptop and eth0 of the gate, with the addresses of docs.
func wire(t testing.TB) (laptop, gate *space) {
	t.Helper()
	laptop, gate = newSpace(t), newSpace(t)
	plug(laptop, gate)
	return laptop, gate
}

// plug makes eth0 on both sides.
func plug(laptop, gate *space) {
	gate.t.Helper()
	gate.in(func() error {
		cmd := exec.Command("ip", "link", "add", "eth0", "address", "02:00:00:00:00:01", "type", "veth",
			"peer", "name", "eth0", "address", "02:00:00:00:00:02", "netns", "/proc/self/fd/3")
		cmd.ExtraFiles = []*os.File{laptop.fd}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	laptop.ip(`
		addr add 192.0.2.2/24 dev eth0
		addr add 2001:db8::2/64 dev eth0 nodad
		link set eth0 up`)
	gate.ip(`
		addr add 192.0.2.1/24 dev eth0
		addr add 2001:db8::1/64 dev eth0 nodad
		link set eth0 up`)
}

// gateLink and otherLink are link addresses: the gate's eth0, and nobody's.
var (
	gateLink  = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	otherLink = net.HardwareAddr{2, 0, 0, 0, 0, 9}
)

// send puts IP packets onto an interface of the namespace, whatever its kernel would think of them.
func (s *space) send(name string, to net.HardwareAddr, packets ...[]byte) {
	s.t.Helper()
	s.sendAs(func(b []byte) uint16 {
		if b[0]>>4 == 6 {
			return unix.ETH_P_IPV6
		}
		return unix.ETH_P_IP
	}, name, to, packets...)
}

// sendAs sends frames of the EtherTypes that kind tells.
func (s *space) sendAs(kind func([]byte) uint16, name string, to net.HardwareAddr, frames ...[]byte) {
	s.t.Helper()
	s.in(func() error {
		link, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		addr := unix.SockaddrLinklayer{Ifindex: link.Index, Halen: 6}
		copy(addr.Addr[:], to)
		for _, b := range frames {
			addr.Protocol = binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, kind(b)))
			if err := unix.Sendto(fd, b, 0, &addr); err != nil {
				return err
			}
		}
		return nil
	})
}

// A rig is a Sniffer at work in a namespace.
type rig struct {
	t       testing.TB
	mu      sync.Mutex // guards what follows
	packets []packet.Packet
	reports []string
	started int
	looks   int
	changed chan struct{} // closed at a change
}

// sniff starts a Sniffer in the namespace, which ends with the test, and waits until it has started.
func (s *space) sniff(o Options, handle func(packet.Packet)) *rig {
	s.t.Helper()
	return s.run(mustNew(s.t, o), handle)
}

func mustNew(t testing.TB, o Options) *Sniffer {
	t.Helper()
	if o.Wants == nil {
		o.Wants = sorts
	}
	sniffer, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return sniffer
}

func (s *space) run(sniffer *Sniffer, handle func(packet.Packet)) *rig {
	s.t.Helper()
	r := &rig{t: s.t, changed: make(chan struct{})}
	sniffer.report = func(msg string, err error) {
		if err != nil {
			msg += ": " + err.Error()
		}
		r.change(func() { r.reports = append(r.reports, msg) })
	}
	sniffer.started = func() { r.change(func() { r.started++ }) }
	sniffer.looked = func() { r.change(func() { r.looks++ }) }
	ctx, cancel := context.WithCancel(context.Background())
	done := s.start(func() error {
		return sniffer.Run(ctx, func(p packet.Packet) {
			if handle != nil {
				handle(p)
			}
			r.change(func() { r.packets = append(r.packets, p) })
		})
	})
	s.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("Run: %v", err)
		}
		if r.started != 1 {
			s.t.Errorf("started %d times", r.started)
		}
	})
	r.wait("start", func() bool { return r.started > 0 })
	return r
}

func (r *rig) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.changed)
	r.changed = make(chan struct{})
}

// wait waits until a condition on what mu guards is true.
func (r *rig) wait(what string, is func() bool) {
	r.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		r.mu.Lock()
		ok, changed := is(), r.changed
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			r.t.Fatalf("no %s in 20 s: %v, %v", what, r.packets, r.reports)
		}
	}
}

// look waits for the end of a look that begins after the call.
func (r *rig) look() {
	r.t.Helper()
	r.mu.Lock()
	from := r.looks
	r.mu.Unlock()
	r.wait("look", func() bool { return r.looks >= from+2 })
}

// eventually does something once a look, until a condition on what mu guards is true.
func (r *rig) eventually(what string, do func(), is func() bool) {
	r.t.Helper()
	for range 20 {
		do()
		r.look()
		r.mu.Lock()
		ok := is()
		r.mu.Unlock()
		if ok {
			return
		}
	}
	r.t.Fatalf("no %s in 20 looks: %v, %v", what, r.packets, r.reports)
}

// wantReports compares all reports with a literal, once the last one is there.
func (r *rig) wantReports(want ...string) {
	r.t.Helper()
	r.wait("report", func() bool { return len(r.reports) >= len(want) })
	if diff := cmp.Diff(want, r.reports); diff != "" {
		r.t.Fatalf("reports (-want +got)\n%s", diff)
	}
}

// want compares the packets that came since the last call, without the marks, with a literal. The mark, to be sent
// behind them, comes last in its family.
func (r *rig) want(v6 bool, want ...packet.Packet) {
	r.t.Helper()
	at := -1
	r.wait("mark", func() bool {
		at = slices.IndexFunc(r.packets, func(p packet.Packet) bool { return p.SrcPort == markPort && p.Dst.Is6() == v6 })
		return at >= 0
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	got := slices.Clone(r.packets[:at])
	r.packets = r.packets[at+1:]
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
		r.t.Errorf("packets (-want +got)\n%s", diff)
	}
}

// markPort is the source port of a mark, which is a wanted packet.
const markPort = 1

func (e ends) mark(v6 bool) []byte {
	p := e.packet(v6, packet.TCP, 1000, packet.SYN)
	p.SrcPort = markPort
	return build(p)
}
