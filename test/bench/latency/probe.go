package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pause is between the SYNs of a knock, as knockclient's is.
	pause = 20 * time.Millisecond
	// tryFor is how long a connection try waits for its answer, and so how often there is one. On a cable between two
	// namespaces an answer comes within microseconds or never.
	tryFor = time.Millisecond
	// patience is how long whatever should happen soon may take.
	patience = 5 * time.Second
)

var errClosed = errors.New("the port stays closed")

// A probe knocks and tries to connect from the namespace that its thread is in.
type probe struct {
	from, to [4]byte
	port     int // that a knock opens
	source   int // the source port of the last SYN of a knock
}

// knock sends a knock and gives the time from its last SYN until the port is open.
func (p *probe) knock(ports []int) (time.Duration, error) {
	last, err := p.send(ports)
	if err != nil {
		return 0, err
	}
	for time.Since(last) < patience {
		open, err := p.try()
		if err != nil {
			return 0, err
		}
		if open {
			return time.Since(last), nil
		}
	}
	return 0, fmt.Errorf("after %v %w", patience, errClosed)
}

// send sends one SYN to each port in turn, and says when it sent the last one.
func (p *probe) send(ports []int) (last time.Time, err error) {
	for i, port := range ports {
		if i > 0 {
			time.Sleep(pause)
		}
		if last, err = p.syn(port); err != nil {
			return last, fmt.Errorf("failed to knock at port %d: %w", port, err)
		}
	}
	return last, nil
}

// syn sends one SYN from a port that none was sent from before: a knock's SYN from the same port would count as a copy.
// The socket is closed before the kernel can send a second one; to close it sends nothing.
func (p *probe) syn(port int) (at time.Time, err error) {
	fd, err := newSocket()
	if err != nil {
		return at, err
	}
	defer unix.Close(fd)
	p.source++
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: p.from, Port: p.source}); err != nil {
		return at, fmt.Errorf("failed to bind to port %d: %w", p.source, err)
	}
	at = time.Now()
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: p.to, Port: port}); err != unix.EINPROGRESS {
		return at, fmt.Errorf("failed to begin a connection that is not answered: got %v", err)
	}
	return at, nil
}

// try makes one new connection, and reports whether it was accepted at once. If not, that takes all of tryFor.
func (p *probe) try() (open bool, err error) {
	fd, err := newSocket()
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	end := time.Now().Add(tryFor)
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: p.to, Port: p.port})
	if err != nil && err != unix.EINPROGRESS {
		return false, fmt.Errorf("failed to connect: %w", err)
	}
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for {
		left := unix.NsecToTimespec(max(0, time.Until(end).Nanoseconds()))
		n, err := unix.Ppoll(fds, &left, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return false, err
		}
		break
	}
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	if err != nil {
		return false, fmt.Errorf("failed to connect: %w", err)
	}
	return true, nil
}

func newSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("failed to make a socket: %w", err)
	}
	return fd, nil
}
