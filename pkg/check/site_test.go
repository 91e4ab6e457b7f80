package check

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/packet"
)

// siteOf is a host with the classic knock ports, one of whose ports knocks may open.
func siteOf(listing string) *site {
	return &site{
		table: parseTable(listing), world: outside, program: "iptables", chain: "KNOCK", portMin: 745, sealed: true,
		lines: packet.Options{Prefix: "DENY ", Head: packet.HeadSyslog}, allowed: []config.PortProto{tcp(22)},
	}
}

func udp(port uint16) config.PortProto { return config.PortProto{Port: port, Proto: packet.UDP} }

func dump(findings []finding) string {
	var b strings.Builder
	for _, f := range findings {
		b.WriteString(f.line(false))
	}
	return b.String()
}

// Each file holds a listing, a line of dashes, and what is to be said of it.
func TestRuleSets(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/rules/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rule sets: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			listing, want, _ := strings.Cut(string(data), "---\n")
			s := siteOf(listing)
			knocks, _ := s.knocks()
			got := dump(append(append(knocks, s.jump()...), s.access()...))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// What else than the rules matters: nft's own tables, the settings, IPv6, a second variant of iptables.
func TestSite(t *testing.T) {
	t.Parallel()
	const (
		start   = "-P INPUT DROP -c 0 0\n"
		logged  = `-A INPUT -p tcp -m tcp --dport 745:1000 -c 8 480 -j LOG --log-prefix "DENY "` + "\n"
		nflog   = `-A INPUT -p tcp -m tcp --dport 745:1000 -c 8 480 -j NFLOG --nflog-prefix "DENY " --nflog-group 1` + "\n"
		grouped = `-A INPUT -p tcp -m tcp --dport 745:1000 -c 8 480 -j NFLOG --nflog-group 5` + "\n"
		opened  = "-A INPUT -p tcp -m tcp --dport 22 -c 0 0 -j ACCEPT\n"
	)
	knocks := func(s *site) []finding {
		findings, _ := s.knocks()
		return findings
	}
	tests := map[string]struct {
		listing string
		set     func(s *site)
		look    func(s *site) []finding
		want    string
	}{
		"a table of nft's may log": {
			start, func(s *site) { s.others = []nftTable{{family: "inet", name: "x", input: true}} }, knocks, `ok: the firewall drops TCP 745..1000
note: perhaps TCP 745..1000 is not logged, so no knock is seen
  fix: iptables -A INPUT -p tcp --syn --dport 745:1000 -j LOG --log-prefix "DENY "
`,
		},
		"a table of nft's logs": {
			start, func(s *site) {
				s.others = []nftTable{{family: "inet", name: "x", input: true, prefixes: []string{"DENY"}}}
			}, knocks,
			"ok: the firewall drops TCP 745..1000\n",
		},
		"a table of nft's may close": {
			start + opened, func(s *site) { s.others = []nftTable{{family: "inet", name: "x", input: true}} }, (*site).access, `note: perhaps TCP 22 is open to everybody, by INPUT rule 1 (-p tcp -m tcp --dport 22 -j ACCEPT): knocking protects nothing
  fix: close it once a knock has let you in (examples/firewall.sh without -k does)
`,
		},
		"other knock ports": {start + logged, func(s *site) { s.portMin = 900 }, knocks, `ok: the firewall drops TCP 900..1000 and logs it with prefix "DENY "
ok: the firewall drops TCP 1001..1155
problem: TCP 1001..1155 is not logged, so no knock is seen
  fix: iptables -A INPUT -p tcp --syn --dport 1001:1155 -j LOG --log-prefix "DENY "
`},
		"any prefix of a regular expression": {start + logged, func(s *site) { s.lines = packet.Options{Regexp: "x", Prefix: "OTHER"} }, knocks,
			"ok: the firewall drops TCP 745..1000 and logs it\n"},
		"ulogd": {start + nflog, func(s *site) { s.lines.Head = packet.HeadUlogd }, knocks, "ok: the firewall drops TCP 745..1000 and logs it with prefix \"DENY \"\n"},
		"ulogd, and the kernel logs": {start + logged, func(s *site) { s.lines.Head = packet.HeadUlogd }, knocks, `ok: the firewall drops TCP 745..1000
problem: TCP 745..1000 is logged by the kernel, and not for ulogd, by INPUT rule 1 (-p tcp -m tcp --dport 745:1000 -j LOG --log-prefix "DENY ")
  fix: use the target NFLOG, or set log-head = syslog
`},
		"group": {start + grouped, func(s *site) { s.from = config.Source{NFLOG: true, Group: 5} }, knocks, "ok: the firewall drops TCP 745..1000 and sends it to NFLOG group 5\n"},
		"group 0 is not listed": {start + strings.Replace(grouped, " --nflog-group 5", "", 1), func(s *site) { s.from = config.Source{NFLOG: true} }, knocks,
			"ok: the firewall drops TCP 745..1000 and sends it to NFLOG group 0\n"},
		"another group": {start + nflog, func(s *site) { s.from = config.Source{NFLOG: true, Group: 5} }, knocks, `ok: the firewall drops TCP 745..1000
problem: TCP 745..1000 is logged for NFLOG group 1, and nflog is 5, by INPUT rule 1 (-p tcp -m tcp --dport 745:1000 -j NFLOG --nflog-prefix "DENY " --nflog-group 1)
  fix: use the target NFLOG --nflog-group 5 there
`},
		"group, and the kernel logs": {start + logged, func(s *site) { s.from = config.Source{NFLOG: true, Group: 5} }, knocks, `ok: the firewall drops TCP 745..1000
problem: TCP 745..1000 is logged by the kernel or for ulogd, and not sent to NFLOG group 5, by INPUT rule 1 (-p tcp -m tcp --dport 745:1000 -j LOG --log-prefix "DENY ")
  fix: use the target NFLOG --nflog-group 5 there
`},
		"group, cut too short": {start + strings.Replace(grouped, "--nflog-group 5", "--nflog-group 5 --nflog-size 20", 1),
			func(s *site) { s.from = config.Source{NFLOG: true, Group: 5} }, knocks, `ok: the firewall drops TCP 745..1000
problem: TCP 745..1000 is logged with 20 bytes of each packet, and a knock takes 40, by INPUT rule 1 (-p tcp -m tcp --dport 745:1000 -j NFLOG --nflog-group 5 --nflog-size 20)
  fix: use the target NFLOG --nflog-group 5 there
`},
		"group, and nothing is sent": {start, func(s *site) { s.from = config.Source{NFLOG: true, Group: 5} }, knocks, `ok: the firewall drops TCP 745..1000
problem: TCP 745..1000 is not sent to NFLOG group 5, so no knock is seen
  fix: iptables -A INPUT -p tcp --syn --dport 745:1000 -j NFLOG --nflog-group 5
`},
		"group, and a table of nft's sends": {start, func(s *site) {
			s.from = config.Source{NFLOG: true, Group: 5}
			s.others = []nftTable{{family: "inet", name: "x", input: true, groups: []uint16{4, 5}}}
		}, knocks, "ok: the firewall drops TCP 745..1000\n"},
		"kmsg, and it goes to ulogd": {start + nflog, func(s *site) { s.from, s.lines.Head = config.Source{Kmsg: true}, packet.HeadDmesg }, knocks, `ok: the firewall drops TCP 745..1000
problem: TCP 745..1000 is logged for ulogd to write, by INPUT rule 1 (-p tcp -m tcp --dport 745:1000 -j NFLOG --nflog-prefix "DENY " --nflog-group 1)
  fix: use the target LOG, or set nflog to the group in place of kmsg
`},
		"interface": {start, func(s *site) { s.from.Interface = "eth0" }, knocks, "ok: the firewall drops TCP 745..1000\n"},
		"interface, and what answers": {"-P INPUT ACCEPT\n", func(s *site) { s.from.Interface = "eth0" }, knocks, `problem: TCP 745..1000 is let in by the policy of INPUT: what answers there tells strangers of this host
  fix: drop the knock ports before that (examples/firewall.sh does)
`},
		"interface, and a limit drops": {start + "-A INPUT -p tcp -m limit --limit 5/sec -j DROP\n", func(s *site) { s.from.Interface = "eth0" }, knocks,
			"ok: the firewall drops TCP 745..1000\n"},
		"sequences alone": {start + opened, func(s *site) { s.sealed, s.steps = false, []config.PortProto{tcp(22), tcp(7000), tcp(8000)} }, knocks, `note: TCP 22 is let in by INPUT rule 1 (-p tcp -m tcp --dport 22 -j ACCEPT): what answers there tells strangers of this host
problem: TCP 22, 7000, 8000 is not logged, so no knock is seen
  fix: iptables -I INPUT 1 -p tcp --syn -m multiport --dports 22,7000,8000 -j LOG --log-prefix "DENY "
ok: the firewall drops TCP 7000, 8000
`},
		"steps of UDP": {start + logged, func(s *site) { s.sealed, s.steps = false, []config.PortProto{tcp(800), udp(800), udp(900), udp(901)} }, knocks,
			`ok: the firewall drops TCP 800 and logs it with prefix "DENY "
ok: the firewall drops UDP 800, 900..901
problem: UDP 800, 900..901 is not logged, so no knock is seen
  fix: iptables -A INPUT -p udp -m multiport --dports 800,900:901 -j LOG --log-prefix "DENY "
`},
		"steps of UDP that are logged": {
			start + logged + `-A INPUT -p udp -m udp --dport 800 -c 0 0 -j LOG --log-prefix "DENY "` + "\n",
			func(s *site) { s.steps = []config.PortProto{udp(800)} }, knocks, `ok: the firewall drops TCP 745..1000 and logs it with prefix "DENY "
ok: the firewall drops UDP 800 and logs it with prefix "DENY "
`,
		},
		"steps of UDP that are answered": {
			start + logged + "-A INPUT -p udp -j REJECT\n", func(s *site) { s.steps = []config.PortProto{udp(800)} }, knocks,
			`ok: the firewall drops TCP 745..1000 and logs it with prefix "DENY "
note: UDP 800 is refused by INPUT rule 2 (-p udp -j REJECT): the answer tells strangers of this host
problem: UDP 800 is not logged, so no knock is seen
  fix: iptables -I INPUT 2 -p udp --dport 800 -j LOG --log-prefix "DENY "
`,
		},
		"steps of UDP to a group": {
			start + grouped, func(s *site) { s.from, s.steps = config.Source{NFLOG: true, Group: 5}, []config.PortProto{udp(800)} }, knocks,
			`ok: the firewall drops TCP 745..1000 and sends it to NFLOG group 5
ok: the firewall drops UDP 800
problem: UDP 800 is not sent to NFLOG group 5, so no knock is seen
  fix: iptables -A INPUT -p udp --dport 800 -j NFLOG --nflog-group 5
`,
		},
		"steps of UDP, by an interface": {start, func(s *site) {
			s.sealed, s.from.Interface, s.steps = false, "eth0", []config.PortProto{tcp(800), udp(800)}
		}, knocks, "ok: the firewall drops TCP 800\nok: the firewall drops UDP 800\n"},
		"many steps": {start, func(s *site) {
			s.sealed = false
			for port := range uint16(40) {
				s.steps = append(s.steps, tcp(7000+port+port/10)) // four runs of ten
			}
			for port := range uint16(17) {
				s.steps = append(s.steps, udp(9000+2*port))
			}
		}, knocks, `ok: the firewall drops TCP 7000..7009, 7011..7020, 7022..7031, 7033..7042
problem: TCP 7000..7009, 7011..7020, 7022..7031, 7033..7042 is not logged, so no knock is seen
  fix: iptables -A INPUT -p tcp --syn -m multiport --dports 7000:7009,7011:7020,7022:7031,7033:7042 -j LOG --log-prefix "DENY "
ok: the firewall drops UDP 9000, 9002, 9004, 9006, 9008, 9010, 9012, 9014, 9016, 9018, 9020, 9022, 9024, 9026, 9028, 9030, 9032
problem: UDP 9000, 9002, 9004, 9006, 9008, 9010, 9012, 9014, 9016, 9018, 9020, 9022, 9024, 9026, 9028, 9030, 9032 is not logged, so no knock is seen
  fix: iptables -A INPUT -p udp -m multiport --dports 9000,9002,9004,9006,9008,9010,9012,9014,9016,9018,9020,9022,9024,9026,9028 -j LOG --log-prefix "DENY "; iptables -A INPUT -p udp -m multiport --dports 9030,9032 -j LOG --log-prefix "DENY "
`},
		"an end in another chain": {
			start + "-N web\n-A INPUT -p tcp -m tcp --dport 1:1023 -j web\n-A web -j DROP\n",
			func(s *site) { s.sealed, s.steps = false, []config.PortProto{tcp(80), tcp(7000)} }, knocks,
			`ok: the firewall drops TCP 80, 7000
problem: TCP 80, 7000 is not logged, so no knock is seen
  fix: iptables -I INPUT 1 -p tcp --syn -m multiport --dports 80,7000 -j LOG --log-prefix "DENY "
`,
		},
		"a port of UDP": {start + opened, func(s *site) { s.allowed = []config.PortProto{udp(22)} }, (*site).access, `ok: UDP 22 is closed to those who have not knocked
problem: established connections to UDP 22 are cut off by the policy of INPUT when the port closes again
  fix: iptables -I INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
`},
		"sequences beside keys": {start + logged, func(s *site) { s.steps = []config.PortProto{tcp(800), tcp(7000)} }, knocks, `ok: the firewall drops TCP 745..1000 and logs it with prefix "DENY "
ok: the firewall drops TCP 7000
problem: TCP 7000 is not logged, so no knock is seen
  fix: iptables -A INPUT -p tcp --syn --dport 7000 -j LOG --log-prefix "DENY "
`},
		"straight in INPUT": {start, func(s *site) { s.chain = input }, (*site).jump, "ok: knockdaemon puts its rules at the top of INPUT\n"},
		"our rule straight in INPUT": {
			start + "-A INPUT -s 198.51.100.7/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -c 0 0 -j ACCEPT\n" +
				"-A INPUT -m comment --comment knockdaemon -c 0 0 -j ACCEPT\n-A INPUT -m conntrack --ctstate ESTABLISHED -c 0 0 -j ACCEPT\n",
			func(s *site) { s.chain = input }, (*site).access,
			"ok: TCP 22 is closed to those who have not knocked\nok: established connections to TCP 22 are kept\n",
		},
		"a list of ports": {start + opened, func(s *site) { s.allowed = []config.PortProto{tcp(21), tcp(22), tcp(80), tcp(81), tcp(82)} }, (*site).access, `ok: TCP 21, 80..82 is closed to those who have not knocked
problem: established connections to TCP 21, 80..82 are cut off by the policy of INPUT when the port closes again
  fix: iptables -I INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
problem: TCP 22 is open to everybody, by INPUT rule 1 (-p tcp -m tcp --dport 22 -j ACCEPT): knocking protects nothing
  fix: close it once a knock has let you in (examples/firewall.sh without -k does)
`},
		"open over IPv6": {"-P INPUT ACCEPT -c 0 0\n", func(*site) {}, (*site).open6, `problem: over IPv6 TCP 22 is open to everybody, by the policy of INPUT: knocking protects IPv4 alone
  fix: close it there too (examples/firewall.sh does)
`},
		"closed over IPv6": {start, func(*site) {}, (*site).open6, "ok: TCP 22 is closed to those who have not knocked, over IPv6\n"},
		"a second variant stops": {start, func(*site) {}, func(s *site) []finding { return s.second("iptables-legacy", s.table) },
			`problem: iptables-legacy has rules too, and does not let TCP 22 in, whatever a knock opens: the policy of INPUT
  fix: flush the rules of one of them, or name the one that is meant with iptables = iptables-legacy
`},
		"a second variant lets in": {"-P INPUT ACCEPT\n-A INPUT -p udp -j DROP\n", func(*site) {},
			func(s *site) []finding { return s.second("iptables-legacy", s.table) },
			"note: iptables-legacy has rules in INPUT too: two firewalls are in force\n"},
		"a second variant without rules": {"-P INPUT ACCEPT\n", func(*site) {},
			func(s *site) []finding { return s.second("iptables-legacy", s.table) }, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := siteOf(tt.listing)
			tt.set(s)
			if diff := cmp.Diff(tt.want, dump(tt.look(s))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// What was found out for one port is used for those that fare alike, and for no other.
func TestPortsAreWalkedOnce(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/rules/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rule sets: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s := siteOf(string(data))
		for number := range uint16(1100) {
			port := tcp(number)
			want, got := walk(s.table, input, s.chain, probe{world: s.world, port: port, state: "NEW"}), s.walk(port, "NEW")
			if want.last() != got.last() || len(want.ends) != len(got.ends) || len(want.logs) != len(got.logs) {
				t.Errorf("%s: port %v ends by %v, and is said to end by %v", file, port, want.last(), got.last())
			}
		}
		if len(s.known) > 20 {
			t.Errorf("%s: %d walks", file, len(s.known))
		}
	}
}

// The counters that count are those of the rules that log as the daemon needs it.
func TestLoggers(t *testing.T) {
	t.Parallel()
	s := siteOf(`-P INPUT DROP
-A INPUT -p tcp -m tcp --dport 745:800 -c 3 180 -j LOG --log-prefix "DENY "
-A INPUT -p tcp -m tcp --dport 745:1000 -c 30 1800 -j LOG --log-prefix "OTHER "
-A INPUT -p tcp -m tcp --dport 801:1000 -c 4 240 -j LOG --log-prefix "DENY "
-A INPUT -p tcp -m tcp --dport 2000 -c 50 240 -j LOG --log-prefix "DENY "
`)
	_, loggers := s.knocks()
	var packets []uint64
	for _, r := range loggers {
		packets = append(packets, r.packets)
	}
	if diff := cmp.Diff([]uint64{3, 4}, packets); diff != "" {
		t.Errorf("counters (-want +got)\n%s", diff)
	}
}

// Rules that lead in circles, or double at each step, end all the same.
func TestWalkIsBounded(t *testing.T) {
	t.Parallel()
	var doubling strings.Builder
	doubling.WriteString("-P INPUT DROP\n-A INPUT -j a0\n")
	for i := range 60 {
		fmt.Fprintf(&doubling, "-N a%d\n-A a%d -j a%d\n-A a%d -j a%d\n", i, i, i+1, i, i+1)
	}
	for name, listing := range map[string]string{
		"circle": "-P INPUT DROP\n-N a\n-A INPUT -j a\n-A a -j a\n", "doubling": doubling.String() + "-N a60\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if p := siteOf(listing).walk(tcp(800), "NEW"); !p.lost {
				t.Errorf("the walk was not given up: %+v", p)
			}
		})
	}
}

// Whatever a listing says, one of the findings tells what becomes of the knocks, and each port is in one of them.
func FuzzRules(f *testing.F) {
	files, err := filepath.Glob("testdata/rules/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no rule sets: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		listing, _, _ := strings.Cut(string(data), "---\n")
		f.Add(listing)
	}
	f.Fuzz(func(t *testing.T, listing string) {
		s := siteOf("-P INPUT DROP\n" + listing)
		s.steps, s.forwards = []config.PortProto{tcp(7000), udp(7000)}, []config.Forward{inner}
		s.forward.towards = func(netip.Addr) []string { return nil }
		findings, _ := s.knocks()
		if len(findings) == 0 {
			t.Error("nothing is said of the knocks")
		}
		for _, finding := range slices.Concat(findings, s.access(), s.forwarded()) {
			if lines := strings.Count(finding.line(false), "\n"); lines < 1 || lines > 2 {
				t.Errorf("%q is %d lines", finding.line(false), lines)
			}
		}
		for chain, rules := range s.table.chains {
			for i, r := range rules {
				again := parseTable("-A " + chain + " " + r.text + "\n").chains
				if strings.ContainsAny(chain, " \"\\") || len(again[chain]) != 1 {
					continue
				}
				want, got := *r, *again[chain][0]
				want.number, want.packets = 1, 0
				if diff := cmp.Diff(want, got, cmp.AllowUnexported(rule{}, option{})); diff != "" {
					t.Errorf("rule %d read again (-first +second)\n%s", i, diff)
				}
			}
		}
	})
}
