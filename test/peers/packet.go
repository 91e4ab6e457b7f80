package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A packet is what a knock is made of: a TCP SYN, or a UDP datagram if it has a payload.
type packet struct {
	from        netip.Addr // the zero Addr: the laptop
	source, dst uint16     // ports
	payload     string
}

// bytes gives the packet as it is on the wire, to the gate. The kernel fills in the IP header's checksum.
func (p packet) bytes() []byte {
	from := p.from
	if !from.IsValid() {
		from = netip.MustParseAddr(laptopIP)
	}
	src, dst := from.As4(), netip.MustParseAddr(gateIP).As4()
	ends := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, p.source), p.dst)
	protocol, body, at := byte(unix.IPPROTO_TCP), append(ends,
		0, 0, byte(p.source>>8), byte(p.source), 0, 0, 0, 0, // sequence number, acknowledgement
		5<<4, 0x02, 0xfa, 0xf0, 0, 0, 0, 0), 16 // header of 5 words, SYN, window, checksum, urgent
	if p.payload != "" {
		protocol, body, at = unix.IPPROTO_UDP, binary.BigEndian.AppendUint16(ends, uint16(8+len(p.payload))), 6
		body = append(append(body, 0, 0), p.payload...)
	}
	pseudo := append(append(append([]byte{}, src[:]...), dst[:]...), 0, protocol)
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(body)))
	binary.BigEndian.PutUint16(body[at:], checksum(append(pseudo, body...)))
	head := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0}
	binary.BigEndian.PutUint16(head[2:], uint16(20+len(body)))
	return append(append(append(head, src[:]...), dst[:]...), body...)
}

// checksum is the Internet's, of RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i]) << 8
		if i+1 < len(b) {
			sum += uint32(b[i+1])
		}
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// openRaw makes the socket that packets are sent with. It stays the laptop's, whoever uses it.
func (l *lab) openRaw() error {
	err := l.laptop.enter(func() (err error) {
		l.raw, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	})
	if err != nil {
		return fmt.Errorf("failed to make a raw socket: %w", err)
	}
	l.later(func() error { return unix.Close(l.raw) })
	return l.gate.enter(l.believe)
}

// believe has the host that the thread is in not drop invented addresses before its firewall sees them.
func (l *lab) believe() (err error) {
	for _, which := range []string{"all", "default", "eth0"} {
		err = errors.Join(err, os.WriteFile("/proc/sys/net/ipv4/conf/"+which+"/rp_filter", []byte("0\n"), 0o644))
	}
	return err
}

func (l *lab) sendOne(p packet) error {
	to := &unix.SockaddrInet4{Addr: netip.MustParseAddr(gateIP).As4()}
	for {
		err := unix.Sendto(l.raw, p.bytes(), 0, to)
		if err == unix.EINTR || err == unix.ENOBUFS {
			continue
		}
		if err != nil {
			return fmt.Errorf("failed to send a packet: %w", err)
		}
		return nil
	}
}

// send sends packets in order, as far apart as knockclient's.
func (l *lab) send(packets ...packet) error {
	for i, p := range packets {
		if i > 0 {
			time.Sleep(20 * time.Millisecond)
		}
		if err := l.sendOne(p); err != nil {
			return err
		}
	}
	return nil
}

// flood sends packets number 0 to n-1, so many a second or as many as the machine can.
func (l *lab) flood(n, rate int, number func(int) packet) error {
	begin := time.Now()
	for i := range n {
		if i%64 == 0 {
			if l.ctx.Err() != nil {
				return l.ctx.Err()
			}
			time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		}
		if err := l.sendOne(number(i)); err != nil {
			return err
		}
	}
	return nil
}

// fresh gives a knock's packets consecutive source ports that none was sent from before.
func (l *lab) fresh(packets []packet) (again []packet) {
	for _, p := range packets {
		l.source++
		p.source = l.source
		again = append(again, p)
	}
	return again
}

// invented gives address number n, none of which is a host's here.
func invented(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}
