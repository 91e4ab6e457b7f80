package client

import (
	"net/netip"

	"golang.org/x/sys/windows"
)

// canBind tells whether n consecutive source ports can be had, the first of which is source. Some never can: Windows sets
// ranges of them apart for virtual machines (netsh interface ipv4 show excludedportrange tcp). Package net has started
// Winsock when it looked for the way to host.
func canBind(host netip.Addr, n int, source uint16) bool {
	for i := range n {
		fd, err := bound(host, source+uint16(i))
		if err != nil {
			return false
		}
		defer windows.Closesocket(fd) // once all are bound
	}
	return true
}

// bound makes a socket of TCP, to knock at host, bound to a source port.
func bound(host netip.Addr, source uint16) (windows.Handle, error) {
	family, local := windows.AF_INET, windows.Sockaddr(&windows.SockaddrInet4{Port: int(source)})
	if !host.Is4() {
		family, local = windows.AF_INET6, &windows.SockaddrInet6{Port: int(source)}
	}
	fd, err := windows.Socket(family, windows.SOCK_STREAM, 0)
	if err != nil {
		return windows.InvalidHandle, err
	}
	if err := windows.Bind(fd, local); err != nil {
		windows.Closesocket(fd)
		return windows.InvalidHandle, err
	}
	return fd, nil
}

// Errors of a connection that say that no SYN has left. WSAEACCES is a firewall of this machine.
var notSent = []error{windows.WSAEACCES, windows.WSAENETDOWN, windows.WSAEADDRNOTAVAIL, windows.WSAENOBUFS}
