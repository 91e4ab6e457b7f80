package packet

import (
	"encoding/binary"
	"net/netip"
)

const (
	headIPv4 = 20 // bytes, without options
	headIPv6 = 40
	headTCP  = 20
	headUDP  = 8
	// maxExtensions is how many extension headers an IPv6 packet may have. RFC 8200 gives each kind one place, and
	// destination options two.
	maxExtensions = 8
)

// Extension headers of IPv6, and the lack of any header.
const (
	hopByHop    = 0
	routing     = 43
	fragment    = 44
	destination = 60
)

// DecodeIP gives the packet that b begins with: IPv4 (RFC 791) or IPv6 (RFC 8200), from the IP head on. What stands
// behind its end is passed over, and b may be cut anywhere behind the ports (and for TCP the flags). At is left zero;
// the ports are 0 unless the packet is TCP or UDP.
//
// What no host would take as it stands is ErrMalformed: a wrong checksum of the IPv4 head, lengths that do not fit
// each other, a source route that has not ended, addresses of IPv4 inside IPv6. So is a later fragment, which has no
// ports, and a first one without a whole transport head. The checksums of TCP and UDP are not looked at: where a
// network card reckons them, a packet of the machine's own has none yet.
func DecodeIP(b []byte) (p Packet, err error) {
	s := segment{b: b}
	ok := false
	if len(b) > 0 {
		switch b[0] >> 4 {
		case 4:
			ok = s.cutIPv4(&p)
		case 6:
			ok = s.cutIPv6(&p)
		}
	}
	if !ok || !s.ends(&p) {
		return Packet{}, ErrMalformed
	}
	return p, nil
}

// A segment is what an IP packet carries.
type segment struct {
	b    []byte // as much of it as was captured, or more
	size int    // its length as the heads in front of it have it
	part bool   // it is the first fragment of a longer one
}

// skip cuts n bytes.
func (s *segment) skip(n int) bool {
	if n > len(s.b) || n > s.size {
		return false
	}
	s.b, s.size = s.b[n:], s.size-n
	return true
}

func (s *segment) cutIPv4(p *Packet) bool {
	b := s.b
	if len(b) < headIPv4 {
		return false
	}
	head := 4 * int(b[0]&0xf)
	s.size = int(binary.BigEndian.Uint16(b[2:]))
	if head < headIPv4 || !s.skip(head) || !validSum(b[:head]) {
		return false
	}
	place := binary.BigEndian.Uint16(b[6:])
	s.part = place&0x2000 != 0
	p.Proto = Proto(b[9])
	p.Src, p.Dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	return place&0x1fff == 0
}

// validSum tells whether an IPv4 head's checksum is right (RFC 1071). The head is a multiple of 4 bytes.
func validSum(head []byte) bool {
	sum := uint32(0)
	for ; len(head) >= 4; head = head[4:] {
		sum += uint32(binary.BigEndian.Uint16(head)) + uint32(binary.BigEndian.Uint16(head[2:]))
	}
	sum = sum&0xffff + sum>>16
	return sum&0xffff+sum>>16 == 0xffff
}

func (s *segment) cutIPv6(p *Packet) bool {
	b := s.b
	if len(b) < headIPv6 {
		return false
	}
	s.size = headIPv6 + int(binary.BigEndian.Uint16(b[4:]))
	p.Src, p.Dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	if p.Src.Is4In6() || p.Dst.Is4In6() || !s.skip(headIPv6) {
		return false // as IPv4 nobody could have sent it
	}
	next := b[6]
	for n := 0; next == hopByHop || next == routing || next == fragment || next == destination; n++ {
		if n == maxExtensions || next == hopByHop && n > 0 || !s.cutExtension(&next) {
			return false
		}
	}
	p.Proto = Proto(next)
	return true
}

// cutExtension cuts an extension header, and turns next from its kind into what follows it.
func (s *segment) cutExtension(next *byte) bool {
	b := s.b
	if len(b) < 8 || s.size < 8 {
		return false
	}
	length := 8 * (int(b[1]) + 1)
	switch *next {
	case fragment:
		place := binary.BigEndian.Uint16(b[2:])
		if place>>3 != 0 {
			return false
		}
		length, s.part = 8, s.part || place&1 != 0
	case routing:
		if b[3] != 0 {
			return false // its way does not end here
		}
	}
	*next = b[0]
	return s.skip(length)
}

// ends reads the ports, and what else there is to know, of the transport's head.
func (s *segment) ends(p *Packet) bool {
	b := s.b
	switch p.Proto {
	case TCP:
		if len(b) < headTCP || s.size < headTCP {
			return false
		}
		if head := 4 * int(b[12]>>4); head < headTCP || head > s.size {
			return false
		}
		p.Flags = Flags(b[13])
	case UDP:
		if len(b) < headUDP || s.size < headUDP {
			return false
		}
		if length := int(binary.BigEndian.Uint16(b[4:])); length < headUDP || length > s.size && !s.part {
			return false
		}
	default:
		return true
	}
	p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	return true
}
