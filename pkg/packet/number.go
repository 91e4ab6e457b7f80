package packet

import (
	"bytes"
	"net/netip"
	"time"
)

// parseAddr reads an IP address. IPv4, which a knock comes by, costs no allocation.
func parseAddr(b []byte) (netip.Addr, bool) {
	if addr, ok := parseIPv4(b); ok {
		return addr, true
	}
	if len(b) > len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255") || bytes.IndexByte(b, ':') < 0 {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(string(b))
	return addr.Unmap(), err == nil && addr.Zone() == ""
}

func parseIPv4(b []byte) (netip.Addr, bool) {
	var octets [4]byte
	field, value, start := 0, 0, 0
	for i, c := range b {
		if digit := int(c) - '0'; digit >= 0 && digit <= 9 {
			value = 10*value + digit
			continue
		}
		if c != '.' || field == 3 || !isOctet(b[start:i], value) {
			return netip.Addr{}, false
		}
		octets[field] = byte(value)
		field, value, start = field+1, 0, i+1
	}
	if field != 3 || !isOctet(b[start:], value) {
		return netip.Addr{}, false
	}
	octets[3] = byte(value)
	return netip.AddrFrom4(octets), true
}

// isOctet tells whether digits, of the given value, may stand in an IPv4 address. Some read a leading zero as octal.
func isOctet(digits []byte, value int) bool {
	return len(digits) >= 1 && len(digits) <= 3 && value <= 255 && (digits[0] != '0' || len(digits) == 1)
}

func parseAddrPort(b []byte) (netip.Addr, uint16, bool) {
	colon := bytes.LastIndexByte(b, ':')
	if colon < 0 {
		return netip.Addr{}, 0, false
	}
	addr, ok := parseIPv4(b[:colon])
	port, okPort := parsePort(b[colon+1:])
	return addr, port, ok && okPort
}

func parsePort(b []byte) (uint16, bool) {
	n, ok := parseDigits(b)
	return uint16(n), ok && n <= 65535
}

func parseProto(b []byte) (Proto, bool) {
	switch string(b) {
	case "TCP", "tcp":
		return TCP, true
	case "UDP", "udp":
		return UDP, true
	case "ICMP", "icmp":
		return ICMP, true
	case "ICMPv6", "icmpv6":
		return ICMPv6, true
	case "ESP":
		return ESP, true
	case "AH":
		return AH, true
	}
	n, ok := parseDigits(b)
	return Proto(n), ok && n <= 255
}

// parseDigits reads a decimal number of 1 to 10 digits.
func parseDigits(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 10 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + uint64(c-'0')
	}
	return n, true
}

// parseFraction reads the digits behind a decimal point, at most nine, as a fraction of a second.
func parseFraction(b []byte) (time.Duration, bool) {
	if len(b) > 9 {
		return 0, false
	}
	n, ok := parseDigits(b)
	for range 9 - len(b) {
		n *= 10
	}
	return time.Duration(n), ok
}
