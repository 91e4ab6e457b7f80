package nflog

import "encoding/binary"

// What the kernel writes is of its own byte order in the heads of messages and attributes (netlink), and big-endian in
// the attributes' values (nfnetlink). Each message and each attribute begins at a multiple of align bytes.
const (
	headMessage   = 16 // struct nlmsghdr
	headNetfilter = 4  // struct nfgenmsg
	headAttribute = 4  // struct nlattr
	align         = 4
)

// Types of messages. The high byte names a subsystem of netfilter; that of NFLOG is 4.
const (
	typeError  = 0x0002 // NLMSG_ERROR, which an acknowledgement is too
	typePacket = 0x0400 // NFULNL_MSG_PACKET
	typeConfig = 0x0401 // NFULNL_MSG_CONFIG
)

// The attributes of a packet that matter here.
const (
	attrIn      = 4  // NFULA_IFINDEX_INDEV
	attrOut     = 5  // NFULA_IFINDEX_OUTDEV
	attrPayload = 9  // NFULA_PAYLOAD
	attrSeq     = 12 // NFULA_SEQ
)

// The attributes of a request.
const (
	cfgCommand   = 1 // NFULA_CFG_CMD
	cfgMode      = 2 // NFULA_CFG_MODE
	cfgBuffer    = 3 // NFULA_CFG_NLBUFSIZ
	cfgTimeout   = 4 // NFULA_CFG_TIMEOUT
	cfgThreshold = 5 // NFULA_CFG_QTHRESH
	cfgFlags     = 6 // NFULA_CFG_FLAGS
)

// Families of packets: NFPROTO_IPV4 and NFPROTO_IPV6.
const (
	familyIPv4 = 2
	familyIPv6 = 10
)

// A message is one netlink message.
type message struct {
	kind uint16
	seq  uint32 // of the request that it answers
	body []byte
}

// cutMessage cuts the message that b begins with.
func cutMessage(b []byte) (m message, rest []byte, ok bool) {
	if len(b) < headMessage {
		return message{}, nil, false
	}
	size := binary.NativeEndian.Uint32(b)
	if size < headMessage || uint64(size) > uint64(len(b)) {
		return message{}, nil, false
	}
	m.kind = binary.NativeEndian.Uint16(b[4:])
	m.seq = binary.NativeEndian.Uint32(b[8:])
	m.body = b[headMessage:size]
	return m, b[min(aligned(int(size)), len(b)):], true
}

// code is the error number, 0 for none, of a message of typeError.
func (m message) code() (errno uint32, ok bool) {
	if m.kind != typeError || len(m.body) < 4 {
		return 0, false
	}
	return -binary.NativeEndian.Uint32(m.body), true
}

// An entry is what the firewall tells of one packet.
type entry struct {
	family  byte
	group   uint16
	in, out uint32 // the indexes of the interfaces it came in and goes out by, 0 if there is none
	seq     uint32 // counts the entries of the group, if there is hasSeq
	hasSeq  bool
	payload []byte // from the IP head on
}

// parseEntry reads the body of a message of typePacket.
func parseEntry(b []byte) (e entry, ok bool) {
	if len(b) < headNetfilter {
		return entry{}, false
	}
	e.family, e.group = b[0], binary.BigEndian.Uint16(b[2:])
	for b = b[headNetfilter:]; len(b) > 0; {
		if len(b) < headAttribute {
			return entry{}, false
		}
		size := int(binary.NativeEndian.Uint16(b))
		if size < headAttribute || size > len(b) {
			return entry{}, false
		}
		if !e.set(binary.NativeEndian.Uint16(b[2:]), b[headAttribute:size]) {
			return entry{}, false
		}
		b = b[min(aligned(size), len(b)):]
	}
	return e, true
}

// set takes an attribute. Those that are not known here are passed over.
func (e *entry) set(kind uint16, value []byte) bool {
	number := func(to *uint32) bool {
		if len(value) != 4 {
			return false
		}
		*to = binary.BigEndian.Uint32(value)
		return true
	}
	switch kind {
	case attrIn:
		return number(&e.in)
	case attrOut:
		return number(&e.out)
	case attrSeq:
		e.hasSeq = true
		return number(&e.seq)
	case attrPayload:
		e.payload = value
	}
	return true
}

// appendAttribute appends an attribute to b, which is aligned.
func appendAttribute(b []byte, kind uint16, value ...byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(headAttribute+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, aligned(len(value))-len(value))...)
}

func aligned(n int) int { return (n + align - 1) &^ (align - 1) }
