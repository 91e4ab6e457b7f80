package packet

import "bytes"

// The fields of the kernel's LOG target (net/netfilter/nf_log_syslog.c; nftables' log and ulogd's LOGEMU write
// the same), in the order in which it writes them.
var (
	netfilterMark = []byte("IN=")
	fieldSrc      = []byte(" SRC=")
	fieldDst      = []byte(" DST=")
	fieldProto    = []byte(" PROTO=")
	fieldSpt      = []byte(" SPT=")
	fieldDpt      = []byte(" DPT=")
	fieldUrgp     = []byte(" URGP=")
)

// decodeNetfilter reads what follows "IN=".
func decodeNetfilter(text []byte, p *Packet) error {
	if len(text) == 0 || text[0] == ' ' {
		return ErrNotOurs // no interface it came in by: the packet is one of our own, on its way out
	}
	src, text, ok := cutField(text, fieldSrc)
	dst, text, okDst := cutField(text, fieldDst)
	proto, text, okProto := cutField(text, fieldProto)
	if !ok || !okDst || !okProto {
		return ErrMalformed
	}
	p.Src, ok = parseAddr(src)
	p.Dst, okDst = parseAddr(dst)
	p.Proto, okProto = parseProto(proto)
	if !ok || !okDst || !okProto {
		return ErrMalformed
	}
	if p.Proto != TCP && p.Proto != UDP {
		return nil // the ports further on in an ICMP error are those of the packet that it quotes
	}
	return decodePorts(text, p)
}

// decodePorts reads what follows PROTO=TCP or PROTO=UDP.
func decodePorts(text []byte, p *Packet) error {
	spt, text, ok := cutField(text, fieldSpt)
	dpt, text, okDpt := cutField(text, fieldDpt)
	if !ok || !okDpt {
		return ErrMalformed // a fragment, or cut off
	}
	p.SrcPort, ok = parsePort(spt)
	p.DstPort, okDpt = parsePort(dpt)
	if !ok || !okDpt {
		return ErrMalformed
	}
	if p.Proto == UDP {
		return nil
	}
	end := indexField(text, fieldUrgp)
	if end < 0 {
		return ErrMalformed // the flags may be cut
	}
	p.Flags = parseFlags(text[:end])
	return nil
}

// cutField finds the first " NAME=" in text and gives its value and what follows that. A value ends with a space:
// one that ends with the line may be cut.
func cutField(text, name []byte) (value, rest []byte, ok bool) {
	at := indexField(text, name)
	if at < 0 {
		return nil, nil, false
	}
	text = text[at+len(name):]
	end := bytes.IndexByte(text, ' ')
	if end < 0 {
		return nil, nil, false
	}
	return text[:end], text[end:], true
}

// indexField is bytes.Index for a name that begins with a space. It looks for the letter behind the space, since
// half the words of a line begin with a space, and most fields follow the one before at once.
func indexField(text, name []byte) int {
	for from := 0; ; {
		if bytes.HasPrefix(text[from:], name) {
			return from
		}
		letter := bytes.IndexByte(text[min(from+2, len(text)):], name[1])
		if letter < 0 {
			return -1
		}
		from += letter + 1
	}
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
	proto, ok := bytes.CutPrefix(proto, fieldProto[1:])
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
