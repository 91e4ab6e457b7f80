package knock

import (
	"fmt"
	"net/netip"
)

// Values of [Payload.Time] that are not a number of minutes.
const (
	// Forever opens the port without a time limit.
	Forever = 0
	// Close closes the port.
	Close = 255
)

// payloadLength is how many bytes a payload has, its checksum among them.
const payloadLength = 7

// Payload is what a knock asks for: to let one address reach one port.
type Payload struct {
	// IP is the IPv4 address to open the port to. It need not be the address
	// that the knock comes from. No other kind of address fits into a knock, nor
	// does an IPv4 address mapped into IPv6: see [netip.Addr.Unmap].
	IP netip.Addr
	// Port is the TCP port to open, 0 to 255. Larger ones do not fit.
	Port uint8
	// Time is for how many minutes, 1 to 254, or [Forever], or [Close].
	Time uint8
}

// Checksum returns the sum of the six bytes of p modulo 255, so 0 to 254. The
// bytes of an IP that is not IPv4 count as 0; [Codec.Seal] refuses such a payload.
func (p Payload) Checksum() uint8 {
	sum := int(p.Port) + int(p.Time)
	if p.IP.Is4() {
		for _, b := range p.IP.As4() {
			sum += int(b)
		}
	}
	return uint8(sum % 255)
}

// String returns p in words: "open 192.0.2.1 port 22 for 15 min", "open 192.0.2.1
// port 22 without time limit" or "close 192.0.2.1 port 22".
func (p Payload) String() string {
	switch p.Time {
	case Forever:
		return fmt.Sprintf("open %s port %d without time limit", p.IP, p.Port)
	case Close:
		return fmt.Sprintf("close %s port %d", p.IP, p.Port)
	default:
		return fmt.Sprintf("open %s port %d for %d min", p.IP, p.Port, p.Time)
	}
}

// Bytes returns the 7 bytes of p, its checksum the last. An IP that is not IPv4 is
// [ErrPayload].
func (p Payload) Bytes() ([7]byte, error) {
	if !p.IP.Is4() {
		return [payloadLength]byte{}, ErrPayload
	}
	ip := p.IP.As4()
	return [payloadLength]byte{ip[0], ip[1], ip[2], ip[3], p.Port, p.Time, p.Checksum()}, nil
}

// ParsePayload returns the Payload that b, the outcome of [Payload.Bytes], stands
// for. It is [ErrPayload] if b is not 7 bytes long and [ErrChecksum] if the last of
// them is wrong, bare, and allocates nothing.
func ParsePayload(b []byte) (Payload, error) {
	if len(b) != payloadLength {
		return Payload{}, ErrPayload
	}
	p := Payload{IP: netip.AddrFrom4([4]byte(b[:4])), Port: b[4], Time: b[5]}
	if p.Checksum() != b[6] {
		return Payload{}, ErrChecksum
	}
	return p, nil
}
