package firewall

import (
	"context"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// station is a host beside that of the test: a thread in a network namespace of
// its own, which ends with the test.
type station struct {
	thread int
	todo   chan func()
}

func newStation(t *testing.T) *station {
	t.Helper()
	s := &station{todo: make(chan func())}
	began := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		s.thread = syscall.Gettid()
		began <- syscall.Unshare(syscall.CLONE_NEWNET)
		for do := range s.todo {
			do()
		}
	}()
	if err := <-began; err != nil {
		t.Fatalf("failed to make a network namespace (this test needs root): %v", err)
	}
	t.Cleanup(func() { close(s.todo) })
	return s
}

// in does something on the station and waits for it.
func (s *station) in(do func()) {
	done := make(chan struct{})
	s.todo <- func() { defer close(done); do() }
	<-done
}

// shell runs commands, one a line, in the namespace of the calling thread.
func shell(t *testing.T, commands string) {
	t.Helper()
	if out, err := exec.Command("sh", "-ec", commands).CombinedOutput(); err != nil {
		t.Errorf("failed to run %s: %v: %s", commands, err, out)
	}
}

// The hosts of a gateway's test, and where the service is that only the inner one
// has.
const (
	gateAddr     = "203.0.113.1"
	allowedAddr  = "203.0.113.7"
	strangerAddr = "203.0.113.8"
	innerAddr    = "10.0.0.5"
	servicePort  = 4022
)

// gateway is three hosts: outside there are two addresses, in the middle the
// firewall, which forwards nothing new, and inside one that tells who is there.
type gateway struct {
	kernel
	outside, inside *station
}

func newGateway(t *testing.T, variant string) *gateway {
	t.Helper()
	g := &gateway{kernel: newKernel(t, variant), outside: newStation(t), inside: newStation(t)}
	thread := strconv.Itoa
	shell(t, `ip link add out type veth peer name eth0 netns `+thread(g.outside.thread)+`
		ip addr add `+gateAddr+`/24 dev out; ip link set out up; ip link set lo up
		ip link add in type veth peer name eth0 netns `+thread(g.inside.thread)+`
		ip addr add 10.0.0.1/24 dev in; ip link set in up
		echo 1 > /proc/sys/net/ipv4/ip_forward`)
	g.outside.in(func() {
		shell(t, `ip addr add `+allowedAddr+`/24 dev eth0; ip addr add `+strangerAddr+`/24 dev eth0
			ip link set eth0 up; ip route add default via `+gateAddr)
	})
	g.inside.in(func() {
		shell(t, `ip addr add `+innerAddr+`/24 dev eth0; ip link set eth0 up; ip route add default via 10.0.0.1`)
		g.serve()
	})
	g.admin(`
		-P INPUT DROP
		-P FORWARD DROP
		-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT`)
	return g
}

// serve tells whoever comes by TCP or UDP his address.
func (g *gateway) serve() {
	service := net.JoinHostPort(innerAddr, strconv.Itoa(servicePort))
	l, err := net.Listen("tcp4", service)
	if err != nil {
		g.t.Error(err)
		return
	}
	p, err := net.ListenPacket("udp4", service)
	if err != nil {
		g.t.Error(err)
		return
	}
	g.t.Cleanup(func() { l.Close(); p.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(c.RemoteAddr().String()))
			c.Close()
		}
	}()
	go func() {
		for b := make([]byte, 64); ; {
			_, from, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = p.WriteTo([]byte(from.String()), from)
		}
	}()
}

// ask makes one try from src to reach the service at to, and gives the address
// that it is seen with; empty if it is not answered.
func (g *gateway) ask(network, src, to string) (seen string) {
	g.t.Helper()
	g.outside.in(func() {
		addr := net.Addr(&net.TCPAddr{IP: net.ParseIP(src)})
		if network == "udp4" {
			addr = &net.UDPAddr{IP: net.ParseIP(src)}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 400*time.Millisecond) // one SYN
		defer cancel()
		c, err := (&net.Dialer{LocalAddr: addr}).DialContext(ctx, network, to)
		if err != nil {
			return
		}
		defer c.Close()
		deadline := time.Now().Add(400 * time.Millisecond)
		if network == "tcp4" { // which is there: what follows is late, not lost
			deadline = deadline.Add(5 * time.Second)
		}
		if err := c.SetDeadline(deadline); err != nil {
			g.t.Error(err)
		}
		if network == "udp4" {
			_, _ = c.Write([]byte("x"))
		}
		b := make([]byte, 64)
		n, _ := c.Read(b)
		seen, _, _ = strings.Cut(string(b[:n]), ":")
	})
	return seen
}

// reached checks what reaches the service: TCP and UDP from either address to the
// forwarded port, and straight to the inner host, which nothing ever does.
func (g *gateway) reached(when string, tcp, udp bool) {
	g.t.Helper()
	gate, inner := gateAddr+":2222", net.JoinHostPort(innerAddr, strconv.Itoa(servicePort))
	tests := []struct {
		network, src, to string
		want             bool
	}{
		{"tcp4", allowedAddr, gate, tcp}, {"udp4", allowedAddr, gate, udp},
		{"tcp4", strangerAddr, gate, false}, {"udp4", strangerAddr, gate, false},
		{"tcp4", allowedAddr, inner, false}, {"udp4", allowedAddr, inner, false},
		{"tcp4", strangerAddr, inner, false},
	}
	for _, tt := range tests {
		want := ""
		if tt.want {
			want = tt.src
		}
		if got := g.ask(tt.network, tt.src, tt.to); got != want {
			g.t.Errorf("%s from %s to %s, %s: seen as %q, want %q", tt.network, tt.src, tt.to, when, got, want)
		}
	}
}

// TestForwardedPackets has packets go from host to host to host.
func TestForwardedPackets(t *testing.T) {
	t.Parallel()
	for _, variant := range variants {
		for _, chain := range []string{"KNOCK", "INPUT"} {
			t.Run(variant+"/"+chain, func(t *testing.T) {
				t.Parallel()
				g := newGateway(t, variant)
				f := g.firewall(chain)
				to := netip.AddrPortFrom(netip.MustParseAddr(innerAddr), servicePort).String()
				tcp := forward(allowedAddr, 2222, to)
				ctx := t.Context()

				g.must(f.Setup(ctx))
				g.reached("with nothing forwarded", false, false)
				g.must(f.Add(ctx, always(tcp)))
				g.reached("with TCP forwarded", true, false)
				g.must(f.Add(ctx, always(udp(tcp))))
				g.reached("with both", true, true)
				g.must(f.Delete(ctx, tcp))
				g.reached("with TCP taken out", false, true)
				g.sync(f, "removed "+udp(tcp).String()+", restored "+tcp.String(), always(tcp))
				g.reached("with TCP put right", true, false)

				end := time.Now().Truncate(time.Second).Add(3 * time.Second)
				g.must(f.Add(ctx, Entry{tcp, end}))
				watch(t, func() (from, to time.Time, open bool) {
					from = time.Now()
					open = g.ask("tcp4", allowedAddr, gateAddr+":2222") != ""
					return from, time.Now(), open
				}, true, end)
				g.must(f.Teardown(ctx))
				g.reached("in the end", false, false)
			})
		}
	}
}
