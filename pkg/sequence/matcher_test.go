package sequence

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/packet"
)

var start = time.Date(2026, 11, 20, 20, 8, 33, 0, time.UTC)

// mustParse gives a sequence.
func mustParse(text string) []Step {
	steps, err := Parse(text)
	if err != nil {
		panic(err)
	}
	return steps
}

// mustNew gives a Matcher.
func mustNew(tb testing.TB, o Options, sections ...Section) *Matcher {
	tb.Helper()
	m, err := New(sections, o)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// plain gives a section with 10 seconds of time for SYNs.
func plain(text string) Section {
	return Section{Steps: mustParse(text), Timeout: 10 * time.Second, Flags: Flags{Set: packet.SYN, Clear: packet.ACK}}
}

// A player reads packets from words and gives them to a Matcher.
//
// A word is a step ("7000", "7000:udp"), then perhaps ".sa" for flags (a SYN has none), "#5" for the source port (else
// each is new), "@b" for the source (else it is a), ">t" for the destination t. "+3s" is time that passes.
type player struct {
	m    *Matcher
	now  time.Time
	from uint16
}

var names = map[string]netip.Addr{
	"a": netip.MustParseAddr("192.0.2.1"),
	"b": netip.MustParseAddr("192.0.2.2"),
	"m": netip.MustParseAddr("::ffff:192.0.2.1"),
	"6": netip.MustParseAddr("2001:db8::1"),
	"7": netip.MustParseAddr("2001:db8::2"),
	"t": netip.MustParseAddr("198.51.100.1"),
	"u": netip.MustParseAddr("198.51.100.2"),
	"v": netip.MustParseAddr("::ffff:198.51.100.1"),
	"0": {},
}

func (y *player) packet(word string) packet.Packet {
	y.from++
	p := packet.Packet{Src: names["a"], SrcPort: 30000 + y.from, Flags: packet.SYN}
	end := len(word)
	for i := len(word) - 1; i > 0; i-- {
		value := word[min(i+1, end):end]
		switch word[i] {
		case '@':
			p.Src = names[value]
		case '>':
			p.Dst = names[value]
		case '#':
			n, _ := strconv.Atoi(value)
			p.SrcPort = uint16(n)
		case '.':
			p.Flags = 0
			for _, c := range value {
				p.Flags |= map[rune]packet.Flags{'s': packet.SYN, 'a': packet.ACK, 'f': packet.FIN, 'p': packet.PSH, 'e': packet.ECE}[c]
			}
		default:
			continue
		}
		end = i
	}
	step := mustParse(word[:end])[0]
	p.Proto, p.DstPort = step.Proto, step.Port
	return p
}

// play gives what matches, as "number of the packet:section", and "=port" for a dynamic one, and "@source" if it is not a.
func (y *player) play(words string) string {
	var got []string
	number := 0
	for word := range strings.FieldsSeq(words) {
		if rest, ok := strings.CutPrefix(word, "+"); ok {
			d, err := time.ParseDuration(rest)
			if err != nil {
				panic(err)
			}
			y.now = y.now.Add(d)
			continue
		}
		number++
		for _, match := range y.m.Observe(y.packet(word), y.now) {
			text := fmt.Sprintf("%d:%d", number, match.Section)
			if match.Port != 0 {
				text += fmt.Sprintf("=%d", match.Port)
			}
			if match.Src != names["a"] {
				text += "@" + match.Src.String()
			}
			got = append(got, text)
		}
	}
	return strings.Join(got, " ")
}

func TestObserve(t *testing.T) {
	t.Parallel()
	abc, day := plain("7000,8000,9000"), plain("7000,8000,9000")
	day.Timeout = 24 * time.Hour
	for name, test := range map[string]struct {
		sections []Section
		packets  string
		want     string
	}{
		"a knock":                     {[]Section{abc}, "7000 8000 9000", "3:0"},
		"too few":                     {[]Section{abc}, "8000 9000 7000 9000", ""},
		"another order":               {[]Section{abc}, "7000 9000 8000", ""},
		"one packet":                  {[]Section{plain("7000")}, "7000 7000 7001", "1:0 2:0"},
		"one packet, sent again":      {[]Section{plain("7000")}, "7000#1 +9s 7000#1 +2s 7000#1 +2m 7000#1", "1:0 4:0"},
		"no steps":                    {[]Section{{Timeout: time.Second}, {Timeout: time.Second, Digits: 1040}}, "7000 1040 1041", ""},
		"each sent again":             {[]Section{abc}, "7000#1 7000#1 8000#2 7000#1 8000#2 9000#3 9000#3 8000#2", "6:0"},
		"a late copy of the last":     {[]Section{abc}, "7000#1 8000#2 9000#3 +3s 9000#3 7000#1 8000#2", "3:0"},
		"again and again":             {[]Section{abc}, "7000 8000 9000 7000 8000 9000 7000 8000 9000", "3:0 6:0 9:0"},
		"the last alone again":        {[]Section{abc}, "7000 8000 9000 9000 8000 9000", "3:0"},
		"a copy in two minutes":       {[]Section{day}, "7000#1 8000#2 9000#3 +2m 7000#1 8000#2 9000#3", "3:0"},
		"and after":                   {[]Section{day}, "7000#1 8000#1 9000#1 +120001ms 7000#1 8000#1 9000#1", "3:0 6:0"},
		"a copy's copy":               {[]Section{day}, "7000#1 8000#1 +80s 7000#1 8000#1 +80s 7000#1 8000#1 9000#1", "7:0"},
		"longer than the time":        {[]Section{abc}, "7000#1 8000#1 9000#1 +10001ms 7000#1 8000#1 9000#1 +2m 7000#1 8000#1 9000#1", "3:0 9:0"},
		"short beside long":           {[]Section{abc, plain("1,2"), day}, "7000#1 8000#1 9000#1 +121s 7000#1 8000#1 9000#1", "3:0 3:2 6:0 6:2"},
		"twice from one source port":  {[]Section{plain("102,100,100,103")}, "102#1 100#1 100#1 103#1", ""},
		"no source ports":             {[]Section{abc}, "7000#0 8000#0 9000#0 9000#0", "3:0"},
		"the same port":               {[]Section{plain("100,100")}, "100#1 100#1 100#2 100#2 100#3 100#4", "3:0 6:0"},
		"the same port, no source":    {[]Section{plain("100,100")}, "100#0 100#0", "2:0"},
		"two strays":                  {[]Section{abc}, "7000 1 8000 2 9000", "5:0"},
		"the same strays again":       {[]Section{abc}, "7000 1#1 8000 1#1 1#1 2#2 2#2 9000", "8:0"},
		"three strays":                {[]Section{abc}, "7000 1 8000 2 3 9000", ""},
		"strays without source port":  {[]Section{abc}, "7000 1#0 8000 1#0 1#0 9000", ""},
		"strays around":               {[]Section{abc}, "1 2 3 7000 8000 9000 4 5 6", "6:0"},
		"many strays, then a knock":   {[]Section{abc}, strings.Repeat("1 ", 100) + "7000 8000 9000", "103:0"},
		"a step too often":            {[]Section{abc}, "7000 7000 8000 8000 9000", "5:0"},
		"begun, then anew":            {[]Section{abc}, "7000 8000 7000 8000 9000", "5:0"},
		"in time":                     {[]Section{abc}, "7000 +5s 8000 +5s 9000", "3:0"},
		"too late":                    {[]Section{abc}, "7000 +5s 8000 +5001ms 9000", ""},
		"too late, but the rest":      {[]Section{abc}, "7000 +9s 7000 8000 +9s 9000", "4:0"},
		"the clock goes back":         {[]Section{abc}, "7000 +-1h 8000 +-1h 9000", "3:0"},
		"two sources":                 {[]Section{abc}, "7000@a 8000@b 9000@a 7000@b 8000@a 9000@a 8000@b 9000@b", "6:0 8:0@192.0.2.2"},
		"IPv6":                        {[]Section{abc}, "7000@6 7000@7 8000@6 9000@7 9000@6", "5:0@2001:db8::1"},
		"IPv4 in IPv6":                {[]Section{abc}, "7000@m 8000@a 9000@m", "3:0"},
		"no source":                   {[]Section{abc}, "7000@0 8000@0 9000@0", ""},
		"two behind one address":      {[]Section{abc}, "7000 7000 8000 8000 9000 9000", "5:0 6:0"},
		"two behind one, nested":      {[]Section{abc, plain("1,2,3")}, "7000 1 8000 2 9000 3", "5:0 6:1"},
		"UDP":                         {[]Section{plain("1:udp,2,3:udp")}, "1:udp 2 3:udp", "3:0"},
		"UDP is not TCP":              {[]Section{plain("1:udp,2,3:udp")}, "1 2 3:udp 1:udp 2:udp 3:udp", ""},
		"UDP is no stray for TCP":     {[]Section{abc}, "7000 1:udp 2:udp 3:udp 8000 9000", "6:0"},
		"TCP is no stray for UDP":     {[]Section{plain("7:udp,8:udp")}, "7:udp 1 2 3 8:udp", "5:0"},
		"both are for both":           {[]Section{plain("7:udp,8")}, "7:udp 1 2:udp 8", ""},
		"other flags are no strays":   {[]Section{abc}, "7000.s 1.a 2.sa 3.f 4.p 8000.se 9000.s", "7:0"},
		"other flags":                 {[]Section{abc}, "7000.a 8000.s 9000.s 7000.s 8000.sa 9000.s", ""},
		"UDP has no flags":            {[]Section{plain("7:udp,8:udp")}, "7:udp.a 8:udp.f", "2:0"},
		"extension":                   {[]Section{abc, plain("7000,8000,9000,10000")}, "7000 8000 9000 10000", "3:0 4:1"},
		"contained":                   {[]Section{plain("8000,9000"), plain("7000,8000,9000,10000")}, "7000 8000 9000 10000", "3:0 4:1"},
		"same end":                    {[]Section{plain("8000,9000"), abc}, "7000 8000 9000 9000", "3:0 3:1"},
		"same end, the other way":     {[]Section{abc, plain("8000,9000")}, "7000 8000 9000 9000 8000 9000", "3:0 3:1 6:1"},
		"two of the same":             {[]Section{abc, abc}, "7000 8000 9000 9000 7000 7000 8000 8000 9000 9000", "3:0 3:1 9:0 9:1 10:0 10:1"},
		"open and close":              {[]Section{plain("102,100,100,103"), plain("103,100,100,102")}, "102 100 100 103 100 100 102 103 100 100 102", "4:0 11:1"},
		"open again and again":        {[]Section{plain("102,100,100,103"), plain("103,100,100,102")}, strings.Repeat("102 100 100 103 ", 4), "4:0 8:0 12:0 16:0"},
		"close again and again":       {[]Section{plain("102,100,100,103"), plain("103,100,100,102")}, strings.Repeat("103 100 100 102 ", 4), "4:1 8:1 12:1 16:1"},
		"open, close, open":           {[]Section{plain("102,100,100,103"), plain("103,100,100,102")}, "102 100 100 103 103 100 100 102 102 100 100 103", "4:0 8:1 12:0"},
		"open and close, copies":      {[]Section{plain("7,8,9"), plain("9,8,7")}, "7#1 8#2 9#3 9#3 8#2 7#1 9#4 8#5 7#6 7#6 9#4", "3:0 9:1"},
		"used by others is a stray":   {[]Section{abc, plain("1,2,3")}, "7000 1 2 3 8000 9000", "4:1"},
		"a stray of another is usual": {[]Section{abc, plain("1")}, "7000 1 1 8000 9000", "2:1 3:1 5:0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := &player{m: mustNew(t, Options{}, test.sections...), now: start}
			if got := y.play(test.packets); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// One connection is many packets; each section counts the first that fits it.
func TestFlagsOfSections(t *testing.T) {
	t.Parallel()
	syn, fin, all := plain("1,2"), plain("1,2"), plain("1,2")
	fin.Flags, all.Flags = Flags{Set: packet.FIN}, Flags{}
	for name, test := range map[string]struct{ packets, want string }{
		"SYN":                {"1.s 2.s", "2:0 2:2"},
		"FIN":                {"1.f 2.f", "2:1 2:2"},
		"ACK":                {"1.a 2.a", "2:2"},
		"connections":        {"1.s#1 1.a#1 1.pa#1 1.fa#1 2.s#2 2.a#2 2.pa#2 2.fa#2 1.a#1", "5:0 5:2 8:1"},
		"their strays":       {"1.s 3.f 4.f 2.s", "4:0"},
		"one stray each":     {"1.s 3.f 4.s 2.s", "4:0"},
		"FIN of SYN's":       {"1.s#1 2.s#2 1.f#1 2.f#2", "2:0 2:2 4:1"},
		"each is known once": {"1.s#1 1.f#1 1.s#1 1.f#1 2.s#2 2.s#2 2.f#2 2.f#2", "5:0 5:2 7:1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := &player{m: mustNew(t, Options{}, syn, fin, all), now: start}
			if got := y.play(test.packets); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestTarget(t *testing.T) {
	t.Parallel()
	own, one, other := plain("1,2"), plain("1,2"), plain("1,3")
	one.Target, other.Target = names["v"], names["u"]
	for name, test := range map[string]struct{ packets, want string }{
		"to no target": {"1>a 2>a 1 2 1 3", "2:0 4:0"},
		"to one":       {"1>t 2>t 1>v 2>t", "2:1 4:1"},
		"to another":   {"1>u 2>u 3>u", "3:2"},
		"apart":        {"1>t 2>u 2>a 3>u", ""},
		"no strays":    {"1>t 3>u 4>u 5>a 6>a 2>t", "6:1"},
		"same ports":   {"1#1>t 1#1>a 2#2>a 2#2>t", "3:0 4:1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := &player{m: mustNew(t, Options{}, own, one, other), now: start}
			if got := y.play(test.packets); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// What goes to a Target that is ours counts for the sections without one too; each sort has its own tries and copies.
func TestOurTarget(t *testing.T) {
	t.Parallel()
	here, own, other := plain("1,2"), plain("3,2"), plain("1,2")
	own.Target, other.Target = names["t"], names["u"]
	ours := func(a netip.Addr) bool { return a == names["t"] }
	for name, test := range map[string]struct {
		packets, want string
		stats         Stats
	}{
		"to no target":         {"1 2", "2:0", Stats{Tries: 2, Matches: 1, Sources: 1}},
		"to ours":              {"1>t 2>t", "2:0", Stats{Tries: 2, Matches: 1, Sources: 1}},
		"to ours and any":      {"1>t 2 1>v 2>a", "2:0 4:0", Stats{Tries: 4, Matches: 2, Sources: 1}},
		"both, in their order": {"3>t 1>t 2>t", "3:0 3:1", Stats{Tries: 3, Matches: 2, Sources: 2}},
		"not ours":             {"1>u 2 1 2>u", "4:2", Stats{Ignored: 1, Tries: 3, Matches: 1, Sources: 2}},
		"a copy for one":       {"3>t#1 1>t#2 1#2 3#1 2>t#3 2#3", "5:0 5:1", Stats{Tries: 4, Duplicates: 2, Matches: 2, Sources: 2}},
		"of no section":        {"2>t 1.a>t 5>t", "", Stats{Ignored: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := &player{m: mustNew(t, Options{Ours: ours}, here, own, other), now: start}
			if got := y.play(test.packets); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if diff := cmp.Diff(test.stats, y.m.Stats()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			y.m.table.check(t)
		})
	}
}

// A one-time sequence counts from when the one before was used.
func TestReplace(t *testing.T) {
	t.Parallel()
	y := &player{m: mustNew(t, Options{}, plain("1,2,3"), plain("7,8")), now: start}
	for _, step := range []struct{ packets, want, then string }{
		{"4 5 1 2 3", "5:0", "4,5,6"},
		{"6 1 2 3 4 5 7", "", "5:udp,4"},
		{"8 5:udp 4 5:udp", "1:1 3:0", "5:udp,4"},
		{"4 5:udp 1 4 7", "4:0", ""},
		{"5:udp 4 1 2 3 8 7 8", "8:1", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20"},
		{"1 2 3 4 5 6 7", "", ""},
	} {
		got := y.play(step.packets)
		if got != step.want {
			t.Fatalf("%s: got %q, want %q", step.packets, got, step.want)
		}
		var next []Step
		if step.then != "" {
			next = mustParse(step.then)
		}
		y.m.Replace(0, next)
	}
	long := mustParse("1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32")
	y.m.Replace(0, long)
	long[0].Port = 99 // it is the caller's
	var words []string
	for i := range 32 {
		words = append(words, strconv.Itoa(i+1), "100")
	}
	if got := y.play(strings.Join(words, " ")); got != "15:1 63:0" {
		t.Errorf("a long sequence with a stray between each two: got %q", got)
	}
}

func TestReplacePanics(t *testing.T) {
	t.Parallel()
	m := mustNew(t, Options{}, plain("1,2,3"))
	for name, replace := range map[string]func(){
		"section": func() { m.Replace(1, nil) },
		"long":    func() { m.Replace(0, make([]Step, MaxSteps+1)) },
		"step":    func() { m.Replace(0, []Step{{packet.ICMP, 1}}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			replace()
		}()
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	with := func(change func(s *Section)) []Section {
		s := plain("1,2")
		change(&s)
		return []Section{plain("1"), s}
	}
	var many []Section
	for i := range 64 {
		s := plain("1")
		s.Flags = Flags{Set: packet.Flags(i)}
		many = append(many, s)
	}
	for name, test := range map[string]struct {
		sections []Section
		o        Options
		want     string
	}{
		"sources":  {nil, Options{MaxSources: -1}, "-1 is no number of sources: want 1..1048576"},
		"time":     {with(func(s *Section) { s.Timeout = 0 }), Options{}, "failed to take in section 2: 0s is no time for a sequence: want more than 0"},
		"flags":    {with(func(s *Section) { s.Flags = Flags{2, 2} }), Options{}, "failed to take in section 2: a TCP flag is both wanted and excluded"},
		"digits":   {with(func(s *Section) { s.Digits = 65527 }), Options{}, "failed to take in section 2: 65527 is no port for digit 0: want 1..65526"},
		"steps":    {with(func(s *Section) { s.Steps = make([]Step, 33) }), Options{}, "failed to take in section 2: a sequence of 33 ports is too long: want at most 32"},
		"port 0":   {with(func(s *Section) { s.Steps[1].Port = 0 }), Options{}, "failed to take in section 2: port 0 of protocol 6 is no step: want TCP or UDP, 1..65535"},
		"protocol": {with(func(s *Section) { s.Steps[1].Proto = packet.ICMP }), Options{}, "failed to take in section 2: port 2 of protocol 1 is no step: want TCP or UDP, 1..65535"},
		"kinds":    {many, Options{}, "64 different settings of TCP flags are too many: want at most 63"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := New(test.sections, test.o)
			if m != nil || err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if _, err := New(many[1:], Options{}); err != nil {
		t.Errorf("63 kinds: %v", err)
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	y := &player{m: mustNew(t, Options{MaxSources: 2}, plain("1,2")), now: start}
	y.play("2 3 1 1#1 1#1 2 2:udp 5.a 1@b 2@b +1s 1@6 +121s 1@7 1@7")
	want := Stats{Ignored: 4, Duplicates: 1, Tries: 8, Matches: 2, Evicted: 1, Sources: 1}
	if diff := cmp.Diff(want, y.m.Stats()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
