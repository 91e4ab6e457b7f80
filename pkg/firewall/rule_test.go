package firewall

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func rule(src string, port uint16) Rule {
	return Rule{Src: netip.MustParseAddr(src), Port: port}
}

func drop(src string) Rule {
	return Rule{Src: netip.MustParseAddr(src), Action: Drop}
}

// always gives r without an end.
func always(r Rule) Entry { return Entry{Rule: r} }

// until gives r with an end, as "2026-01-02T03:04:05Z".
func until(r Rule, end string) Entry {
	t, err := time.Parse(time.RFC3339, end)
	if err != nil {
		panic(err)
	}
	return Entry{Rule: r, End: t}
}

// entryText gives what an Entry holds.
func entryText(e Entry) string {
	if e.End.IsZero() {
		return e.Rule.String()
	}
	return e.Rule.String() + " until " + e.End.Format(time.RFC3339Nano)
}

// changesText gives what a Sync has done, empty for nothing.
func changesText(c Changes) string {
	var words []string
	for _, r := range c.Removed {
		words = append(words, "removed "+r.String())
	}
	for _, r := range c.Restored {
		words = append(words, "restored "+r.String())
	}
	if c.Unknown > 0 {
		words = append(words, fmt.Sprintf("%d unknown", c.Unknown))
	}
	if c.Healed {
		words = append(words, "healed")
	}
	return strings.Join(words, ", ")
}

func TestRuleString(t *testing.T) {
	t.Parallel()
	tests := map[string]Rule{
		"142.103.205.1 22/tcp": rule("142.103.205.1", 22),
		"192.0.2.1 53/udp":     udp(rule("192.0.2.1", 53)),
		"drop 192.0.2.1":       drop("192.0.2.1"),

		"192.0.2.1 2222/tcp to 10.0.0.5:22": forward("192.0.2.1", 2222, "10.0.0.5:22"),
		"192.0.2.1 53/udp to 10.0.0.5:5353": udp(forward("192.0.2.1", 53, "10.0.0.5:5353")),
		"192.0.2.1 1/protocol 2":            {Src: netip.MustParseAddr("192.0.2.1"), Port: 1, Proto: 2},
	}
	for want, r := range tests {
		if got := r.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	ordered := []Rule{
		{}, drop("192.0.2.1"), rule("192.0.2.1", 22), udp(rule("192.0.2.1", 22)),
		{Src: rule("192.0.2.1", 22).Src, Port: 22, Action: Drop}, forward("192.0.2.1", 22, "10.0.0.5:22"), forward("192.0.2.1", 22, "10.0.0.5:80"),
		forward("192.0.2.1", 22, "10.0.0.6:1"), udp(forward("192.0.2.1", 22, "10.0.0.5:22")), rule("192.0.2.1", 80), rule("192.0.2.10", 1), rule("198.51.100.1", 0),
	}
	for i, a := range ordered {
		for j, b := range ordered {
			if got, want := a.Compare(b), cmpInt(i, j); got != want {
				t.Errorf("%s, %s: got %d, want %d", a, b, got, want)
			}
		}
	}
}

func cmpInt(i, j int) int {
	switch {
	case i < j:
		return -1
	case i > j:
		return 1
	}
	return 0
}

func TestCheckRule(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		rule  Rule
		chain string
		want  string
	}{
		"accept":          {rule("192.0.2.1", 22), "KNOCK", ""},
		"accept in INPUT": {rule("192.0.2.1", 22), "INPUT", ""},
		"drop":            {drop("192.0.2.1"), "KNOCK", ""},
		"drop in INPUT":   {drop("192.0.2.1"), "INPUT", "dropping needs a chain of our own, not INPUT"},
		"drop with a port": {Rule{Src: netip.MustParseAddr("192.0.2.1"), Port: 22, Action: Drop}, "KNOCK",
			"a rule that drops has no port, yet port 22 is given"},
		"unknown action":    {Rule{Src: netip.MustParseAddr("192.0.2.1"), Action: 3}, "KNOCK", "action 3 is not known"},
		"drop of UDP":       {udp(drop("192.0.2.1")), "KNOCK", "a rule that drops has no protocol, yet udp is given"},
		"UDP":               {udp(rule("192.0.2.1", 53)), "KNOCK", ""},
		"unknown protocol":  {Rule{Src: netip.MustParseAddr("192.0.2.1"), Proto: 2}, "KNOCK", "protocol 2 is neither TCP nor UDP"},
		"accept to":         {Rule{Src: netip.MustParseAddr("192.0.2.1"), To: netip.MustParseAddrPort("10.0.0.5:22")}, "KNOCK", `a rule that does not forward leads nowhere, yet "10.0.0.5:22" is given`},
		"drop to":           {Rule{Src: netip.MustParseAddr("192.0.2.1"), Action: Drop, To: netip.MustParseAddrPort("10.0.0.5:22")}, "KNOCK", `a rule that does not forward leads nowhere, yet "10.0.0.5:22" is given`},
		"forward":           {forward("192.0.2.1", 2222, "10.0.0.5:22"), "KNOCK", ""},
		"forward in INPUT":  {forward("192.0.2.1", 2222, "10.0.0.5:22"), "INPUT", ""},
		"forward UDP":       {udp(forward("192.0.2.1", 65535, "223.255.255.255:65535")), "KNOCK", ""},
		"forward port 0":    {forward("192.0.2.1", 0, "10.0.0.5:22"), "KNOCK", "port 0 cannot be forwarded"},
		"forward to port 0": {forward("192.0.2.1", 22, "10.0.0.5:0"), "KNOCK", `"10.0.0.5:0" is not an IPv4 address with a port`},
		"forward to IPv6":   {forward("192.0.2.1", 22, "[2001:db8::1]:22"), "KNOCK", `"[2001:db8::1]:22" is not an IPv4 address with a port`},
		"forward nowhere":   {Rule{Src: netip.MustParseAddr("192.0.2.1"), Port: 22, Action: Forward}, "KNOCK", `"invalid AddrPort" is not an IPv4 address with a port`},
		"forward to any":    {forward("192.0.2.1", 22, "0.0.0.0:22"), "KNOCK", `"0.0.0.0" is not the address of another host`},
		"forward to itself": {forward("192.0.2.1", 22, "127.0.0.1:22"), "KNOCK", `"127.0.0.1" is not the address of another host`},
		"forward to many":   {forward("192.0.2.1", 22, "224.0.0.1:22"), "KNOCK", `"224.0.0.1" is not the address of another host`},
		"forward to all":    {forward("192.0.2.1", 22, "255.255.255.255:22"), "KNOCK", `"255.255.255.255" is not the address of another host`},
		"IPv6":              {rule("2001:db8::1", 22), "KNOCK", `address "2001:db8::1" is not an IPv4 address`},
		"IPv4 in IPv6":      {rule("::ffff:192.0.2.1", 22), "KNOCK", `address "::ffff:192.0.2.1" is not an IPv4 address`},
		"no address":        {Rule{}, "KNOCK", `address "invalid IP" is not an IPv4 address`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := errorText(Options{Chain: tt.chain}.checkRule(tt.rule)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWanted(t *testing.T) {
	t.Parallel()
	one, two := rule("192.0.2.1", 22), rule("192.0.2.2", 22)
	west := time.FixedZone("west", -3600)
	list, err := wanted([]Entry{
		until(one, "2026-01-02T03:04:05.999Z"), always(drop("192.0.2.1")), {Rule: two, End: time.Date(2026, 1, 2, 3, 4, 5, 6, west)},
		always(rule("::1", 22)), until(one, "2026-01-02T04:00:00.5Z"), {Rule: rule("192.0.2.3", 1), End: time.Time{}.In(west)},
	}, Rule.Check)
	var got []string
	for _, e := range list {
		got = append(got, entryText(e))
	}
	want := []string{"192.0.2.1 22/tcp until 2026-01-02T04:00:00Z", "drop 192.0.2.1", "192.0.2.2 22/tcp until 2026-01-02T04:04:05Z", "192.0.2.3 1/tcp"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if got, want := errorText(err), `failed to add rule "::1 22/tcp": address "::1" is not an IPv4 address`; got != want {
		t.Errorf("got error %q, want %q", got, want)
	}
}

func TestCheckChain(t *testing.T) {
	t.Parallel()
	builtin := `is built into the firewall: use INPUT or a name of your own`
	syntax := `is not 1 to 20 of A-Z a-z 0-9 _ . - with no "-" first`
	tests := map[string]string{ // chain: error after its quoted name
		"":                      "",
		"KNOCK":                 "",
		"INPUT":                 "",
		"a.b_c-9":               "",
		"abcdefghijklmnopqrst":  "",
		"abcdefghijklmnopqrstu": syntax,
		"-KNOCK":                syntax,
		"KN OCK":                syntax,
		"KNÖCK":                 syntax,
		"!KNOCK":                syntax,
		"KNOCK\n":               syntax,
		"FORWARD":               builtin,
		"OUTPUT":                builtin,
		"ACCEPT":                builtin,
		"DROP":                  builtin,
		"MY-FORWARD":            `ends as the chain for what is forwarded does: use another name`,
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
