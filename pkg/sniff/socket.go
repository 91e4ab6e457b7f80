package sniff

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	afpacket "github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Allowed gives nil if this process may open packet sockets, and else why it may not: the interface need not be there to
// try with. The error wraps fs.ErrPermission without CAP_NET_RAW.
func Allowed() error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("failed to open a packet socket (it takes CAP_NET_RAW): %w", err)
	}
	return unix.Close(fd)
}

// A socket gives the packets of one family that an interface receives, from their IP head on.
type socket struct {
	conn   *afpacket.Conn
	fd     int // of conn, which is not waited for by the runtime: one goroutine reads both families
	family family
}

// newSocket listens. The filter is there before the first packet.
func newSocket(link *net.Interface, f family, classes []class, buffer int) (*socket, error) {
	filter, err := bpf.Assemble(f.program(classes, link.Index))
	if err != nil {
		return nil, fmt.Errorf("failed to assemble the filter: %w", err)
	}
	conn, err := afpacket.Listen(link, afpacket.Datagram, f.ethernet, &afpacket.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("failed to listen on %q: %w", link.Name, err)
	}
	s := &socket{conn: conn, family: f}
	raw, err := conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { s.fd = int(fd) })
	}
	if err == nil {
		if err = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer); err != nil {
			err = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
		}
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("failed to set up the socket on %q: %w", link.Name, err)
	}
	return s, nil
}

// filter puts another filter in the place of the one that is there, at one stroke.
func (s *socket) filter(classes []class, index int) error {
	filter, err := bpf.Assemble(s.family.program(classes, index))
	if err == nil {
		err = s.conn.SetBPF(filter)
	}
	if err != nil {
		return fmt.Errorf("failed to change the filter: %w", err)
	}
	return nil
}

func (s *socket) close() { s.conn.Close() }

// index is the number of the interface that s listens to. It is no interface's once that has gone.
func (s *socket) index() int {
	addr, err := unix.Getsockname(s.fd)
	if link, ok := addr.(*unix.SockaddrLinklayer); ok && err == nil {
		return link.Ifindex
	}
	return -1
}

// drops is how many packets the kernel has dropped, for lack of room, since it was last asked.
func (s *socket) drops() uint64 {
	stats, err := s.conn.Stats()
	if err != nil {
		return 0
	}
	return uint64(stats.Drops)
}

// losses are packets that were dropped and not yet reported.
type losses struct {
	count uint64
	told  time.Time
}

func (l *losses) add(n uint64) { l.count += n }

// tell reports losses, at most once a minute.
func (l *losses) tell(now time.Time, report func(string, error)) {
	if l.count == 0 || !l.told.IsZero() && now.Sub(l.told) < time.Minute {
		return
	}
	report("packets were lost", fmt.Errorf("%d came faster than they were read", l.count))
	l.count, l.told = 0, now
}

// A waker ends a poll when a context ends.
type waker struct {
	r, w *os.File
	stop func() bool
}

func newWaker(ctx context.Context) (*waker, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("failed to make a pipe: %w", err)
	}
	return &waker{r: r, w: w, stop: context.AfterFunc(ctx, func() { w.Close() })}, nil
}

func (w *waker) poll() unix.PollFd { return unix.PollFd{Fd: int32(w.r.Fd()), Events: unix.POLLIN} }

func (w *waker) close() {
	w.stop()
	w.w.Close()
	w.r.Close()
}
