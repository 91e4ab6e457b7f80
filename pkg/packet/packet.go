// Package packet turns a line of a firewall's log into the packet that the line is about, and the bytes of an IP
// packet into what of it may be a knock.
//
// It is pure: no file, no clock, no goroutine. Following the log is left to package source, and what a packet
// means to package tracker. A Decoder trusts a line only if the kernel's logger wrote it (see Options), because
// the same file holds text that strangers choose.
package packet

import (
	"net/netip"
	"time"
)

// A Packet is one packet that a firewall saw and wrote down.
type Packet struct {
	At      time.Time // the line's own stamp; zero if it carries none, and for a packet that comes live
	Src     netip.Addr
	Dst     netip.Addr // the zero Addr if the line does not tell
	SrcPort uint16     // 0 if the line does not tell
	DstPort uint16
	Proto   Proto
	Flags   Flags // TCP only
}

// IsSYN tells whether p asks for a new TCP connection: SYN alone, or with the CWR and ECE of a client that offers
// explicit congestion notification (RFC 3168, section 6.1.1).
func (p Packet) IsSYN() bool {
	return p.Proto == TCP && p.Flags&^(ECE|CWR) == SYN
}

// A Proto is an IP protocol number as assigned by IANA, 0..255.
type Proto uint8

// The protocols that a firewall's log calls by name.
const (
	ICMP   Proto = 1
	TCP    Proto = 6
	UDP    Proto = 17
	ESP    Proto = 50
	AH     Proto = 51
	ICMPv6 Proto = 58
)

// Flags are the flags of a TCP header, bit for bit as in its 14th byte.
type Flags uint8

// The flags, named as the kernel's LOG target names them.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)
