package firewall

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseListing(t *testing.T) {
	t.Parallel()
	out := `# Warning: iptables-legacy tables present, use iptables-legacy to see them
-P INPUT ACCEPT
-N KNOCK
-A INPUT -m comment --comment "two words -j KNOCK" -j ACCEPT
-A INPUT -m comment --comment "a\"b \\ c" -j ACCEPT
-A INPUT -m comment --comment "" -g KNOCK
-A INPUT -m comment --comment "two lines
-A INPUT -j KNOCK" -j ACCEPT
-A KNOCK -j RETURN`
	want := []line{
		{"-P", "INPUT", "ACCEPT"},
		{"-N", "KNOCK"},
		{"-A", "INPUT", "-m", "comment", "--comment", "two words -j KNOCK", "-j", "ACCEPT"},
		{"-A", "INPUT", "-m", "comment", "--comment", `a"b \ c`, "-j", "ACCEPT"},
		{"-A", "INPUT", "-m", "comment", "--comment", "", "-g", "KNOCK"},
		{"-A", "INPUT", "-m", "comment", "--comment", "two lines\n-A INPUT -j KNOCK", "-j", "ACCEPT"},
		{"-A", "KNOCK", "-j", "RETURN"},
	}
	if diff := cmp.Diff(want, parseListing(out)); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// kinds is what a line of a listing is taken for, with KNOCK as our chain.
type kinds struct {
	Chain, Jump, LeadsTo, Ours bool
	Entry                      string
}

func TestLineKinds(t *testing.T) {
	t.Parallel()
	in := newPlaces("KNOCK").in
	const tail = " -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT"
	const timed = " -p tcp -m tcp --dport 22 -m time --datestop 2026-11-21T12:34:55 -m comment --comment knockdaemon -j ACCEPT"
	const drops = " -m conntrack --ctstate NEW -m time --datestop 2026-11-21T12:34:55 -m comment --comment knockdaemon -j DROP"
	tests := []struct {
		line string
		want kinds
	}{
		{"-P INPUT DROP", kinds{}},
		{"-N KNOCK", kinds{Chain: true}},
		{"-N KNOCKS", kinds{}},
		{"-N", kinds{}},
		{"-A", kinds{}},
		{"-A INPUT -m comment --comment knockdaemon -j KNOCK", kinds{Jump: true, LeadsTo: true}},
		{"-A FORWARD -m comment --comment knockdaemon -j KNOCK", kinds{LeadsTo: true, Ours: true}},
		{"-A INPUT -i eth0 -m comment --comment knockdaemon -j KNOCK", kinds{LeadsTo: true, Ours: true}},
		{"-A INPUT -j KNOCK", kinds{LeadsTo: true}},
		{"-A INPUT -g KNOCK", kinds{LeadsTo: true}},
		{"-A INPUT -j KNOCKS", kinds{}},
		{`-A INPUT -m comment --comment "-j KNOCK" -j ACCEPT`, kinds{}},
		{`-A INPUT -m comment --comment "--comment knockdaemon" -j ACCEPT`, kinds{}},
		{"-A KNOCK -s 192.0.2.1/32" + tail, kinds{Ours: true, Entry: "192.0.2.1 22/tcp"}},
		{"-A INPUT -m comment --comment knockdaemon -j DOORS", kinds{}},
		{"-A INPUT -m comment --comment knockdaemon -j ACCEPT", kinds{Ours: true}},
		{"-A KNOCK -s 192.0.2.1/32" + timed, kinds{Ours: true, Entry: "192.0.2.1 22/tcp until 2026-11-21T12:34:56Z"}},
		{"-A KNOCK -s 192.0.2.1/32" + drops, kinds{Ours: true, Entry: "drop 192.0.2.1 until 2026-11-21T12:34:56Z"}},
		{"-A KNOCK -s 192.0.2.1/32 -m conntrack --ctstate NEW -m comment --comment knockdaemon -j DROP", kinds{Ours: true, Entry: "drop 192.0.2.1"}},
		{"-A KNOCK -s 192.0.2.1/32 -m comment --comment knockdaemon -j DROP", kinds{Ours: true}},
		{"-A KNOCK -s 192.0.2.1/32 -p udp -m udp --dport 22 -m comment --comment knockdaemon -j ACCEPT", kinds{Ours: true, Entry: "192.0.2.1 22/udp"}},
		{"-A KNOCK -s 192.0.2.1/32 -p udp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT", kinds{Ours: true}},
		{"-A KNOCK -s 192.0.2.1/32 -p sctp -m sctp --dport 22 -m comment --comment knockdaemon -j ACCEPT", kinds{Ours: true}},
		{"-A KNOCK" + throughSpec, kinds{Ours: true}},
		{"-A KNOCK" + awaySpec, kinds{Ours: true}},
		{"-A KNOCK -s 192.0.2.1/32 -m comment --comment knockdaemon", kinds{Ours: true}},
		{"-A KNOCK -s 192.0.2.1/32 -p tcp -m tcp --dport 22 -m time --datestop soon -m comment --comment knockdaemon -j ACCEPT", kinds{Ours: true}},
		{"-A KNOCK -s 192.0.2.1/32 -p tcp -m tcp --dport 22 -m time --datestop 2038-01-19T03:14:08 -m comment --comment knockdaemon -j ACCEPT", kinds{Ours: true}},
		{"-A KNOCK -s 192.0.2.1/32 -p tcp -m tcp --dport 22 -m time --timestart 01:00:00 --datestop 2026-11-21T12:34:55 -m comment --comment knockdaemon -j ACCEPT", kinds{Ours: true}},
		{"-A KNOCK -s 192.0.2.1/32 -p tcp -m tcp --dport 22 -m time --datestop 2026-11-21T12:34:55 --kerneltz -m comment --comment knockdaemon -j ACCEPT", kinds{Ours: true}},
		{"-A KNOCK -s 192.0.2.0/24" + tail, kinds{Ours: true}},
		{"-A KNOCK -s mask/32" + tail, kinds{Ours: true}},
		{"-A KNOCK -s 2001:db8::1/128" + tail, kinds{Ours: true}},
		{"-A KNOCK -d 192.0.2.1/32" + tail, kinds{Ours: true}},
		{"-A KNOCK -s 192.0.2.1/32 -p tcp -m tcp --dport 22:23 -m comment --comment knockdaemon -j ACCEPT", kinds{Ours: true}},
		{"-A KNOCK -s 192.0.2.1/32 -p tcp -m tcp --dport 22 -m comment --comment other -j ACCEPT", kinds{}},
		{"-A KNOCK -s 192.0.2.1/32 -p tcp -m tcp --dport 22 -j ACCEPT", kinds{}},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			t.Parallel()
			l := parseListing(tt.line)[0]
			got := kinds{Chain: l.isChain("KNOCK"), Jump: in.isJump(l, "KNOCK"), LeadsTo: l.leadsTo("KNOCK"), Ours: in.ours(l)}
			if e, ok := in.entry(l); ok {
				got.Entry = entryText(e)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("line taken for (-want +got):\n%s", diff)
			}
		})
	}
}

// printed gives a line as iptables prints it.
func printed(l line) string {
	quoted := make([]string, len(l))
	for i, w := range l {
		quoted[i] = w
		if w == "" || strings.ContainsAny(w, " \n\"\\'") {
			quoted[i] = `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`, `'`, `\'`).Replace(w) + `"`
		}
	}
	return strings.Join(quoted, " ") + "\n"
}

// FuzzEntry puts a rule into a listing, between rules with any comment, and
// reads it back, from each place that it is in.
func FuzzEntry(f *testing.F) {
	f.Add(uint32(0xc0000201), uint16(22), uint8(Accept), false, uint32(0), uint16(0), int64(0), "")
	f.Add(uint32(0xc0000201), uint16(53), uint8(Accept), true, uint32(0), uint16(0), int64(5), "")
	f.Add(uint32(0xc0000201), uint16(0), uint8(Drop), false, uint32(0), uint16(0), int64(1795264496), "two lines\n-A INPUT -j KNOCK")
	f.Add(uint32(0xc0000201), uint16(2222), uint8(Forward), false, uint32(0x0a000005), uint16(22), int64(1795264496), "")
	f.Add(uint32(0xc0000201), uint16(53), uint8(Forward), true, uint32(0x0a000005), uint16(53), int64(0), "'")
	f.Add(uint32(0x00000000), uint16(65535), uint8(Accept), false, uint32(0), uint16(0), int64(2), `"\'`)
	f.Add(uint32(0xffffffff), uint16(0), uint8(Drop), false, uint32(0), uint16(0), int64(1<<31-1), "\\")
	f.Add(uint32(0xffffffff), uint16(0), uint8(Drop), false, uint32(0), uint16(0), int64(1<<31), "\\")
	addr := func(n uint32) netip.Addr { return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n))) }
	f.Fuzz(func(t *testing.T, src uint32, port uint16, action uint8, udp bool, to uint32, toPort uint16, end int64, text string) {
		e := Entry{Rule: Rule{Src: addr(src), Port: port, Action: Action(action % 3)}}
		if udp {
			e.Proto = UDP
		}
		if e.Action == Forward {
			e.To = netip.AddrPortFrom(addr(to), toPort)
		}
		if e.Action == Drop {
			e.Port, e.Proto = 0, TCP
		}
		if e.Check() != nil {
			return
		}
		want := e
		if end != 0 && end < 1<<40 && end > -1<<40 {
			e.End = time.Unix(end, 999).UTC()
			want.End = time.Unix(max(end, 2), 0).UTC()
			if end >= 1<<31 {
				want.End = time.Time{}
			}
		}
		for _, p := range newPlaces("KNOCK").of(e.Rule) {
			other := line{"-A", p.base, "-m", "comment", "--comment", text, "-j", "ACCEPT"}
			rule := append(line{"-A", p.chain}, p.ruleArgs(e, true)...)
			lines := parseListing(printed(other) + printed(rule) + printed(other))
			if diff := cmp.Diff([]line{other, rule, other}, lines); diff != "" {
				t.Fatalf("lines (-want +got):\n%s", diff)
			}
			if got, ok := p.entry(lines[1]); !ok || got != want {
				t.Errorf("got %v %v, want %v", got, ok, want)
			}
		}
	})
}

// FuzzListing has a listing of anything: what is taken for a rule of ours has the
// very words that it would be made with.
func FuzzListing(f *testing.F) {
	f.Add(ready + "-A KNOCK" + spec + "\n-A KNOCK" + timedSpec + "\n-A KNOCK" + dropSpec + "\n")
	f.Add("-A KNOCK-FORWARD" + throughSpec + "\n-A KNOCK" + awaySpec + "\n")
	f.Add("-")
	f.Add("-A KNOCK -s \"")
	f.Add("# a\n-A \"\\")
	f.Fuzz(func(t *testing.T, out string) {
		lines := parseListing(out)
		reaches(lines, "INPUT", "KNOCK")
		s := newPlaces("KNOCK")
		for _, l := range lines {
			for _, p := range []*place{s.in, s.forward, s.nat} {
				e, ok := p.entry(l)
				if ok && !slices.Equal(l[2:], p.ruleArgs(e, true)) {
					t.Errorf("%q is taken for %s", l, entryText(e))
				}
				p.ours(l)
			}
			if strings.ContainsAny(l[0], " \n\"\\'") {
				continue // printed in quotes it would be no option
			}
			if back := parseListing(printed(l)); !slices.Equal(back[0], l) {
				t.Errorf("%q printed and read back: %q", l, back[0])
			}
		}
	})
}
