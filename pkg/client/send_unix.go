//go:build unix

package client

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/sequence"
)

// sendPackets asks host for a connection to each port of TCP and sends a datagram to each of UDP, pausing for delay after
// each, and gives the ports on which host accepted a connection meanwhile. The sockets are made here and not by package
// net because the order in which its dialers reach the kernel is not ours to say.
func sendPackets(ctx context.Context, host netip.Addr, steps []sequence.Step, delay time.Duration) (accepted []uint16, err error) {
	fds, err := newSockets(host, countTCP(steps), chooseSource)
	if err != nil {
		return nil, err
	}
	var open sockets
	defer func() { open.closeAll() }()
	defer func() { closeFiles(fds) }()
	next := time.Now()
	for _, step := range steps {
		if step.Proto == packet.UDP {
			err = sendDatagram(host, step.Port)
		} else {
			err = open.connect(fds[0], host, step.Port)
			fds = fds[1:]
		}
		if err != nil {
			return nil, fmt.Errorf("port %s: %w", step, err)
		}
		next = next.Add(delay)
		got, err := open.wait(ctx, next)
		if err != nil {
			return nil, err
		}
		accepted = append(accepted, got...)
	}
	return sorted(accepted), nil
}

// sendDatagram sends one byte, a NUL as Debian's knock does. The socket is not connected, so that the kernel does not
// tell it that nobody listens, which is what is expected.
func sendDatagram(host netip.Addr, port uint16) error {
	fd, err := newSocket(host, unix.SOCK_DGRAM)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Sendto(fd, []byte{0}, 0, sockaddr(host, port))
}

// lifetime is how long a socket waits for its answer: for a port that drops, the kernel sends a second SYN after
// one second (tcp(7), tcp_syn_retries), and a knock is one SYN.
const lifetime = 900 * time.Millisecond

func sleepUntil(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// wait sleeps until a time, and gives the ports accepted meanwhile.
func (s *sockets) wait(ctx context.Context, until time.Time) (accepted []uint16, err error) {
	for {
		wake := until
		if len(*s) > 0 && (*s)[0].end().Before(wake) {
			wake = (*s)[0].end()
		}
		if err := sleepUntil(ctx, wake); err != nil {
			return nil, err
		}
		accepted = append(accepted, s.reap(time.Now())...)
		if !time.Now().Before(until) {
			return accepted, nil
		}
	}
}

// sockets are those that wait for an answer, the oldest first.
type sockets []socket

type socket struct {
	fd   int
	port uint16
	made time.Time
}

func (s socket) end() time.Time { return s.made.Add(lifetime) }

// connect sends one SYN from the socket fd, and has it closed in time. That the host refuses is an answer like any other.
func (s *sockets) connect(fd int, host netip.Addr, port uint16) error {
	err := unix.Connect(fd, sockaddr(host, port))
	if err != nil && !errors.Is(err, unix.EINPROGRESS) && !errors.Is(err, unix.ECONNREFUSED) {
		unix.Close(fd)
		return err
	}
	*s = append(*s, socket{fd, port, time.Now()})
	return nil
}

// reap closes the sockets that were answered or have come to their end, and gives the ports that were accepted.
func (s *sockets) reap(now time.Time) (accepted []uint16) {
	if len(*s) == 0 {
		return nil
	}
	polled := make([]unix.PollFd, len(*s))
	for i, sock := range *s {
		polled[i] = unix.PollFd{Fd: int32(sock.fd), Events: unix.POLLOUT}
	}
	if _, err := unix.Poll(polled, 0); err != nil {
		clear(polled) // interrupted: they are looked at again after the next knock
	}
	waiting := (*s)[:0]
	for i, sock := range *s {
		answered := polled[i].Revents != 0
		if !answered && now.Before(sock.end()) {
			waiting = append(waiting, sock)
			continue
		}
		if answered && sock.accepted() {
			accepted = append(accepted, sock.port)
		}
		unix.Close(sock.fd)
	}
	*s = waiting
	return accepted
}

func (s socket) accepted() bool {
	_, err := unix.Getpeername(s.fd)
	return err == nil
}

func (s *sockets) closeAll() {
	for _, sock := range *s {
		unix.Close(sock.fd)
	}
}
