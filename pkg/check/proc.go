package check

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The functions here read files of /proc. A line that is not as the kernel writes it is left out.

// listeners gives the ports in /proc/net/tcp or tcp6 that somebody outside could connect to, in their order.
func listeners(file string) (ports []int) {
	const listening = "0A"
	for line := range strings.Lines(file) {
		f := strings.Fields(line)
		if len(f) < 4 || f[3] != listening {
			continue
		}
		addrText, portText, _ := strings.Cut(f[1], ":")
		port, err := strconv.ParseUint(portText, 16, 16)
		addr, ok := hexAddr(addrText)
		if err == nil && ok && !addr.IsLoopback() && !slices.Contains(ports, int(port)) {
			ports = append(ports, int(port))
		}
	}
	slices.Sort(ports)
	return ports
}

// hexAddr reads an address that is printed as words in the machine's order.
func hexAddr(s string) (netip.Addr, bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b)%4 != 0 {
		return netip.Addr{}, false
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	addr, ok := netip.AddrFromSlice(b)
	return addr.Unmap(), ok
}

// defaultInterfaces gives the interfaces of the default routes in /proc/net/route.
func defaultInterfaces(file string) (names []string) {
	for line := range strings.Lines(file) {
		f := strings.Fields(line)
		if len(f) >= 8 && f[1] == "00000000" && f[7] == "00000000" && !slices.Contains(names, f[0]) {
			names = append(names, f[0])
		}
	}
	return names
}

// defaultInterfaces6 gives those in /proc/net/ipv6_route. The kernel's own reject routes are on lo.
func defaultInterfaces6(file string) (names []string) {
	for line := range strings.Lines(file) {
		f := strings.Fields(line)
		if len(f) == 10 && strings.Trim(f[0]+f[1], "0") == "" && f[9] != "lo" && !slices.Contains(names, f[9]) {
			names = append(names, f[9])
		}
	}
	return names
}

// hasGlobal6 tells whether /proc/net/if_inet6 has an address that others can reach from beyond the next router.
func hasGlobal6(file string) bool {
	const global = "00"
	for line := range strings.Lines(file) {
		f := strings.Fields(line)
		if len(f) == 6 && f[3] == global {
			return true
		}
	}
	return false
}

// holdsLock tells whether a process holds a lock by flock(2) on the file with an inode number, after /proc/locks.
func holdsLock(file string, pid int, inode uint64) bool {
	for line := range strings.Lines(file) {
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "FLOCK" || f[4] != strconv.Itoa(pid) {
			continue
		}
		if last := strings.LastIndexByte(f[5], ':'); f[5][last+1:] == strconv.FormatUint(inode, 10) {
			return true
		}
	}
	return false
}
