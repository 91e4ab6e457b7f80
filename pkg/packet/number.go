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
	addr, n, ok := leadingIPv4(b)
	return addr, ok && n == len(b)
}

// leadingIPv4 reads the address that b begins with, n bytes of it.
func leadingIPv4(b []byte) (addr netip.Addr, n int, ok bool) {
	var octets [4]byte
	start := 0
	for field := range octets {
		value, end := 0, start
		for end < len(b) && end < start+4 {
			digit := int(b[end]) - '0'
			if digit < 0 || digit > 9 {
				break
			}
			value = 10*value + digit
			end++
		}
		if !isOctet(b[start:end], value) {
			return netip.Addr{}, 0, false
		}
		octets[field] = byte(value)
		if field == 3 {
			return netip.AddrFrom4(octets), end, true
		}
		if end == len(b) || b[end] != '.' {
			return netip.Addr{}, 0, false
		}
		start = end + 1
	}
	return netip.Addr{}, 0, false
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
