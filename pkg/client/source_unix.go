//go:build unix

package client

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// newSockets makes n sockets of TCP, to knock at host, that are bound to consecutive source ports, the first of which
// choose gives. If some are in use each time, the sockets are not bound: the kernel will choose, and the daemon see the
// order of arrival alone.
func newSockets(host netip.Addr, n int, choose func(n int) uint16) ([]int, error) {
	for range sourceTries {
		if fds, err := bindSockets(host, n, choose(n)); err == nil {
			return fds, nil
		}
	}
	return bindSockets(host, n, 0)
}

// bindSockets makes n sockets of TCP, to knock at host. The first is bound to the port source, the next to the one after
// it; if it is 0, none is.
func bindSockets(host netip.Addr, n int, source uint16) (fds []int, err error) {
	defer func() {
		if err != nil {
			closeFiles(fds)
			fds = nil
		}
	}()
	for i := range n {
		fd, err := newSocket(host, unix.SOCK_STREAM)
		if err != nil {
			return fds, err
		}
		fds = append(fds, fd)
		if source == 0 {
			continue
		}
		if err := unix.Bind(fd, sockaddr(anyOf(host), source+uint16(i))); err != nil {
			return fds, err
		}
	}
	return fds, nil
}

// newSocket makes a socket of a kind, SOCK_STREAM or SOCK_DGRAM, which no call on it waits for. That is set after it is
// made because macOS cannot do both at once.
func newSocket(host netip.Addr, kind int) (int, error) {
	fd, err := unix.Socket(family(host), kind, 0)
	if err != nil {
		return -1, fmt.Errorf("failed to make a socket: %w", err)
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("failed to make a socket: %w", err)
	}
	return fd, nil
}

func closeFiles(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

func family(host netip.Addr) int {
	if host.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// anyOf gives the address that stands for all of ours by which host can be reached.
func anyOf(host netip.Addr) netip.Addr {
	if host.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func sockaddr(addr netip.Addr, port uint16) unix.Sockaddr {
	if addr.Is4() {
		return &unix.SockaddrInet4{Port: int(port), Addr: addr.As4()}
	}
	to := &unix.SockaddrInet6{Port: int(port), Addr: addr.As16()}
	if link, err := net.InterfaceByName(addr.Zone()); err == nil {
		to.ZoneId = uint32(link.Index)
	} else if index, err := strconv.ParseUint(addr.Zone(), 10, 32); err == nil {
		to.ZoneId = uint32(index)
	}
	return to
}

// canBind tells whether n consecutive source ports can be had, the first of which is source. Only the tests of
// dialPackets need it here.
func canBind(host netip.Addr, n int, source uint16) bool {
	fds, err := bindSockets(host, n, source)
	closeFiles(fds)
	return err == nil
}

// Errors of a connection that say that no SYN has left.
var notSent = []error{unix.EPERM, unix.ENETDOWN, unix.EADDRNOTAVAIL, unix.ENOBUFS}
