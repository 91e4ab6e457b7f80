package packet

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestSuspect(t *testing.T) {
	t.Parallel()
	const iso = "2026-11-20T20:08:33Z gate "
	at := time.Date(2026, 11, 20, 20, 8, 33, 0, time.UTC)
	syn := Packet{At: at, Src: netip.MustParseAddr("10.99.0.2"), Dst: netip.MustParseAddr("10.99.0.1"),
		SrcPort: 43292, DstPort: 800, Proto: TCP, Flags: SYN}
	with := func(change func(*Packet)) Packet {
		p := syn
		change(&p)
		return p
	}
	noStamp := with(func(p *Packet) { p.At = time.Time{} })
	deny, bare := Options{Prefix: "DENY "}, Options{}
	for name, test := range map[string]struct {
		options Options
		line    string
		want    Suspect // the zero Suspect: nothing
	}{
		"another prefix":        {deny, iso + "kernel: DROP " + netfilterLine, Suspect{syn, OtherPrefix, "DROP"}},
		"a prefix with uptime":  {deny, iso + "kernel: [ 12.000001] [UFW BLOCK] " + netfilterLine, Suspect{syn, OtherPrefix, "[UFW BLOCK]"}},
		"a longer prefix":       {deny, iso + "kernel: DENYSEQ " + netfilterLine, Suspect{syn, OtherPrefix, "DENYSEQ"}},
		"a shorter prefix":      {deny, iso + "kernel: DEN " + netfilterLine, Suspect{syn, OtherPrefix, "DEN"}},
		"another case":          {deny, iso + "kernel: deny " + netfilterLine, Suspect{syn, OtherPrefix, "deny"}},
		"no prefix":             {deny, iso + "kernel: " + netfilterLine, Suspect{syn, OtherPrefix, ""}},
		"none wanted":           {bare, iso + "kernel: DENY " + netfilterLine, Suspect{syn, OtherPrefix, "DENY"}},
		"a prefix without end":  {deny, iso + "kernel: Shorewall:net2fw:DROP:" + netfilterLine, Suspect{syn, OtherPrefix, "Shorewall:net2fw:DROP:"}},
		"a prefix too long":     {deny, iso + "kernel: " + strings.Repeat("x", 127) + netfilterLine, Suspect{syn, OtherPrefix, strings.Repeat("x", 32)}},
		"cut in a character":    {deny, iso + "kernel: x" + strings.Repeat("€", 11) + netfilterLine, Suspect{syn, OtherPrefix, "x" + strings.Repeat("€", 10)}},
		"what a terminal obeys": {deny, iso + "kernel: a\x1b[2J\x07\u202eb\xff " + netfilterLine, Suspect{syn, OtherPrefix, "a?[2J??b?"}},
		"another prefix, UDP": {deny, iso + "kernel: DROP IN=e OUT= SRC=10.99.0.2 DST=10.99.0.1 LEN=30 PROTO=UDP SPT=43292 DPT=800 LEN=10 ",
			Suspect{with(func(p *Packet) { p.Proto, p.Flags = UDP, 0 }), OtherPrefix, "DROP"}},
		"another prefix, IPv6": {deny, iso + "kernel: DROP IN=e OUT= SRC=2001:db8::2 DST=2001:db8::1 PROTO=TCP SPT=43292 DPT=800 WINDOW=1 SYN URGP=0 ",
			Suspect{with(func(p *Packet) { p.Src, p.Dst = netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("2001:db8::1") }), OtherPrefix, "DROP"}},
		"another prefix, a bridge": {deny, iso + "kernel: DROP IN=br0 OUT= PHYSIN=eth0 PHYSOUT=eth1 MACSRC=1.2.3.4 SRC=10.99.0.2 DST=10.99.0.1 PROTO=TCP SPT=43292 DPT=800 WINDOW=1 SYN URGP=0 ",
			Suspect{syn, OtherPrefix, "DROP"}},
		"another prefix, dmesg": {Options{Prefix: "DENY ", Head: HeadDmesg, Boot: at.Add(-790 * time.Second)}, "[  790.000000] DROP " + netfilterLine, Suspect{syn, OtherPrefix, "DROP"}},
		"another prefix, ulogd": {Options{Prefix: "DENY ", Head: HeadUlogd}, iso + "DROP " + netfilterLine, Suspect{syn, OtherPrefix, "DROP"}},

		"another tag":              {deny, iso + "fw[1]: DENY " + netfilterLine, Suspect{syn, Foreign, ""}},
		"another tag and prefix":   {deny, iso + "ulogd[1]: DROP " + netfilterLine, Suspect{syn, Foreign, ""}},
		"a user name":              {deny, iso + "sshd[9]: Invalid user kernel: DENY " + netfilterLine, Suspect{syn, Foreign, ""}},
		"a dmesg line in a syslog": {deny, "[  790.149130] DENY " + netfilterLine, Suspect{noStamp, Foreign, ""}},
		"a ulogd line in a syslog": {deny, iso + "DENY " + netfilterLine, Suspect{syn, Foreign, ""}},
		"a syslog line in a dmesg": {Options{Prefix: "DENY ", Head: HeadDmesg}, iso + "kernel: DENY " + netfilterLine, Suspect{noStamp, Foreign, ""}},
		"no head":                  {deny, "DENY " + netfilterLine, Suspect{noStamp, Foreign, ""}},
		"another form":             {Options{Regexp: `BLOCK (?P<src>[\d.]+) (?P<dpt>\d+)`}, iso + "kernel: DENY " + netfilterLine, Suspect{syn, Foreign, ""}},

		"cut before the flags": {deny, iso + "kernel: DENY IN=e OUT= SRC=10.99.0.2 DST=10.99.0.1 PROTO=TCP SPT=43292 DPT=800 WINDOW=1",
			Suspect{with(func(p *Packet) { p.Flags = 0 }), Damaged, ""}},
		"cut in the port": {deny, iso + "kernel: DENY IN=e OUT= SRC=10.99.0.2 DST=10.99.0.1 PROTO=TCP SPT=43292 DPT=80",
			Suspect{with(func(p *Packet) { p.Flags, p.DstPort = 0, 0 }), Damaged, ""}},
		"cut behind the source": {deny, iso + "kernel: DENY IN=e OUT= SRC=10.99.0.2 ", Suspect{Packet{At: at, Src: syn.Src}, Damaged, ""}},
		"a fragment": {deny, iso + "kernel: DENY IN=e OUT= SRC=10.99.0.2 DST=10.99.0.1 FRAG:64 PROTO=TCP ",
			Suspect{Packet{At: at, Src: syn.Src, Dst: syn.Dst, Proto: TCP}, Damaged, ""}},

		"cut in the source":            {deny, iso + "kernel: DENY IN=e OUT= SRC=10.99.0.2", Suspect{}},
		"no address":                   {deny, iso + "kernel: DENY IN=e OUT= SRC=10.99.0.256 DST=10.99.0.1 PROTO=TCP SPT=1 DPT=800 WINDOW=1 SYN URGP=0 ", Suspect{}},
		"another prefix, cut":          {deny, iso + "kernel: DROP IN=e OUT= SRC=10.99.0.2 DST=10.99.0.1 PROTO=TCP SPT=43292 DPT=800 WINDOW=1", Suspect{}},
		"another prefix, ICMP":         {deny, iso + "kernel: DROP IN=e OUT= SRC=10.99.0.2 DST=10.99.0.1 PROTO=ICMP TYPE=8 CODE=0 ID=1 SEQ=1 ", Suspect{}},
		"outgoing":                     {deny, iso + "kernel: DENY IN= OUT=e SRC=10.99.0.2 DST=10.99.0.1 PROTO=TCP SPT=43292 DPT=800 WINDOW=1 SYN URGP=0 ", Suspect{}},
		"a user name cut short":        {deny, iso + "sshd[9]: Invalid user IN=e OUT= SRC=10.99.0.2 DPT=800 ", Suspect{}},
		"a program's name":             {deny, iso + "kernel: DENY IN=e OUT=[16252]: segfault at 0 ip 00007f in x SRC=10.99.0.2 DST=10.99.0.1 PROTO=TCP SPT=1 DPT=800 WINDOW=1 SYN URGP=0 ", Suspect{}},
		"another of the kernel's":      {deny, iso + "kernel: usb 1-1: new device", Suspect{}},
		"SRC= and nothing else":        {deny, iso + "kernel: DENY SRC=10.99.0.2 ", Suspect{}},
		"SRC= right behind the head":   {deny, iso + "kernel: SRC=10.99.0.2 IN=e OUT= SRC=10.99.0.2 ", Suspect{}},
		"SRC= before the interfaces":   {deny, iso + "kernel: [ SRC=10.99.0.2 IN=e OUT= ", Suspect{}},
		"no head, cut":                 {deny, "DENY IN=e OUT= SRC=10.99.0.2 DST=10.99.0.1 PROTO=TCP", Suspect{}},
		"text between IN= and OUT=":    {deny, iso + "kernel: DROP IN=e x OUT= SRC=10.99.0.2 DST=10.99.0.1 PROTO=TCP SPT=1 DPT=800 WINDOW=1 SYN URGP=0 ", Suspect{}},
		"ipchains":                     {deny, iso + "kernel: Packet log: input ACCEPT eth0 PROTO=6 10.99.0.2:43292 10.99.0.1:800 L=60 SYN (#5)", Suspect{}},
		"one that is not refused":      {deny, iso + "kernel: DENY " + netfilterLine, Suspect{}},
		"one that another form allows": {Options{Regexp: `BLOCK (?P<src>[\d.]+) (?P<dpt>\d+)`}, "BLOCK 10.99.0.2 66336", Suspect{}},
		"empty":                        {deny, "", Suspect{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := mustDecoder(t, test.options).Suspect([]byte(test.line), testNow)
			if diff := cmp.Diff(test.want, got, compareAddrs); diff != "" || ok != (test.want != Suspect{}) {
				t.Errorf("%t (-want +got)\n%s", ok, diff)
			}
		})
	}
}

// Every line of every log is suspect to a decoder of another prefix, which finds the prefix and the packet that the
// right decoder reads; and to one of another head.
func TestSuspectRealLogs(t *testing.T) {
	t.Parallel()
	for file, head := range map[string]Head{
		"rsyslog-traditional.log": HeadSyslog, "rsyslog-iso.log": HeadSyslog, "dmesg.log": HeadDmesg, "ulogd-logemu.log": HeadUlogd,
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			wrong := mustDecoder(t, Options{Prefix: "DROP ", Head: head})
			custom := mustDecoder(t, Options{Regexp: `BLOCK (?P<src>[\d.]+) (?P<dpt>\d+)`})
			for _, line := range testLines(t, file) {
				s, ok := wrong.Suspect(line, testNow)
				want, err := mustDecoder(t, Options{Prefix: s.Prefix, Head: head}).Decode(line, testNow)
				if !ok || s.Reason != OtherPrefix || err != nil {
					t.Fatalf("%t, %+v, error %v: %s", ok, s, err, line)
				}
				if diff := cmp.Diff(want, s.Packet, compareAddrs); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
				if s, ok := custom.Suspect(line, testNow); !ok || s.Reason != Foreign || s.Packet.Src != want.Src || s.Packet.DstPort != want.DstPort {
					t.Errorf("%t, %+v for another form: %s", ok, s, line)
				}
			}
		})
	}
}

// Prefixes are told right however many there are.
func TestSuspectPrefixes(t *testing.T) {
	t.Parallel()
	d := mustDecoder(t, Options{Prefix: "DENY "})
	for i := range 100 {
		prefix := strings.Repeat("x", i%7) + strings.Repeat("y", i%3)
		s, ok := d.Suspect([]byte("2026-11-20T20:08:33Z gate kernel: "+prefix+" "+netfilterLine), testNow)
		if !ok || s.Prefix != prefix {
			t.Fatalf("%t, %q, want %q", ok, s.Prefix, prefix)
		}
	}
}

// trustedHead is what begins a line of the kernel's, in other words.
var trustedHead = regexp.MustCompile(`^([A-Z][a-z][a-z] [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(Z|[+-]\d\d:\d\d)) (?s:[^ ]+) kernel: `)

// Whatever a stranger writes: what is told is bounded and can be printed, the packet is the one that a decoder with the
// right prefix reads, and Decode goes on as if nothing had been asked.
func FuzzSuspect(f *testing.F) {
	for _, file := range []string{"rsyslog-traditional.log", "rsyslog-iso.log", "dmesg.log", "ulogd-logemu.log", "ipchains.log"} {
		for _, line := range testLines(f, file) {
			f.Add(line)
		}
	}
	f.Add([]byte("2026-11-20T20:08:33Z gate kernel: a\x1b[2J\u202e\xffIN=IN=e OUT= OUT= SRC=::1 DST=::1 PROTO=6 SPT=1 DPT=2 URGP=0 "))
	f.Add([]byte("2026-11-20T20:08:33Z gate kernel: DENY IN=e OUT= SRC=1.2.3.4 "))
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, o := range []Options{
			{Prefix: "DENY "}, {}, {Prefix: "DENY ", Head: HeadDmesg}, {Prefix: "DENY ", Head: HeadUlogd},
			{Regexp: `.*SRC=(?P<src>\S+) .*PROTO=(?P<proto>\S+) SPT=(?P<spt>\d+) DPT=(?P<dpt>\d+)`},
		} {
			before, d := string(line), mustDecoder(t, o)
			want, wantErr := d.Decode(line, testNow)
			s, ok := d.Suspect(line, testNow)
			if string(line) != before {
				t.Fatal("the line was changed")
			}
			if p, err := d.Decode(line, testNow); p != want || err != wantErr {
				t.Fatalf("%+v, error %v, want %+v, %v as before", p, err, want, wantErr)
			}
			if !ok && s != (Suspect{}) {
				t.Fatalf("half a suspect %+v", s)
			}
			if ok && wantErr != nil {
				checkSuspect(t, s, line, o, wantErr)
			}
		}
	})
}

func checkSuspect(t *testing.T, s Suspect, line []byte, o Options, decodeErr error) {
	t.Helper()
	if !s.Packet.Src.IsValid() || s.Packet.Src.Zone() != "" {
		t.Fatalf("%+v without a source", s)
	}
	if (s.Reason == Damaged) != errors.Is(decodeErr, ErrMalformed) && o.Regexp == "" {
		t.Fatalf("%+v, where Decode says %v", s, decodeErr)
	}
	if s.Reason != Damaged && s.Packet.Proto != TCP && s.Packet.Proto != UDP {
		t.Fatalf("%+v of no such protocol", s)
	}
	if len(s.Prefix) > 32 || !utf8.ValidString(s.Prefix) || strings.ContainsFunc(s.Prefix, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Fatalf("the prefix is %q", s.Prefix)
	}
	switch s.Reason {
	case OtherPrefix:
		if o.Head == "" && !trustedHead.Match(line) {
			t.Fatalf("%+v of a line that the kernel did not write", s)
		}
		if strings.Contains(s.Prefix, "?") || len(s.Prefix) > 28 {
			return // it is not the whole prefix, perhaps
		}
		o.Prefix = s.Prefix
		if p, err := mustDecoder(t, o).Decode(line, testNow); err != nil || p != s.Packet {
			t.Fatalf("with the prefix %q: %+v, error %v, want %+v", s.Prefix, p, err, s.Packet)
		}
	case Foreign:
		// A stamp can have the right form and name no day: such a line is foreign, whoever wrote it.
		if s.Prefix != "" || o.Head == "" && o.Regexp == "" && !s.Packet.At.IsZero() && trustedHead.Match(line) {
			t.Fatalf("%+v of the kernel's", s)
		}
	case Damaged:
		if s.Prefix != "" {
			t.Fatalf("%+v with a prefix", s)
		}
	default:
		t.Fatalf("%+v for no reason", s)
	}
}

// BenchmarkSuspect is the cost of a line that was refused.
func BenchmarkSuspect(b *testing.B) {
	for name, line := range map[string]string{
		"noise":        "Nov 20 20:08:33 gate sshd[9]: Connection closed by authenticating user root 192.0.2.1 port 40000 [preauth]",
		"other prefix": "Nov 20 20:08:33 gate kernel: [ 1217.785741] [UFW BLOCK] " + netfilterLine,
		"foreign":      "Nov 20 20:08:33 gate sshd[9]: Invalid user kernel: DENY " + netfilterLine,
		"damaged":      "Nov 20 20:08:33 gate kernel: [ 1217.785741] DENY " + netfilterLine[:len(netfilterLine)-8],
		"hostile":      "Nov 20 20:08:33 gate sshd[9]: " + strings.Repeat("IN= OUT= ", 900) + " SRC=",
	} {
		b.Run(name, func(b *testing.B) {
			d, line := mustDecoder(b, Options{Prefix: "DENY "}), []byte(line)
			b.ReportAllocs()
			for b.Loop() {
				d.Suspect(line, testNow)
			}
		})
	}
}
