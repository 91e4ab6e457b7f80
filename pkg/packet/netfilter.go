package packet

import (
	"bytes"
	"net/netip"
)

var netfilterMark = []byte("IN=")

// decodeNetfilter reads what follows "IN=" in a line of the kernel's LOG target (net/netfilter/nf_log_syslog.c;
// nftables' log and ulogd's LOGEMU write the same). The fields are taken in the order in which they are written.
func decodeNetfilter(text []byte, p *Packet, host *lastAddr) error {
	if len(text) == 0 || text[0] == ' ' {
		return ErrNotOurs // no interface it came in by: the packet is one of our own, on its way out
	}
	text, ok := cutInterfaces(text)
	if !ok {
		return ErrNotOurs
	}
	text, okSrc := cutAddr(text, " SRC=", &p.Src)
	text, okDst := host.cut(text, " DST=", &p.Dst)
	text, okProto := cutProto(text, &p.Proto)
	if !okSrc || !okDst || !okProto {
		return ErrMalformed
	}
	if p.Proto != TCP && p.Proto != UDP {
		return nil // the ports further on in an ICMP error are those of the packet that it quotes
	}
	text, okSrc = cutPort(text, " SPT=", &p.SrcPort)
	text, okDst = cutPort(text, " DPT=", &p.DstPort)
	if !okSrc || !okDst {
		return ErrMalformed // a fragment, or cut off
	}
	if p.Proto == UDP {
		return nil
	}
	end := indexField(text, " URGP=")
	if end < 0 {
		return ErrMalformed // the flags may be cut
	}
	p.Flags = parseFlags(text[:end])
	return nil
}

// cutInterfaces cuts what stands before " SRC=": the interface that the packet came in by, " OUT=", and other words of
// the form NAME=VALUE. The kernel also logs texts that begin with a program's name, of up to 15 bytes and of its user's
// choice: one that says "DENY IN=e OUT=" goes on with "[1234]: segfault at", and ends here.
func cutInterfaces(text []byte) (rest []byte, ok bool) {
	_, text, ok = cutValue(text)
	if !ok || !bytes.HasPrefix(text, []byte(" OUT=")) {
		return nil, false
	}
	for !bytes.HasPrefix(text, []byte(" SRC=")) {
		n := 1
		for n < len(text) && text[n] >= 'A' && text[n] <= 'Z' {
			n++
		}
		if n == 1 || n == len(text) || text[n] != '=' {
			return nil, false
		}
		end := bytes.IndexByte(text[n:], ' ') // not cutValue: a MAC is long
		if end < 0 {
			return nil, false
		}
		text = text[n+end:]
	}
	return text, true
}

// The functions that cut look for the first " NAME=" in text, read its value and give what follows that. A value ends
// with a space: one that ends with the line may be cut.

func cutAddr(text []byte, name string, to *netip.Addr) (rest []byte, ok bool) {
	at := indexField(text, name)
	if at < 0 {
		return nil, false
	}
	text = text[at+len(name):]
	if addr, n, ok := leadingIPv4(text); ok && n < len(text) && text[n] == ' ' {
		*to = addr
		return text[n:], true
	}
	value, rest, ok := cutValue(text)
	if ok {
		*to, ok = parseAddr(value)
	}
	return rest, ok
}

// A lastAddr is an address as it was read last. A host's log names the same destination in nearly every line.
type lastAddr struct {
	text []byte // with the space behind it
	addr netip.Addr
}

// cut is cutAddr.
func (l *lastAddr) cut(text []byte, name string, to *netip.Addr) (rest []byte, ok bool) {
	if at := indexField(text, name); at >= 0 && len(l.text) > 0 && bytes.HasPrefix(text[at+len(name):], l.text) {
		*to = l.addr
		return text[at+len(name)+len(l.text)-1:], true
	}
	rest, ok = cutAddr(text, name, to)
	if ok {
		value := text[:len(text)-len(rest)+1]
		l.text = append(l.text[:0], value[bytes.LastIndexByte(value, '=')+1:]...)
		l.addr = *to
	}
	return rest, ok
}

func cutPort(text []byte, name string, to *uint16) (rest []byte, ok bool) {
	value, rest, ok := cutField(text, name)
	if ok {
		*to, ok = parsePort(value)
	}
	return rest, ok
}

func cutProto(text []byte, to *Proto) (rest []byte, ok bool) {
	value, rest, ok := cutField(text, " PROTO=")
	if ok {
		*to, ok = parseProto(value)
	}
	return rest, ok
}

func cutField(text []byte, name string) (value, rest []byte, ok bool) {
	at := indexField(text, name)
	if at < 0 {
		return nil, nil, false
	}
	return cutValue(text[at+len(name):])
}

// cutValue cuts at the next space, which for all values but an IPv6 address is near.
func cutValue(text []byte) (value, rest []byte, ok bool) {
	for i, c := range text {
		if c == ' ' {
			return text[:i], text[i:], true
		}
	}
	return nil, nil, false
}

// indexField is bytes.Index for a name that begins with a space. It looks for the letter behind the space, since
// half the words of a line begin with a space, and most fields follow the one before at once.
func indexField(text []byte, name string) int {
	for from := 0; from+len(name) <= len(text); {
		rest := text[from:]
		if rest[1] == name[1] && string(rest[:len(name)]) == name {
			return from
		}
		letter := bytes.IndexByte(rest[2:], name[1])
		if letter < 0 {
			return -1
		}
		from += letter + 1
	}
	return -1
}

// parseFlags reads the words that are flags and passes over the rest: " SEQ=1 ACK=0 WINDOW=64240 RES=0x00 SYN".
func parseFlags(text []byte) Flags {
	var flags Flags
	for len(text) > 0 {
		last := bytes.LastIndexByte(text, ' ')
		flag, ok := flagNamed(text[last+1:])
		if !ok {
			return flags // the flags stand together at the end
		}
		flags |= flag
		if last < 0 {
			break
		}
		text = text[:last]
	}
	return flags
}

func flagNamed(word []byte) (Flags, bool) {
	switch string(word) {
	case "SYN":
		return SYN, true
	case "ACK":
		return ACK, true
	case "FIN":
		return FIN, true
	case "RST":
		return RST, true
	case "PSH":
		return PSH, true
	case "URG":
		return URG, true
	case "ECE":
		return ECE, true
	case "CWR":
		return CWR, true
	}
	return 0, false
}

// ipchainsMark begins an entry of Linux 2.2's firewall, which knows no prefix.
var ipchainsMark = []byte("Packet log: ")

// decodeIPChains reads "input DENY eth0 PROTO=6 142.103.205.1:64137 192.0.2.1:966 L=60 … SYN (#5)", what follows
// the mark. Only what the input chain refused is ours.
func decodeIPChains(text []byte, p *Packet) error {
	chain, text := cutWord(text)
	target, text := cutWord(text)
	if string(chain) != "input" || string(target) != "DENY" && string(target) != "REJECT" {
		return ErrNotOurs
	}
	_, text = cutWord(text) // the interface
	proto, text := cutWord(text)
	src, text := cutWord(text)
	dst, text := cutWord(text)
	proto, ok := bytes.CutPrefix(proto, []byte("PROTO="))
	rule := bytes.LastIndex(text, []byte(" (#"))
	if !ok || rule < 0 {
		return ErrMalformed
	}
	var okSrc, okDst bool
	p.Src, p.SrcPort, okSrc = parseAddrPort(src)
	p.Dst, p.DstPort, okDst = parseAddrPort(dst)
	p.Proto, ok = parseProto(proto)
	if !ok || !okSrc || !okDst {
		return ErrMalformed
	}
	if p.Proto == TCP {
		p.Flags = parseFlags(text[:rule])
	} else {
		p.SrcPort, p.DstPort = 0, 0 // for ICMP they are type and code
	}
	return nil
}

func cutWord(text []byte) (word, rest []byte) {
	word, rest, _ = bytes.Cut(text, []byte(" "))
	return word, rest
}
