package outside

import (
	"strings"
	"testing"
)

func TestCheckService(t *testing.T) {
	t.Parallel()
	const (
		want     = "want a URL like https://HOST/PATH"
		user     = "a user name or password in the URL would tell the service who asks"
		fragment = "a fragment (# and what follows) is never sent: leave it out"
		six      = "an IPv6 address cannot be asked: only over IPv4 does the service see the IPv4 address"
	)
	for v, wrong := range map[string]string{
		"https://ip.example.org":               "",
		"https://ip.example.org/":              "",
		"HTTPS://IP.example.org:8443/a?b=c%20": "",
		"http://192.0.2.1/ip":                  "",
		"http://localhost:8080":                "",
		"https://bücher.example/":              "",

		"":                              want,
		"ip.example.org":                want,
		"//ip.example.org/":             want,
		"ftp://ip.example.org/":         want,
		"file:///etc/passwd":            want,
		"https:ip.example.org":          want,
		"https://":                      want,
		"https:///path":                 want,
		"https://:443/":                 want,
		"https://ip.example.org:x/":     want,
		"https://ip.example.org/\n":     want,
		"https://ip example.org/":       want,
		"https://[::1/":                 want,
		"https://ip.example.org/%zz":    want,
		"https://u:SECRET@example.org/": user,
		"https://@example.org/":         user,
		"https://ip.example.org/#a":     fragment,
		"https://ip.example.org/#":      fragment,
		"https://[2001:db8::1]/":        six,
		"https://[fe80::1%25eth0]/":     six,
		"https://[::ffff:192.0.2.1]/":   six,
		"https://ip.example.org:0/":     "0 is no port: want 1..65535",
		"https://ip.example.org:65536/": "65536 is no port: want 1..65535",
	} {
		err := CheckService(v)
		if got := text(err); got != wrong {
			t.Errorf("%q: got %q, want %q", v, got, wrong)
		}
		if strings.Contains(text(err), "SECRET") {
			t.Errorf("%q: its password is repeated", v)
		}
	}
}

// text is an error's; none has none.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
