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
	field, value, digits := 0, 0, 0
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			if digits > 0 && value == 0 {
				return netip.Addr{}, false // a leading zero: some read that as octal
			}
			value = 10*value + int(c-'0')
			digits++
			if value > 255 {
				return netip.Addr{}, false
			}
		case c == '.' && digits > 0 && field < 3:
			octets[field] = byte(value)
			field, value, digits = field+1, 0, 0
		default:
			return netip.Addr{}, false
		}
	}
	if field != 3 || digits == 0 {
		return netip.Addr{}, false
	}
	octets[3] = byte(value)
	return netip.AddrFrom4(octets), true
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
