package control

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A Target is what is to be closed: one port of an address, or all that is open to it. In JSON it is a string.
type Target struct {
	Address netip.Addr // never an IPv4 address in IPv6 form, never with a zone
	Port    uint16     // 0: all
}

// ParseTarget reads ADDRESS or ADDRESS:PORT, the port from 1 to 65535. An IPv6 address with a port stands in brackets,
// and one without does not. An IPv4 address in IPv6 form means itself.
func ParseTarget(s string) (Target, error) {
	t, err := parseTarget(s)
	if err != nil {
		return Target{}, fmt.Errorf("%q is not ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT: %w", shortened(s), err)
	}
	return t, nil
}

func parseTarget(s string) (Target, error) {
	host, port := s, ""
	if strings.HasPrefix(s, "[") || strings.Count(s, ":") == 1 {
		i := strings.LastIndexByte(s, ':')
		if i < 0 || s[0] == '[' && (i < 2 || s[i-1] != ']') {
			return Target{}, fmt.Errorf("brackets go with a port")
		}
		host, port = s[:i], s[i+1:]
		if strings.HasPrefix(host, "[") {
			if host = host[1 : len(host)-1]; !strings.Contains(host, ":") {
				return Target{}, fmt.Errorf("only an IPv6 address stands in brackets")
			}
		}
	}
	a, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return Target{}, fmt.Errorf("not an address")
	case a.Zone() != "":
		return Target{}, fmt.Errorf("an address with a zone is never knocked from")
	case host == s:
		return Target{Address: a.Unmap()}, nil
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil || p == 0 {
		return Target{}, fmt.Errorf("a port is 1 to 65535")
	}
	return Target{a.Unmap(), uint16(p)}, nil
}

// String gives t as ParseTarget reads it.
func (t Target) String() string {
	if t.Port == 0 {
		return t.Address.String()
	}
	return netip.AddrPortFrom(t.Address, t.Port).String()
}

// MarshalText gives what String does.
func (t Target) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what ParseTarget does.
func (t *Target) UnmarshalText(b []byte) (err error) {
	*t, err = ParseTarget(string(b))
	return err
}

// shortened keeps a mistake as long as a book out of an error.
func shortened(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
