package nflog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// copyRange is how many bytes of a packet are handed over: an IP head with all its options, or IPv6's with some
	// extensions, and a transport head.
	copyRange = 128
	// bufferSize is how many bytes may wait to be read, the kernel's own accounts included: some thousand packets.
	bufferSize = 4 << 20
	// answerAfter is how long the kernel may take to answer. It does so before it returns from the request.
	answerAfter = 5 * time.Second
)

// errTaken says that another socket has bound the group.
var errTaken = errors.New("another program listens to it")

// A conn is a socket to the kernel's firewall.
type conn struct {
	*netlink.Conn
	raw  syscall.RawConn
	read func(fd uintptr) bool // made once, or it would be made for each packet
	buf  []byte                // far longer than a packet's message
	n    int                   // bytes in buf
	err  error                 // of the last read
}

// dial opens a socket whose buffer has size bytes.
func dial(size int) (*conn, error) {
	nl, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nl, buf: make([]byte, 16<<10)}
	c.read = func(fd uintptr) bool {
		c.n, c.err = unix.Read(int(fd), c.buf)
		return c.err != unix.EAGAIN && c.err != unix.EINTR
	}
	c.raw, err = nl.SyscallConn()
	if err == nil {
		err = nl.SetReadBuffer(size)
	}
	if err != nil {
		_ = nl.Close()
		return nil, err
	}
	return c, nil
}

// receive gives what the kernel sent in one piece. It is valid until the next call.
func (c *conn) receive() ([]byte, error) {
	if err := c.raw.Read(c.read); err != nil {
		return nil, err
	}
	if c.err != nil {
		return nil, os.NewSyscallError("read", c.err)
	}
	return c.buf[:c.n], nil
}

// bind asks for the packets of group, each as soon as there is one. All is said in one message, so that there is no
// time in which packets come otherwise.
func (c *conn) bind(group uint16) error {
	number := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	var b []byte
	b = appendAttribute(b, cfgCommand, 1)                               // bind
	b = appendAttribute(b, cfgMode, append(number(copyRange), 2, 0)...) // 2: a copy of the packet; 0: padding
	b = appendAttribute(b, cfgBuffer, number(0)...)                     // as long as the packet needs
	b = appendAttribute(b, cfgTimeout, number(1)...)                    // hundredths of a second; nothing waits
	b = appendAttribute(b, cfgThreshold, number(1)...)                  // packets that make a batch
	b = appendAttribute(b, cfgFlags, 0, 1)                              // count the packets
	err := c.ask(typeConfig, group, b)
	// That a group is taken, and that it is not for us to ask, is the same answer. The kernel refuses the second
	// before it looks what was asked: a question that nobody answers tells the two apart.
	if errors.Is(err, unix.EBUSY) ||
		errors.Is(err, unix.EPERM) && !errors.Is(c.ask(typePacket, group, nil), unix.EPERM) {
		return errTaken
	}
	return err
}

// ask sends a request and waits for its answer. Packets that come before that are not counted.
func (c *conn) ask(kind, group uint16, attributes []byte) error {
	head := binary.BigEndian.AppendUint16([]byte{unix.AF_UNSPEC, 0}, group)
	sent, err := c.Send(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(kind), Flags: netlink.Request | netlink.Acknowledge},
		Data:   append(head, attributes...),
	})
	if err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(answerAfter)); err != nil {
		return err
	}
	for {
		b, err := c.receive()
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return fmt.Errorf("failed to read the kernel's answer: %w", err)
		}
		for m, rest, ok := cutMessage(b); ok; m, rest, ok = cutMessage(rest) {
			if errno, ok := m.code(); ok && m.seq == sent.Header.Sequence {
				if errno == 0 {
					return nil
				}
				return syscall.Errno(errno)
			}
		}
	}
}
