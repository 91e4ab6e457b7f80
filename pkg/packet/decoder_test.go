package packet

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var testNow = time.Date(2026, 11, 20, 20, 9, 0, 0, time.UTC)

var compareAddrs = cmpopts.EquateComparable(netip.Addr{})

const netfilterLine = "IN=eth0 OUT= MAC=f2:b4:b7:61:d1:a6:32:70:58:3b:12:ef:08:00 SRC=10.99.0.2 DST=10.99.0.1 LEN=60 " +
	"TOS=0x00 PREC=0x00 TTL=64 ID=44106 DF PROTO=TCP SPT=43292 DPT=800 WINDOW=64240 RES=0x00 SYN URGP=0 "

func mustDecoder(t testing.TB, o Options) *Decoder {
	t.Helper()
	d, err := NewDecoder(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func testLines(t testing.TB, file string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	if len(lines) < 2 {
		t.Fatalf("%s holds %d lines", file, len(lines))
	}
	return lines
}

// Every line of every log is a packet under one of the prefixes that its firewall used, and under none of the others.
func TestRealLogs(t *testing.T) {
	t.Parallel()
	prefixes := []string{"DENY ", "DENYSEQ ", "KNOCK-NFT "}
	for file, head := range map[string]Head{
		"rsyslog-traditional.log": HeadSyslog, "rsyslog-iso.log": HeadSyslog, "dmesg.log": HeadDmesg,
		"ulogd-logemu.log": HeadUlogd, "ipchains.log": HeadSyslog,
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			for _, line := range testLines(t, file) {
				taken := 0
				for _, prefix := range prefixes {
					p, err := mustDecoder(t, Options{Prefix: prefix, Head: head}).Decode(line, testNow)
					if errors.Is(err, ErrNotOurs) {
						continue
					}
					if err != nil {
						t.Fatalf("%v: %s", err, line)
					}
					taken++
					if !bytes.Contains(line, []byte(p.Src.String())) || p.DstPort == 0 || p.SrcPort == 0 || p.At.IsZero() {
						t.Errorf("%+v of %s", p, line)
					}
					if want := bytes.Contains(line, []byte(" SYN ")); p.IsSYN() != want {
						t.Errorf("IsSYN() = %v, want %v: %s", p.IsSYN(), want, line)
					}
				}
				if want := map[bool]int{true: len(prefixes), false: 1}[file == "ipchains.log"]; taken != want {
					t.Errorf("taken under %d prefixes, want %d: %s", taken, want, line)
				}
			}
		})
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 20, 20, 8, 33, 0, time.UTC)
	syn := Packet{At: at, Src: netip.MustParseAddr("10.99.0.2"), Dst: netip.MustParseAddr("10.99.0.1"),
		SrcPort: 43292, DstPort: 800, Proto: TCP, Flags: SYN}
	with := func(change func(*Packet)) Packet {
		p := syn
		change(&p)
		return p
	}
	const iso = "2026-11-20T20:08:33Z gate kernel: "
	tests := map[string]struct {
		options Options
		line    string
		want    Packet
		err     error
	}{
		"uptime":                {Options{Prefix: "DENY "}, iso + "[ 1217.785741] DENY " + netfilterLine, syn, nil},
		"no uptime":             {Options{Prefix: "DENY "}, iso + "DENY " + netfilterLine, syn, nil},
		"a zone and a fraction": {Options{Prefix: "DENY "}, "2026-11-20T22:38:33.5+02:30 gate kernel: DENY " + netfilterLine, with(func(p *Packet) { p.At = at.Add(time.Second / 2) }), nil},
		"prefix without space":  {Options{Prefix: "DENY"}, iso + "DENY " + netfilterLine, syn, nil},
		"ufw":                   {Options{Prefix: "[UFW BLOCK] "}, iso + "[12345.000001] [UFW BLOCK] " + netfilterLine, syn, nil},
		"ufw without uptime":    {Options{Prefix: "[UFW BLOCK] "}, iso + "[UFW BLOCK] " + netfilterLine, syn, nil},
		"firewalld":             {Options{Prefix: "FINAL_REJECT: "}, iso + "FINAL_REJECT: " + netfilterLine, syn, nil},
		"shorewall":             {Options{Prefix: "Shorewall:net2fw:DROP:"}, iso + "Shorewall:net2fw:DROP:" + netfilterLine, syn, nil},
		"no prefix":             {Options{}, iso + netfilterLine, syn, nil},
		"no prefix, uptime":     {Options{}, iso + "[ 12.000001] " + netfilterLine, syn, nil},
		"ECN": {Options{}, iso + "IN=e OUT= SRC=10.99.0.2 DST=10.99.0.1 PROTO=TCP SPT=43292 DPT=800 WINDOW=1 RES=0x00 CWR ECE SYN URGP=0 ",
			with(func(p *Packet) { p.Flags = SYN | CWR | ECE }), nil},
		"SYN ACK": {Options{}, iso + "IN=e OUT= SRC=10.99.0.2 DST=10.99.0.1 PROTO=TCP SPT=43292 DPT=800 WINDOW=1 RES=0x00 ACK SYN URGP=0 ",
			with(func(p *Packet) { p.Flags = SYN | ACK }), nil},
		"sequence numbers are not flags": {Options{}, iso + "IN=e OUT= SRC=10.99.0.2 DST=10.99.0.1 PROTO=TCP SPT=43292 DPT=800 SEQ=1 ACK=0 WINDOW=1 RES=0x00 RST URGP=0 OPT (02) ",
			with(func(p *Packet) { p.Flags = RST }), nil},
		"UDP": {Options{}, iso + "IN=e OUT= SRC=10.99.0.2 DST=10.99.0.1 LEN=30 PROTO=UDP SPT=43292 DPT=800 LEN=10 ",
			with(func(p *Packet) { p.Proto, p.Flags = UDP, 0 }), nil},
		"MACSRC before SRC": {Options{}, iso + "IN=e OUT= MACSRC=1.2.3.4 MACDST=0 MACPROTO=0800 SRC=10.99.0.2 DST=10.99.0.1 PROTO=TCP SPT=43292 DPT=800 WINDOW=1 SYN URGP=0 ", syn, nil},
		"an ICMP error quotes our packet": {Options{}, iso + "IN=e OUT= SRC=10.99.0.2 DST=10.99.0.1 PROTO=ICMP TYPE=3 CODE=3 [SRC=10.99.0.1 DST=10.99.0.2 PROTO=TCP SPT=1 DPT=800 WINDOW=1 SYN URGP=0 ] ",
			with(func(p *Packet) { p.Proto, p.SrcPort, p.DstPort, p.Flags = ICMP, 0, 0, 0 }), nil},
		"IPv6": {Options{}, iso + "IN=e OUT= SRC=2001:0db8:0000:0000:0000:0000:0000:0002 DST=2001:0db8:0000:0000:0000:0000:0000:0001 LEN=80 TC=0 HOPLIMIT=64 FLOWLBL=1 PROTO=TCP SPT=43292 DPT=800 WINDOW=1 RES=0x00 SYN URGP=0 ",
			with(func(p *Packet) { p.Src, p.Dst = netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("2001:db8::1") }), nil},
		"a protocol by number": {Options{}, iso + "IN=e OUT= SRC=10.99.0.2 DST=10.99.0.1 PROTO=47 ",
			with(func(p *Packet) { p.Proto, p.SrcPort, p.DstPort, p.Flags = 47, 0, 0, 0 }), nil},
		"dmesg": {Options{Prefix: "DENY ", Head: HeadDmesg, Boot: at.Add(-790*time.Second - 149130*time.Microsecond)},
			"[  790.149130] DENY " + netfilterLine, syn, nil},
		"ulogd":    {Options{Prefix: "DENY ", Head: HeadUlogd}, "2026-11-20T20:08:33Z gate DENY " + netfilterLine, syn, nil},
		"ipchains": {Options{}, iso + "Packet log: input DENY eth0 PROTO=6 10.99.0.2:43292 10.99.0.1:800 L=60 S=0x00 I=3949 F=0x4000 T=52 SYN (#5)", syn, nil},

		"the tag forged inside a user name":     {Options{Prefix: "DENY "}, "2026-11-20T20:08:33Z gate sshd[9]: Invalid user kernel: DENY " + netfilterLine, Packet{}, ErrNotOurs},
		"a whole line forged inside a URL":      {Options{Prefix: "DENY "}, "2026-11-20T20:08:33Z gate nginx: GET /?2026-11-20T20:08:33Z gate kernel: DENY " + netfilterLine, Packet{}, ErrNotOurs},
		"a tag that ends with ours":             {Options{Prefix: "DENY "}, "2026-11-20T20:08:33Z gate notkernel: DENY " + netfilterLine, Packet{}, ErrNotOurs},
		"a tag with a process number":           {Options{Prefix: "DENY "}, "2026-11-20T20:08:33Z gate kernel[1]: DENY " + netfilterLine, Packet{}, ErrNotOurs},
		"the prefix behind other text":          {Options{Prefix: "DENY "}, iso + "usb 1-1: Product: DENY " + netfilterLine, Packet{}, ErrNotOurs},
		"IN= behind other text":                 {Options{}, iso + "usb 1-1: Product: " + netfilterLine, Packet{}, ErrNotOurs},
		"text between prefix and IN=":           {Options{Prefix: "DENY "}, iso + "DENY SEQ " + netfilterLine, Packet{}, ErrNotOurs},
		"two times since boot":                  {Options{Prefix: "DENY "}, iso + "[1.000001] [1.000001] DENY " + netfilterLine, Packet{}, ErrNotOurs},
		"no head":                               {Options{Prefix: "DENY "}, "DENY " + netfilterLine, Packet{}, ErrNotOurs},
		"a dmesg line in a syslog":              {Options{Prefix: "DENY "}, "[  790.149130] DENY " + netfilterLine, Packet{}, ErrNotOurs},
		"a ulogd line in a syslog":              {Options{Prefix: "DENY "}, "Nov 20 20:08:33 gate DENY " + netfilterLine, Packet{}, ErrNotOurs},
		"a program's name that is our prefix":   {Options{Prefix: "DENY "}, iso + "DENY IN=eth0[16252]: segfault at 0 ip 00007f sp 00007f error 4 in x SRC=10.99.0.2 DST=10.99.0.1 PROTO=TCP SPT=1 DPT=800 WINDOW=1 SYN URGP=0 [1646,1]", Packet{}, ErrNotOurs},
		"a program's name that is a whole head": {Options{Prefix: "DENY "}, iso + "DENY IN=e OUT=[16252]: segfault at 0 ip 00007f in x SRC=10.99.0.2 DST=10.99.0.1 PROTO=TCP SPT=1 DPT=800 WINDOW=1 SYN URGP=0 [1646,1]", Packet{}, ErrNotOurs},
		"a program's name, no prefix":           {Options{}, iso + "IN=e OUT= SRC=1[16252]: segfault at 0 ip 00007f in x SRC=10.99.0.2 DST=10.99.0.1 PROTO=TCP SPT=1 DPT=800 WINDOW=1 SYN URGP=0 [1646,1]", Packet{}, ErrMalformed},
		"IN= without OUT=":                      {Options{}, iso + "IN=e MAC= SRC=10.99.0.2 DST=10.99.0.1 PROTO=TCP SPT=1 DPT=800 WINDOW=1 SYN URGP=0 ", Packet{}, ErrNotOurs},
		"no time since boot":                    {Options{Prefix: "DENY "}, iso + "[] DENY " + netfilterLine, Packet{}, ErrNotOurs},
		"half a time since boot":                {Options{Prefix: "DENY "}, iso + "[12] DENY " + netfilterLine, Packet{}, ErrNotOurs},
		"no space behind the time since boot":   {Options{Prefix: "DENY "}, iso + "[1.000001]DENY " + netfilterLine, Packet{}, ErrNotOurs},
		"an ipchains entry in a dmesg":          {Options{Head: HeadDmesg}, "[1.000001] Packet log: input DENY eth0 PROTO=6 10.99.0.2:1 10.99.0.1:800 L=60 SYN (#5)", Packet{}, ErrNotOurs},
		"outgoing":                              {Options{}, iso + "IN= OUT=eth0 SRC=10.99.0.2 DST=10.99.0.1 PROTO=TCP SPT=43292 DPT=800 WINDOW=1 SYN URGP=0 ", Packet{}, ErrNotOurs},
		"ipchains, another chain":               {Options{}, iso + "Packet log: output DENY eth0 PROTO=6 10.99.0.2:1 10.99.0.1:800 L=60 SYN (#5)", Packet{}, ErrNotOurs},
		"ipchains, accepted":                    {Options{}, iso + "Packet log: input ACCEPT eth0 PROTO=6 10.99.0.2:1 10.99.0.1:800 L=60 SYN (#5)", Packet{}, ErrNotOurs},
		"a fragment":                            {Options{}, iso + "IN=e OUT= SRC=10.99.0.2 DST=10.99.0.1 FRAG:64 PROTO=TCP ", Packet{}, ErrMalformed},
		"cut before the flags":                  {Options{}, iso + "IN=e OUT= SRC=10.99.0.2 DST=10.99.0.1 PROTO=TCP SPT=43292 DPT=800 WINDOW=1", Packet{}, ErrMalformed},
		"cut in the port":                       {Options{}, iso + "IN=e OUT= SRC=10.99.0.2 DST=10.99.0.1 PROTO=TCP SPT=43292 DPT=80", Packet{}, ErrMalformed},
		"port over 65535":                       {Options{}, iso + "IN=e OUT= SRC=10.99.0.2 DST=10.99.0.1 PROTO=TCP SPT=43292 DPT=66336 WINDOW=1 SYN URGP=0 ", Packet{}, ErrMalformed},
		"no address":                            {Options{}, iso + "IN=e OUT= SRC=10.99.0.256 DST=10.99.0.1 PROTO=TCP SPT=43292 DPT=800 WINDOW=1 SYN URGP=0 ", Packet{}, ErrMalformed},
		"an address with a leading zero":        {Options{}, iso + "IN=e OUT= SRC=10.99.0.02 DST=10.99.0.1 PROTO=TCP SPT=43292 DPT=800 WINDOW=1 SYN URGP=0 ", Packet{}, ErrMalformed},
		"month 13":                              {Options{}, "2026-13-20T20:08:33Z gate kernel: " + netfilterLine, Packet{}, ErrNotOurs},
		"a month's name cut out of two":         {Options{}, "anF 20 20:08:33 gate kernel: " + netfilterLine, Packet{}, ErrNotOurs},
		"empty":                                 {Options{}, "", Packet{}, ErrNotOurs},
		"a custom format, whole":                {Options{Regexp: `\S+ (?P<proto>\w+) (?P<src>[\d.]+):(?P<spt>\d+) -> (?P<dpt>\d+)`}, "2026-11-20T20:08:33Z tcp 10.99.0.2:43292 -> 800", with(func(p *Packet) { p.Dst = netip.Addr{} }), nil},
		"a custom format, the least":            {Options{Regexp: `BLOCK (?P<src>[\d.]+) (?P<dpt>\d+)`}, "BLOCK 10.99.0.2 800", with(func(p *Packet) { p.Dst, p.SrcPort, p.At = netip.Addr{}, 0, time.Time{} }), nil},
		"a custom format inside other text":     {Options{Regexp: `BLOCK (?P<src>[\d.]+) (?P<dpt>\d+)`}, "GET /BLOCK 10.99.0.2 800", Packet{}, ErrNotOurs},
		"a custom format, one side of an or":    {Options{Regexp: `X|BLOCK (?P<src>[\d.]+) (?P<dpt>\d+)`}, "GET /BLOCK 10.99.0.2 800", Packet{}, ErrNotOurs},
		"a custom format, a bad port":           {Options{Regexp: `BLOCK (?P<src>[\d.]+) (?P<dpt>\d+)`}, "BLOCK 10.99.0.2 66336", Packet{}, ErrMalformed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := mustDecoder(t, test.options).Decode([]byte(test.line), testNow)
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if diff := cmp.Diff(test.want, got, compareAddrs); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestNewDecoderRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options Options
		want    string
	}{
		"head":        {Options{Head: "journal"}, `unknown log head "journal": use syslog, dmesg or ulogd`},
		"no src":      {Options{Regexp: `(?P<dpt>\d+)`}, "the regular expression needs the named groups (?P<src>…) and (?P<dpt>…)"},
		"no dpt":      {Options{Regexp: `(?P<src>\d+)`}, "the regular expression needs the named groups (?P<src>…) and (?P<dpt>…)"},
		"open quote":  {Options{Regexp: `(?P<src>x)(?P<dpt>y)\Qz`}, "failed to compile the regular expression: error parsing regexp: missing closing ): `\\A(?:(?P<src>x)(?P<dpt>y)\\Qz)`"},
		"parentheses": {Options{Regexp: `(`}, "failed to compile the regular expression: error parsing regexp: missing closing ): `(`"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := NewDecoder(test.options)
			if err == nil || err.Error() != test.want {
				t.Errorf("error %v, want %s", err, test.want)
			}
		})
	}
}

// A stamp without a year or a zone means the local time nearest to now, also around the turn of the year and in
// the two hours of a year in which a local clock jumps.
func TestTraditionalStamp(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	local := time.Local
	time.Local = berlin
	defer func() { time.Local = local }()
	for name, test := range map[string]struct {
		now   time.Time
		stamp string
		want  time.Time
	}{
		"summer":                        {time.Date(2026, 7, 1, 10, 0, 5, 0, time.UTC), "Jul  1 12:00:00", time.Date(2026, 7, 1, 10, 0, 0, 0, time.UTC)},
		"last year":                     {time.Date(2027, 1, 1, 0, 0, 5, 0, berlin), "Dec 31 23:59:59", time.Date(2026, 12, 31, 23, 59, 59, 0, berlin)},
		"next year":                     {time.Date(2026, 12, 31, 23, 59, 59, 0, berlin), "Jan  1 00:00:01", time.Date(2027, 1, 1, 0, 0, 1, 0, berlin)},
		"the hour shown twice, first":   {time.Date(2026, 10, 25, 0, 30, 5, 0, time.UTC), "Oct 25 02:30:00", time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC)},
		"the hour shown twice, second":  {time.Date(2026, 10, 25, 1, 30, 5, 0, time.UTC), "Oct 25 02:30:00", time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC)},
		"before the hour never shown":   {time.Date(2026, 3, 29, 1, 0, 3, 0, time.UTC), "Mar 29 01:59:58", time.Date(2026, 3, 29, 0, 59, 58, 0, time.UTC)},
		"a leap day, in a year without": {time.Date(2027, 3, 1, 0, 0, 0, 0, berlin), "Feb 29 00:00:00", time.Date(2027, 3, 1, 0, 0, 0, 0, berlin)},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := parseTraditional([]byte(test.stamp), test.now)
			if !ok || !got.Equal(test.want) {
				t.Errorf("%v %v, want %v", got.UTC(), ok, test.want.UTC())
			}
		})
	}
}

// The same stamp can be another instant a year later, and in the night that summer time ends an hour later: the cache
// must not outlive its second by much.
func TestStampCache(t *testing.T) {
	local := time.Local
	defer func() { time.Local = local }()
	var err error
	if time.Local, err = time.LoadLocation("Europe/Berlin"); err != nil {
		t.Fatal(err)
	}
	d := mustDecoder(t, Options{})
	line := []byte("Oct 25 02:30:00 gate kernel: " + netfilterLine)
	first := time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC)
	for _, want := range []time.Time{first, first, first.Add(time.Hour), first.AddDate(1, 0, 0).Add(time.Hour)} {
		p, err := d.Decode(line, want.Add(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if want.Year() == 2027 {
			want = want.Add(-time.Hour) // that day is in summer then
		}
		if !p.At.Equal(want) {
			t.Errorf("at %v, want %v", p.At.UTC(), want)
		}
	}
}

// What a line says of its destination is not what the line before said.
func TestDestinationsDiffer(t *testing.T) {
	t.Parallel()
	d := mustDecoder(t, Options{})
	for _, dst := range []string{"10.99.0.1", "10.99.0.1", "10.99.0.10", "10.99.0.1", "2001:db8::1", "2001:db8::1", "10.99.0.1"} {
		line := "Nov 20 20:08:33 gate kernel: IN=e OUT= SRC=10.99.0.2 DST=" + dst + " LEN=60 PROTO=TCP SPT=1 DPT=800 WINDOW=1 SYN URGP=0 "
		p, err := d.Decode([]byte(line), testNow)
		if err != nil || p.Dst != netip.MustParseAddr(dst) || p.DstPort != 800 {
			t.Errorf("%s: %+v, %v", dst, p, err)
		}
	}
}

// trusted is the rule of trust in other words.
var trusted = regexp.MustCompile(`^([A-Z][a-z][a-z] [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(Z|[+-]\d\d:\d\d)) ` +
	`(?s:[^ ]+) kernel: (\[ *\d+\.\d*\] )?((DENY)? *IN=[^ ]+ OUT=[^ ]*( [A-Z]+=[^ ]*)* SRC=|Packet log: input (DENY|REJECT) )`)

func FuzzDecode(f *testing.F) {
	for _, file := range []string{"rsyslog-traditional.log", "rsyslog-iso.log", "dmesg.log", "ulogd-logemu.log", "ipchains.log"} {
		for _, line := range testLines(f, file) {
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, o := range []Options{
			{Prefix: "DENY "}, {}, {Prefix: "DENY ", Head: HeadDmesg}, {Prefix: "DENY ", Head: HeadUlogd},
			{Regexp: `.*SRC=(?P<src>\S+) .*PROTO=(?P<proto>\S+) SPT=(?P<spt>\d+) DPT=(?P<dpt>\d+)`},
		} {
			before := string(line)
			p, err := mustDecoder(t, o).Decode(line, testNow)
			if string(line) != before {
				t.Fatal("the line was changed")
			}
			if err != nil {
				if p != (Packet{}) || !errors.Is(err, ErrNotOurs) && !errors.Is(err, ErrMalformed) {
					t.Fatalf("half a packet %+v, or an unknown error %v", p, err)
				}
				continue
			}
			if !p.Src.IsValid() || p.Src.Zone() != "" {
				t.Fatalf("%+v without a source", p)
			}
			if o.Head == "" && o.Regexp == "" && !trusted.Match(line) {
				t.Fatalf("%+v of a line that the firewall did not write", p)
			}
		}
	})
}

// FuzzRegexp has formats of an administrator's, however strange, read lines of
// strangers.
func FuzzRegexp(f *testing.F) {
	f.Add(`.*SRC=(?P<src>\S+) .*PROTO=(?P<proto>\S+) SPT=(?P<spt>\d+) DPT=(?P<dpt>\d+)`, []byte("SRC=192.0.2.1 PROTO=TCP SPT=1 DPT=2"))
	f.Add(`(?P<src>.*) (?P<dpt>.*)`, []byte("::1%eth0 65536"))
	f.Add(`(?P<src>[0-9.]+)(?P<spt>x)?(?P<dpt>\d+)|(?P<src>a)`, []byte("1.2.3.45"))
	f.Add(`(?P<dpt>`, []byte(""))
	f.Fuzz(func(t *testing.T, expression string, line []byte) {
		d, err := NewDecoder(Options{Regexp: expression})
		if err != nil {
			if d != nil {
				t.Fatal("a decoder and an error")
			}
			return
		}
		p, err := d.Decode(line, testNow)
		if err != nil && p != (Packet{}) {
			t.Fatalf("half a packet %+v", p)
		}
		if err == nil && (!p.Src.IsValid() || p.Src.Zone() != "") {
			t.Fatalf("%+v without a source", p)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	d, line := mustDecoder(b, Options{Prefix: "DENY "}), []byte("Nov 20 20:08:33 gate kernel: [ 1217.785741] DENY "+netfilterLine)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(line, testNow); err != nil {
			b.Fatal(err)
		}
	}
}
