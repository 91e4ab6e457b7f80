package control

import (
	"net/netip"
	"testing"
)

func TestParseTarget(t *testing.T) {
	t.Parallel()
	v4, v6 := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8::7")
	for s, want := range map[string]Target{
		"203.0.113.7":             {v4, 0},
		"203.0.113.7:22":          {v4, 22},
		"203.0.113.7:65535":       {v4, 65535},
		"2001:db8::7":             {v6, 0},
		"[2001:db8::7]:22":        {v6, 22},
		"2001:db8::7:22":          {netip.MustParseAddr("2001:db8::7:22"), 0},
		"::ffff:203.0.113.7":      {v4, 0},
		"[::ffff:203.0.113.7]:22": {v4, 22},
	} {
		if got, err := ParseTarget(s); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", s, got, err, want)
		}
	}
}

func TestParseTargetOfMistakes(t *testing.T) {
	t.Parallel()
	for s, why := range map[string]string{
		"":                  "not an address",
		"gate":              "not an address",
		"gate:22":           "not an address",
		"203.0.113":         "not an address",
		"203.0.113.7 ":      "not an address",
		":22":               "not an address",
		"203.0.113.7/32":    "not an address",
		"203.0.113.7:":      "a port is 1 to 65535",
		"203.0.113.7:0":     "a port is 1 to 65535",
		"203.0.113.7:65536": "a port is 1 to 65535",
		"203.0.113.7:-1":    "a port is 1 to 65535",
		"203.0.113.7:ssh":   "a port is 1 to 65535",
		"[2001:db8::7]":     "brackets go with a port",
		"[2001:db8::7":      "brackets go with a port",
		"[":                 "brackets go with a port",
		"[:22":              "brackets go with a port",
		"[]:22":             "only an IPv6 address stands in brackets",
		"[203.0.113.7]:22":  "only an IPv6 address stands in brackets",
		"[2001:db8::7]:":    "a port is 1 to 65535",
		"fe80::1%eth0":      "an address with a zone is never knocked from",
		"[fe80::1%eth0]:22": "an address with a zone is never knocked from",
	} {
		want := `"` + s + `" is not ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT: ` + why
		if got, err := ParseTarget(s); err == nil || err.Error() != want || got != (Target{}) {
			t.Errorf("%q is %v, %v\nwant %s", s, got, err, want)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"203.0.113.7:22", "[2001:db8::7]:22", "2001:db8::7", ":22", "[]:1", "[::1%a]:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		target, err := ParseTarget(s)
		if err != nil {
			if len(err.Error()) > 600 {
				t.Errorf("the error about %d bytes has %d", len(s), len(err.Error()))
			}
			return
		}
		if !target.Address.IsValid() || target.Address.Is4In6() || target.Address.Zone() != "" {
			t.Errorf("%q is %v", s, target)
		}
		if again, err := ParseTarget(target.String()); err != nil || again != target {
			t.Errorf("%q is %v, and that is %v, %v", s, target, again, err)
		}
	})
}
