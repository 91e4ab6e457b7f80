package check

import (
	"bytes"
	"errors"
	"regexp"
	"time"

	"github.com/portknock/knock/pkg/packet"
)

// A tail is what the end of the log holds.
type tail struct {
	lines    int
	ours     int // packets as the daemon takes them
	knocks   int // those of them that may be of a knock
	damaged  int
	programs int // lines of others than the kernel
	// newest is the latest stamp of ours, last the stamp of the last line if that is one of ours; zero if there is none.
	newest, last time.Time
	// forms counts lines about knock ports that the daemon does not take, by the settings that would fit them.
	forms map[form]int
}

// A form is what the lines of a log look like.
type form struct {
	head   packet.Head
	prefix string
}

// readTail looks at the complete lines of text, the end of a log; at its start a line may be cut if whole is false.
func readTail(text []byte, whole bool, o packet.Options, isKnock func(packet.Packet) bool, now time.Time) (*tail, error) {
	decoder, err := packet.NewDecoder(o)
	if err != nil {
		return nil, err
	}
	if !whole {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	t := &tail{forms: map[form]int{}}
	r := formReader{boot: o.Boot, isKnock: isKnock, decoders: map[form]*packet.Decoder{}}
	for len(text) > 0 {
		line, rest, complete := bytes.Cut(text, []byte("\n"))
		if !complete {
			break
		}
		text = rest
		t.lines++
		p, err := decoder.Decode(line, now)
		t.last = time.Time{}
		switch {
		case err == nil:
			t.take(p, isKnock(p))
		case errors.Is(err, packet.ErrMalformed):
			t.damaged++
		default:
			if isProgram(line) {
				t.programs++
			} else if f, ok := r.read(line, now); ok {
				t.forms[f]++
			}
		}
	}
	return t, nil
}

func (t *tail) take(p packet.Packet, isKnock bool) {
	t.ours++
	t.last = p.At
	if p.At.After(t.newest) {
		t.newest = p.At
	}
	if isKnock {
		t.knocks++
	}
}

// common gives the form of most lines that the daemon does not take.
func (t *tail) common() (best form, lines int) {
	for f, n := range t.forms {
		if n > lines || n == lines && (f.head < best.head || f.head == best.head && f.prefix < best.prefix) {
			best, lines = f, n
		}
	}
	return best, lines
}

const syslogHead = `^(?:[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[^ ]+) [^ ]+ `

var (
	// program begins a line of somebody else's than the kernel.
	program = regexp.MustCompile(syslogHead + `([^ :\[]+)(?:\[[0-9]+\])?: `)
	// heads are the forms of lines with a packet. The prefix is at most 64 bytes, as nft allows it (the others less).
	heads = []struct {
		head packet.Head
		re   *regexp.Regexp
	}{
		{packet.HeadSyslog, regexp.MustCompile(syslogHead + `kernel: (?:\[ *[0-9]+\.[0-9]+\] )?(.{0,128}?)IN=[^ ]+ OUT=`)},
		{packet.HeadDmesg, regexp.MustCompile(`^\[ *[0-9]+\.[0-9]+\] (.{0,128}?)IN=[^ ]+ OUT=`)},
		{packet.HeadUlogd, regexp.MustCompile(syslogHead + `(.{0,128}?)IN=[^ ]+ OUT=`)},
	}
)

// isProgram tells whether a program wrote a line to syslog; "kernel" is none. What such a line says is not looked at:
// strangers choose it, and would like it to be taken for one of ulogd's.
func isProgram(line []byte) bool {
	m := program.FindSubmatch(line)
	return m != nil && string(m[1]) != "kernel"
}

// A formReader finds out of which form a line with a packet is.
type formReader struct {
	boot     time.Time
	isKnock  func(packet.Packet) bool
	decoders map[form]*packet.Decoder
}

// maxForms bounds how many prefixes are told apart.
const maxForms = 100

// read gives the form of a line that is about a knock.
func (r *formReader) read(line []byte, now time.Time) (form, bool) {
	for _, h := range heads {
		m := h.re.FindSubmatch(line)
		if m == nil {
			continue
		}
		f := form{h.head, string(m[1])}
		d := r.decoders[f]
		if d == nil && len(r.decoders) < maxForms {
			d, _ = packet.NewDecoder(packet.Options{Prefix: f.prefix, Head: f.head, Boot: r.boot}) // a known head
			r.decoders[f] = d
		}
		if d == nil {
			return f, false
		}
		p, err := d.Decode(line, now)
		return f, err == nil && r.isKnock(p)
	}
	return form{}, false
}
