package client

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// The SYNs of a knock leave from consecutive source ports, ascending, so that a daemon can tell in what order they left
// when a network has swapped some (see package tracker). The numbers are of the range that is nobody's (RFC 6335:
// 49152 to 65535).
const firstDynamic = 49152

// chooseSource gives the first of n consecutive source ports. It is chosen at random: two knocks must differ there, or
// the second would be taken for SYNs of the first that were sent again.
func chooseSource(n int) uint16 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return firstDynamic + uint16(binary.NativeEndian.Uint64(b[:])%uint64(1<<16-firstDynamic-n+1))
}

// sourceTries is how often other source ports are looked for when some are in use.
const sourceTries = 8

// newSockets makes n sockets of TCP, to knock at host, that are bound to consecutive source ports, the first of which choose gives. If some are
// in use each time, the sockets are not bound: the kernel will choose, and the daemon see the order of arrival alone.
func newSockets(host netip.Addr, n int, choose func(n int) uint16) ([]int, error) {
	for range sourceTries {
		if fds, err := bindSockets(host, n, choose(n)); err == nil {
			return fds, nil
		}
	}
	return bindSockets(host, n, 0)
}

// bindSockets makes n sockets of TCP, to knock at host. The first is bound to the port source, the next to the one after it; if it is 0, none is.
func bindSockets(host netip.Addr, n int, source uint16) (fds []int, err error) {
	defer func() {
		if err != nil {
			closeFiles(fds)
			fds = nil
		}
	}()
	for i := range n {
		fd, err := unix.Socket(family(host), unix.SOCK_STREAM, 0)
		if err != nil {
			return fds, fmt.Errorf("failed to make a socket: %w", err)
		}
		fds = append(fds, fd)
		unix.CloseOnExec(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			return fds, err
		}
		if source == 0 {
			continue
		}
		if err := unix.Bind(fd, sockaddr(anyOf(host), source+uint16(i))); err != nil {
			return fds, err
		}
	}
	return fds, nil
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
	}
	return to
}
