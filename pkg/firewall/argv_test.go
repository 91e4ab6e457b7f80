package firewall

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func rule(src string, port uint16) Rule {
	return Rule{Src: netip.MustParseAddr(src), Port: port}
}

func TestRuleString(t *testing.T) {
	t.Parallel()
	if got, want := rule("142.103.205.1", 22).String(), "142.103.205.1 22/tcp"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOptionsCheck(t *testing.T) {
	t.Parallel()
	builtin := `is built into the firewall: use INPUT or a name of your own`
	syntax := `is not 1 to 28 of A-Z a-z 0-9 _ . - with no "-" first`
	tests := map[string]string{ // chain: error after its quoted name
		"":                              "",
		"KNOCK":                         "",
		"INPUT":                         "",
		"a.b_c-9":                       "",
		"abcdefghijklmnopqrstuvwxyz01":  "",
		"abcdefghijklmnopqrstuvwxyz012": syntax,
		"-KNOCK":                        syntax,
		"KN OCK":                        syntax,
		"KNÖCK":                         syntax,
		"!KNOCK":                        syntax,
		"KNOCK\n":                       syntax,
		"FORWARD":                       builtin,
		"OUTPUT":                        builtin,
		"ACCEPT":                        builtin,
		"DROP":                          builtin,
	}
	for chain, text := range tests {
		t.Run(chain, func(t *testing.T) {
			t.Parallel()
			want := text
			if text != "" {
				want = "chain " + quoteGo(chain) + " " + text
			}
			if got := errorText(CheckChain(Options{Chain: chain}.withDefaults().Chain)); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestParseListing(t *testing.T) {
	t.Parallel()
	out := `# Warning: iptables-legacy tables present, use iptables-legacy to see them
-P INPUT ACCEPT
-N KNOCK
-A INPUT -m comment --comment "two words -j KNOCK" -j ACCEPT
-A INPUT -m comment --comment "a\"b \\ c" -j ACCEPT
-A INPUT -m comment --comment "" -g KNOCK
`
	want := []line{
		{"-P", "INPUT", "ACCEPT"},
		{"-N", "KNOCK"},
		{"-A", "INPUT", "-m", "comment", "--comment", "two words -j KNOCK", "-j", "ACCEPT"},
		{"-A", "INPUT", "-m", "comment", "--comment", `a"b \ c`, "-j", "ACCEPT"},
		{"-A", "INPUT", "-m", "comment", "--comment", "", "-g", "KNOCK"},
	}
	if diff := cmp.Diff(want, parseListing(out)); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// kinds is what a line of a listing is taken for, with KNOCK as our chain.
type kinds struct {
	Chain, Jump, LeadsTo, Ours bool
	Rule                       string
}

func TestLineKinds(t *testing.T) {
	t.Parallel()
	const tail = " -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT"
	tests := []struct {
		line string
		want kinds
	}{
		{"-P INPUT DROP", kinds{}},
		{"-N KNOCK", kinds{Chain: true}},
		{"-N KNOCKS", kinds{}},
		{"-N", kinds{}},
		{"-A", kinds{}},
		{"-A INPUT -m comment --comment knockdaemon -j KNOCK", kinds{Jump: true, LeadsTo: true, Ours: true}},
		{"-A FORWARD -m comment --comment knockdaemon -j KNOCK", kinds{LeadsTo: true, Ours: true}},
		{"-A INPUT -i eth0 -m comment --comment knockdaemon -j KNOCK", kinds{LeadsTo: true, Ours: true}},
		{"-A INPUT -j KNOCK", kinds{LeadsTo: true}},
		{"-A INPUT -g KNOCK", kinds{LeadsTo: true}},
		{"-A INPUT -j KNOCKS", kinds{}},
		{`-A INPUT -m comment --comment "-j KNOCK" -j ACCEPT`, kinds{}},
		{`-A INPUT -m comment --comment "--comment knockdaemon" -j ACCEPT`, kinds{}},
		{"-A KNOCK -s 192.0.2.1/32" + tail, kinds{Ours: true, Rule: "192.0.2.1 22/tcp"}},
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
			l := line(words(tt.line))
			got := kinds{Chain: l.isChain("KNOCK"), Jump: l.isJump("KNOCK"), LeadsTo: l.leadsTo("KNOCK"), Ours: l.ours()}
			if r, ok := l.rule(); ok {
				got.Rule = r.String()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("line taken for (-want +got):\n%s", diff)
			}
		})
	}
}

func TestQuote(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"iptables": "iptables", "192.0.2.1/32": "192.0.2.1/32", "": "''", "two words": "'two words'",
		"it's": `'it'\''s'`, "$x": "'$x'", "a;b": "'a;b'", "*": "'*'", "~": "'~'", "ö": "'ö'",
	}
	for in, want := range tests {
		if got := quote(in); got != want {
			t.Errorf("quote(%q): got %s, want %s", in, got, want)
		}
	}
}

func TestOneLine(t *testing.T) {
	t.Parallel()
	in := "# Warning: other tables present\niptables v1.8.9 (legacy): no such option \n\nTry `iptables -h' for more\nPerhaps upgrade.\n"
	if got, want := oneLine(in), "iptables v1.8.9 (legacy): no such option; Perhaps upgrade."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
