package outside

import (
	"net/netip"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestParseAnswer(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 100)
	for name, test := range map[string]struct {
		text      string
		local     bool
		want, err string
	}{
		"an address":              {"203.0.113.5", false, "203.0.113.5", ""},
		"with blanks around":      {" \t\r\n203.0.113.5\r\n\r\n", false, "203.0.113.5", ""},
		"with words behind":       {"203.0.113.5 is yours\n", false, "203.0.113.5", ""},
		"a private one":           {"10.1.2.3\n", false, "10.1.2.3", ""},
		"mapped into IPv6":        {"::ffff:203.0.113.5\n", false, "203.0.113.5", ""},
		"as long as it may be":    {"203.0.113.5" + strings.Repeat(" ", 245), false, "203.0.113.5", ""},
		"of this machine, by it":  {"127.0.0.1\n", true, "127.0.0.1", ""},
		"of this machine":         {"127.0.0.1\n", false, "", "its answer is 127.0.0.1, which is no address to come from"},
		"of this one, mapped":     {"::ffff:127.0.0.1\n", false, "", "its answer is 127.0.0.1, which is no address to come from"},
		"unspecified":             {"0.0.0.0", true, "", "its answer is 0.0.0.0, which is no address to come from"},
		"of this network":         {"0.1.2.3", false, "", "its answer is 0.1.2.3, which is no address to come from"},
		"multicast":               {"224.0.0.1", true, "", "its answer is 224.0.0.1, which is no address to come from"},
		"broadcast":               {"255.255.255.255", false, "", "its answer is 255.255.255.255, which is no address to come from"},
		"IPv6":                    {"2001:db8::1\n", false, "", `its answer is the IPv6 address "2001:db8::1", and a knock carries an IPv4 one`},
		"IPv6 with a zone":        {"fe80::1%\x1b[2J\n", false, "", `its answer is the IPv6 address "fe80::1%\x1b[2J", and a knock carries an IPv4 one`},
		"nothing":                 {"", false, "", "its answer is empty"},
		"blanks":                  {" \n", false, "", "its answer is empty"},
		"HTML":                    {"<!DOCTYPE html>\n<html>203.0.113.5</html>", false, "", `its answer is no address: it begins with "<!DOCTYPE"`},
		"JSON":                    {`{"ip":"203.0.113.5"}`, false, "", `its answer is no address: it begins with "{\"ip\":\"203.0.113.5\"}"`},
		"an escape":               {"\x1b[2J", false, "", `its answer is no address: it begins with "\x1b[2J"`},
		"a network":               {"203.0.113.0/24", false, "", `its answer is no address: it begins with "203.0.113.0/24"`},
		"two with a comma":        {"203.0.113.5, 203.0.113.6", false, "", `its answer is no address: it begins with "203.0.113.5,"`},
		"a port":                  {"203.0.113.5:80", false, "", `its answer is no address: it begins with "203.0.113.5:80"`},
		"zeros in front":          {"203.0.113.05", false, "", `its answer is no address: it begins with "203.0.113.05"`},
		"too little":              {"203.0.113", false, "", `its answer is no address: it begins with "203.0.113"`},
		"a long word":             {long, false, "", `its answer is no address: it begins with "` + long[:40] + `"…`},
		"longer than it may be":   {"203.0.113.5" + strings.Repeat(" ", 246), false, "", "its answer has more than 256 bytes: that is no address"},
		"an address and nul byte": {"203.0.113.5\x00", false, "", `its answer is no address: it begins with "203.0.113.5\x00"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseAnswer([]byte(test.text), test.local)
			switch {
			case test.err == "" && (err != nil || got.String() != test.want):
				t.Errorf("got %v, %v, want %s", got, err, test.want)
			case test.err != "" && (err == nil || err.Error() != test.err || got != netip.Addr{}):
				t.Errorf("got %v, %v, want the error %s", got, err, test.err)
			}
		})
	}
}

// Whatever a service answers, either an IPv4 address comes of it that it begins with, or an error that can be shown.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{
		"203.0.113.5\n", " 127.0.0.1 x", "0.0.0.0", "224.1.1.1", "::ffff:1.2.3.4", "2001:db8::1", "fe80::1%\x1b", "<html>", "\xff\u202e", "",
	} {
		f.Add([]byte(text), false)
		f.Add([]byte(text), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, local bool) {
		ip, err := parseAnswer(text, local)
		if err != nil {
			said := err.Error()
			if ip.IsValid() || len(said) > maxTold || !utf8.ValidString(said) || strings.ContainsFunc(said, func(c rune) bool { return !unicode.IsPrint(c) }) {
				t.Fatalf("got %v and the error %q", ip, said)
			}
			return
		}
		begin, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(text)), "::ffff:"), " ")
		switch {
		case !ip.Is4() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLoopback() && !local || len(text) > maxAnswer:
			t.Fatalf("%q gives %v", text, ip)
		case !strings.Contains(string(text), ":") && !strings.HasPrefix(begin, ip.String()):
			t.Fatalf("%q gives %v, which it does not begin with", text, ip)
		}
	})
}
