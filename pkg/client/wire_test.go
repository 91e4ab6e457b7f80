package client

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/sequence"
)

// senders are both ways to send: the one for Unix, and the one for other systems, which works here as well.
var senders = map[string]func(context.Context, netip.Addr, []sequence.Step, time.Duration) ([]uint16, error){
	"sockets": sendPackets,
	"dialer":  dialPackets,
}

// A wire hears the packets that arrive at an address of the loopback interface.
type wire struct {
	t    *testing.T
	fd   int
	host netip.Addr
}

func newWire(t *testing.T, host string) *wire {
	t.Helper()
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_IP))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: lo.Index}); err != nil {
		t.Fatal(err)
	}
	return &wire{t, fd, netip.MustParseAddr(host)}
}

// heard gives the steps that have arrived, in order, and the source ports of the SYNs among them.
func (w *wire) heard() (steps []sequence.Step, sources []int) {
	w.t.Helper()
	buffer := make([]byte, 65536)
	for {
		n, from, err := unix.Recvfrom(w.fd, buffer, 0)
		if errors.Is(err, unix.EAGAIN) {
			return steps, sources
		}
		if err != nil {
			w.t.Fatal(err)
		}
		if from.(*unix.SockaddrLinklayer).Pkttype != unix.PACKET_HOST || n < 28 {
			continue
		}
		head := int(buffer[0]&15) * 4
		if netip.AddrFrom4([4]byte(buffer[16:20])) != w.host {
			continue
		}
		step := sequence.Step{Port: binary.BigEndian.Uint16(buffer[head+2:])}
		switch proto := buffer[9]; {
		case proto == unix.IPPROTO_UDP:
			step.Proto = packet.UDP
		case proto == unix.IPPROTO_TCP && buffer[head+13]&0x12 == 0x02: // SYN, no ACK
			step.Proto = packet.TCP
			sources = append(sources, int(binary.BigEndian.Uint16(buffer[head:])))
		default:
			continue
		}
		steps = append(steps, step)
	}
}

// What arrives is one packet for each step, in order, whoever sends it: SYNs from consecutive source ports, and datagrams.
// A busy machine may swap some of those that a dialer sends, but not each time.
func TestOrderOfArrival(t *testing.T) {
	t.Parallel()
	steps := tcp(966, 914, 795, 964, 831, 862, 807, 932)
	steps = append(steps, udp(7000), udp(8000), udp(7000))
	steps = append(steps, tcp(7001, 966, 8001, 966, 966, 1)...)
	for name, test := range map[string]struct{ sender, host string }{
		"sockets": {"sockets", "127.77.0.1"},
		"dialer":  {"dialer", "127.77.0.2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var diff string
			for range 3 {
				w := newWire(t, test.host)
				if _, err := senders[test.sender](t.Context(), w.host, steps, 0); err != nil {
					t.Fatal(err)
				}
				got, sources := w.heard()
				if diff = cmp.Diff(steps, got); diff == "" {
					wantNumbered(t, sources, 14)
					return
				}
			}
			t.Errorf("arrived (-want +got)\n%s", diff)
		})
	}
}

// deaf gives a port of host that answers no SYN: the listener's queue is full.
func deaf(t *testing.T, host netip.Addr) (port uint16) {
	t.Helper()
	l, err := newSocket(host, unix.SOCK_STREAM)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(l) })
	if err := errors.Join(unix.Bind(l, sockaddr(host, 0)), unix.Listen(l, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(l)
	if err != nil {
		t.Fatal(err)
	}
	port = uint16(name.(*unix.SockaddrInet4).Port)
	conn, err := net.DialTCP("tcp4", nil, net.TCPAddrFromAddrPort(netip.AddrPortFrom(host, port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return port
}

// A port that drops gets one SYN, and no second one after a second. A busy machine may be late, but not each time.
func TestOneSYN(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ sender, host string }{
		"sockets": {"sockets", "127.77.0.3"},
		"dialer":  {"dialer", "127.77.0.4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := netip.MustParseAddr(test.host)
			steps := tcp(deaf(t, host))
			var diff string
			for range 3 {
				w := newWire(t, test.host)
				accepted, err := senders[test.sender](t.Context(), host, steps, 1300*time.Millisecond)
				if err != nil || len(accepted) > 0 {
					t.Fatalf("accepted %v, error %v", accepted, err)
				}
				got, _ := w.heard()
				if diff = cmp.Diff(steps, got); diff == "" {
					return
				}
			}
			t.Errorf("arrived (-want +got)\n%s", diff)
		})
	}
}
