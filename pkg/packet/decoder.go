package packet

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Why a line gave no packet. Both are bare, so that refusing a line costs no allocation.
var (
	// ErrNotOurs says that the firewall did not write the line, or not with our prefix.
	ErrNotOurs = errors.New("not a packet logged with our prefix")
	// ErrMalformed says that the line begins as one of the firewall's, but does not go on as one.
	ErrMalformed = errors.New("cut or damaged packet line")
)

// A Head names what stands before the firewall's own text in a line.
type Head string

// The heads that a Decoder knows.
const (
	// HeadSyslog is "Nov 20 20:08:33 host kernel: " or "2026-11-20T20:08:33.602206+00:00 host kernel: ", then,
	// if the kernel wrote it, the time since boot in brackets.
	HeadSyslog Head = "syslog"
	// HeadDmesg is the time since boot in brackets alone. Such a line names no writer: only a file into which
	// nothing but the kernel's messages go may be read with it.
	HeadDmesg Head = "dmesg"
	// HeadUlogd is "Nov 20 20:08:33 host ", as ulogd's LOGEMU writes. It names no writer either.
	HeadUlogd Head = "ulogd"
)

// Options say which lines a Decoder takes.
type Options struct {
	// Prefix is the firewall's log prefix, exactly, in front of IN=. Spaces between the two do not matter. It
	// may be empty.
	Prefix string
	// Head is HeadSyslog if empty.
	Head Head
	// Regexp, if not empty, replaces Prefix and Head: an RE2 expression, matched from the line's start, with
	// the named groups src and dpt and, if the log has them, spt and proto (tcp, 6). Every line that it
	// matches counts as a SYN.
	Regexp string
	// Boot is the instant that dmesg's stamps count from.
	Boot time.Time
}

// A Decoder decodes the lines of one log. It remembers the last stamp and address that it read, so it serves one
// goroutine at a time.
type Decoder struct {
	prefix []byte
	head   Head
	custom *custom
	boot   time.Time
	stamps stampCache
	host   lastAddr

	prefixes prefixCache
}

// NewDecoder gives a Decoder, or an error for an unknown head or a regular expression that does not compile or
// lacks a group.
func NewDecoder(o Options) (*Decoder, error) {
	d := &Decoder{prefix: bytes.TrimRight([]byte(o.Prefix), " "), head: o.Head, boot: o.Boot}
	switch o.Head {
	case "":
		d.head = HeadSyslog
	case HeadSyslog, HeadDmesg, HeadUlogd:
	default:
		return nil, fmt.Errorf("unknown log head %q: use %s, %s or %s", o.Head, HeadSyslog, HeadDmesg, HeadUlogd)
	}
	if o.Regexp == "" {
		return d, nil
	}
	var err error
	if d.custom, err = newCustom(o.Regexp); err != nil {
		return nil, err
	}
	return d, nil
}

// SetBoot says anew when the machine was booted: that instant moves with a wall clock that is set.
func (d *Decoder) SetBoot(boot time.Time) { d.boot = boot }

// Decode gives the packet that line, without its newline, is about, or ErrNotOurs or ErrMalformed. A stamp
// without a year or a zone is read as the local time nearest to now.
func (d *Decoder) Decode(line []byte, now time.Time) (p Packet, err error) {
	if err := d.decode(line, now, &p); err != nil {
		return Packet{}, err
	}
	return p, nil
}

func (d *Decoder) decode(line []byte, now time.Time, p *Packet) error {
	if d.custom != nil {
		p.At, _, _ = d.stamp(line, now)
		return d.custom.decode(line, p)
	}
	at, text, ok := d.cutHead(line, now)
	if !ok {
		return ErrNotOurs
	}
	p.At = at
	if logged, ok := bytes.CutPrefix(text, d.prefix); ok {
		if fields, ok := bytes.CutPrefix(bytes.TrimLeft(logged, " "), netfilterMark); ok {
			return decodeNetfilter(fields, p, &d.host)
		}
	}
	if entry, ok := bytes.CutPrefix(text, ipchainsMark); ok && d.head == HeadSyslog {
		return decodeIPChains(entry, p)
	}
	return ErrNotOurs
}

// custom is a log format given by the administrator.
type custom struct {
	re                   *regexp.Regexp
	src, dpt, spt, proto int // group numbers, -1 if not there
}

func newCustom(expr string) (*custom, error) {
	re, err := regexp.Compile(expr) // by itself, so that an error shows what was written
	if err == nil {
		re, err = regexp.Compile(`\A(?:` + expr + `)`)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to compile the regular expression: %w", err)
	}
	c := &custom{re, re.SubexpIndex("src"), re.SubexpIndex("dpt"), re.SubexpIndex("spt"), re.SubexpIndex("proto")}
	if c.src < 0 || c.dpt < 0 {
		return nil, errors.New("the regular expression needs the named groups (?P<src>…) and (?P<dpt>…)")
	}
	return c, nil
}

func (c *custom) decode(line []byte, p *Packet) error {
	m := c.re.FindSubmatchIndex(line)
	if m == nil {
		return ErrNotOurs
	}
	group := func(n int) []byte {
		if n < 0 || m[2*n] < 0 {
			return nil
		}
		return line[m[2*n]:m[2*n+1]]
	}
	p.Proto, p.Flags = TCP, SYN
	okSpt, okProto := true, true
	if b := group(c.spt); b != nil {
		p.SrcPort, okSpt = parsePort(b)
	}
	if b := group(c.proto); b != nil {
		p.Proto, okProto = parseProto(b)
	}
	var okSrc, okDpt bool
	p.Src, okSrc = parseAddr(group(c.src))
	p.DstPort, okDpt = parsePort(group(c.dpt))
	if !okSrc || !okDpt || !okSpt || !okProto {
		return ErrMalformed
	}
	return nil
}
