package packet

import (
	"bytes"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Reason says why a line about a packet was refused.
type Reason uint8

// The reasons.
const (
	OtherPrefix Reason = iota + 1 // the right head, but another prefix
	Foreign                       // not a head as Options.Head says, "kernel:" in it; or not of the form of Options.Regexp
	Damaged                       // the right head and prefix, and then cut or damaged, or a fragment without ports
)

// A Suspect is a line that was refused, though it is about a packet.
type Suspect struct {
	// Packet is TCP or UDP. Of a Damaged line it is what could be read, but always with Src. Nobody vouches for it:
	// strangers can write a Foreign line, with whatever address.
	Packet Packet
	Reason Reason
	// Prefix is that of OtherPrefix: at most 32 bytes, without the spaces at its end. What cannot be printed is "?".
	Prefix string
}

// Suspect tells what is suspect about a line that Decode has just refused, if anything is, for those who wonder why a
// knock was not seen. It knows lines of netfilter's form alone. A line without " SRC=" costs one look for that; no line
// is looked through more than a few times, and none costs an allocation, except for a prefix that is new.
func (d *Decoder) Suspect(line []byte, now time.Time) (s Suspect, ok bool) {
	src := indexField(line, " SRC=")
	if src < 0 {
		return Suspect{}, false
	}
	at, text, ok := d.cutTrusted(line, now)
	if !ok {
		s.Reason, text = Foreign, line
	}
	prefix, fields, ok := cutEntry(text, len(line)-src)
	if !ok {
		return Suspect{}, false
	}
	s.Packet.At = at
	err := decodeNetfilter(fields, &s.Packet, &d.host)
	switch {
	case err == ErrMalformed && s.Reason != Foreign && bytes.Equal(prefix, d.prefix) && s.Packet.Src.IsValid():
		s.Reason = Damaged
		return s, true
	case err != nil || s.Packet.Proto != TCP && s.Packet.Proto != UDP:
		return Suspect{}, false
	case s.Reason == Foreign:
		return s, true
	case bytes.Equal(prefix, d.prefix):
		return Suspect{}, false // Decode would not refuse it
	}
	s.Reason, s.Prefix = OtherPrefix, d.prefixes.clean(prefix)
	return s, true
}

// cutTrusted is cutHead. A regular expression knows no head.
func (d *Decoder) cutTrusted(line []byte, now time.Time) (at time.Time, text []byte, ok bool) {
	if d.custom != nil {
		at, _, _ = d.stamp(line, now)
		return at, nil, false
	}
	return d.cutHead(line, now)
}

// cutEntry cuts text around the "IN=" of an entry whose " SRC=" begins so many bytes from the end. It is the last one
// in front of the last " OUT=", because what comes before may be anybody's.
func cutEntry(text []byte, fromEnd int) (prefix, fields []byte, ok bool) {
	if fromEnd > len(text) {
		return nil, nil, false
	}
	out := bytes.LastIndex(text[:len(text)-fromEnd], []byte(" OUT="))
	if out < 0 {
		return nil, nil, false
	}
	in := bytes.LastIndex(text[:out], netfilterMark)
	if in < 0 {
		return nil, nil, false
	}
	return bytes.TrimRight(text[:in], " "), text[in+len(netfilterMark):], true
}

// maxPrefix is how much of a prefix is told. iptables takes 29 bytes.
const maxPrefix = 32

// A prefixCache keeps the last prefixes that were told: a firewall has a few.
type prefixCache struct {
	known [4]struct{ raw, cleaned string }
	next  int
}

// clean gives as much of a prefix as is told.
func (c *prefixCache) clean(raw []byte) string {
	if len(raw) > maxPrefix {
		end := maxPrefix
		for end > maxPrefix-(utf8.UTFMax-1) && !utf8.RuneStart(raw[end]) {
			end--
		}
		raw = raw[:end]
	}
	for _, k := range c.known {
		if k.raw == string(raw) {
			return k.cleaned
		}
	}
	k := &c.known[c.next]
	c.next = (c.next + 1) % len(c.known)
	k.raw, k.cleaned = string(raw), printable(raw)
	return k.cleaned
}

// printable gives text with "?" for each character that cannot be printed and each byte that is of none.
func printable(text []byte) string {
	cleaned := make([]rune, 0, len(text))
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) {
			r = '?'
		}
		cleaned = append(cleaned, r)
		text = text[size:]
	}
	return string(cleaned)
}
