package client

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
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

// freeSource gives the first of n consecutive source ports towards host that are not in use, as choose gives them. If
// some are in use each time, it is 0: the kernel will choose, and the daemon see the order of arrival alone.
func freeSource(host netip.Addr, n int, choose func(n int) uint16) uint16 {
	for range sourceTries {
		if source := choose(n); canBind(host, n, source) {
			return source
		}
	}
	return 0
}
