package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/portknock/knock/pkg/packet"
)

// The functions here make the set function of a Setting: they check a value's form and range and store it.

func notEmpty(v string) error {
	if v == "" {
		return errors.New("it is empty")
	}
	return nil
}

func text(to *string) func(string) error {
	return func(v string) error { *to = v; return nil }
}

func name(to *string) func(string) error {
	return func(v string) error { *to = v; return notEmpty(v) }
}

func boolean(to *bool) func(string) error {
	return func(v string) error {
		switch strings.ToLower(v) {
		case "true", "yes", "on", "1":
			*to = true
		case "false", "no", "off", "0":
			*to = false
		default:
			return fmt.Errorf("%q is neither true nor false", v)
		}
		return nil
	}
}

// oneOf takes one of a few words.
func oneOf[T ~string](to *T, words ...T) func(string) error {
	return func(v string) error {
		for _, w := range words {
			if v == string(w) {
				*to = w
				return nil
			}
		}
		return fmt.Errorf("%q is not one of %s", v, strings.Join(texts(words), ", "))
	}
}

func texts[T ~string](words []T) []string {
	var all []string
	for _, w := range words {
		all = append(all, string(w))
	}
	return all
}

// number takes a decimal number, low..high; what says what it counts.
func number(v, what string, low, high int) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%q is not a number: want %s, %d..%d", v, what, low, high)
	}
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%s is out of range: want %s, %d..%d", v, what, low, high)
	}
	return n, nil
}

func integer[T ~int | ~uint8 | ~uint16](to *T, what string, low, high int) func(string) error {
	return func(v string) error {
		n, err := number(v, what, low, high)
		if err == nil {
			*to = T(n)
		}
		return err
	}
}

func duration(to *time.Duration, unit time.Duration, what string, low, high int) func(string) error {
	return func(v string) error {
		n, err := number(v, what, low, high)
		if err == nil {
			*to = time.Duration(n) * unit
		}
		return err
	}
}

func ipv4(to *netip.Addr) func(string) error {
	return func(v string) error {
		addr, err := netip.ParseAddr(v)
		if err != nil {
			return fmt.Errorf("%q is not an IP address", v)
		}
		if !addr.Is4() {
			return fmt.Errorf("%s is not an IPv4 address, and a knock carries no other", addr)
		}
		*to = addr
		return nil
	}
}

// list calls add for each part of "a,b, c".
func list(v string, add func(string) error) error {
	for part := range strings.SplitSeq(v, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			return fmt.Errorf("%q has an empty part: want a list with commas", v)
		}
		if err := add(part); err != nil {
			return err
		}
	}
	return nil
}

// Ports is a set of ports, as ranges.
type Ports []PortRange

// A PortRange is the ports from Low to High, both included.
type PortRange struct{ Low, High uint16 }

// Contains tells whether port is one of p.
func (p Ports) Contains(port uint16) bool {
	for _, r := range p {
		if r.Low <= port && port <= r.High {
			return true
		}
	}
	return false
}

// ports takes "22,80-90".
func ports(to *Ports, highest int) func(string) error {
	return func(v string) error {
		var set Ports
		err := list(v, func(part string) error {
			from, upto, isRange := strings.Cut(part, "-")
			if !isRange {
				upto = from
			}
			low, err := number(strings.TrimSpace(from), "a port", 0, highest)
			if err != nil {
				return err
			}
			high, err := number(strings.TrimSpace(upto), "a port", 0, highest)
			if err != nil {
				return err
			}
			if low > high {
				return fmt.Errorf("%s runs backwards", part)
			}
			set = append(set, PortRange{uint16(low), uint16(high)})
			return nil
		})
		*to = set
		return err
	}
}

// A PortProto is a port of TCP or UDP.
type PortProto struct {
	Port  uint16
	Proto packet.Proto
}

// String gives "22/tcp" or "53/udp".
func (p PortProto) String() string {
	if p.Proto == packet.UDP {
		return fmt.Sprintf("%d/udp", p.Port)
	}
	return fmt.Sprintf("%d/tcp", p.Port)
}

// parsePortProto takes "22", "22/tcp" or "53/udp".
func parsePortProto(v string) (PortProto, error) {
	text, proto, named := strings.Cut(v, "/")
	p := PortProto{Proto: packet.TCP}
	switch {
	case named && proto == "udp":
		p.Proto = packet.UDP
	case named && proto != "tcp":
		return p, fmt.Errorf("%q is no protocol: want %s/tcp or %s/udp", proto, text, text)
	}
	port, err := number(text, "a port", 1, 65535)
	p.Port = uint16(port)
	return p, err
}

// maxList is how many ports one setting opens, closes or forwards.
const maxList = 64

// portProtos takes "22/tcp,53/udp".
func portProtos(to *[]PortProto) func(string) error {
	return func(v string) error {
		var all []PortProto
		err := list(v, func(part string) error {
			p, err := parsePortProto(part)
			all = append(all, p)
			return err
		})
		*to = all
		return tooMany(len(all), err)
	}
}

func tooMany(n int, err error) error {
	if err == nil && n > maxList {
		return fmt.Errorf("%d ports are too many: want 1 to %d", n, maxList)
	}
	return err
}

// forwards takes "2222=10.0.0.5:22, 10.0.0.6:53/udp".
func forwards(to *[]Forward) func(string) error {
	return func(v string) error {
		var all []Forward
		err := list(v, func(part string) error {
			f, err := parseForward(part)
			for _, other := range all {
				if err == nil && other.Port == f.Port {
					err = fmt.Errorf("port %d is forwarded twice", f.Port.Port)
				}
			}
			all = append(all, f)
			return err
		})
		*to = all
		return tooMany(len(all), err)
	}
}

func parseForward(part string) (Forward, error) {
	outer, inner, both := strings.Cut(part, "=")
	if !both {
		outer, inner = "", part
	}
	address, proto, named := strings.Cut(strings.TrimSpace(inner), "/")
	to, err := netip.ParseAddrPort(address)
	if err != nil || !to.Addr().Is4() || to.Port() == 0 {
		return Forward{}, fmt.Errorf("%q is not where a port can lead to: want an IPv4 address and a port, like 10.0.0.5:22", address)
	}
	if outer = strings.TrimSpace(outer); !both {
		outer = strconv.Itoa(int(to.Port()))
	}
	if named {
		outer += "/" + proto
	}
	port, err := parsePortProto(outer)
	if err != nil {
		return Forward{}, err
	}
	f := Forward{port, to}
	return f, f.Rule(netip.AddrFrom4([4]byte{192, 0, 2, 1})).Check()
}

// withoutComment lets a value end where a # after a blank is: knockd reads the number or the ports before it.
func withoutComment(set func(string) error) func(string) error {
	return func(v string) error {
		for i := 1; i < len(v); i++ {
			if v[i] == '#' && (v[i-1] == ' ' || v[i-1] == '\t') {
				v = strings.TrimSpace(v[:i])
			}
		}
		return set(v)
	}
}

// address takes an address of either family.
func address(to *netip.Addr) func(string) error {
	return func(v string) error {
		addr, err := netip.ParseAddr(v)
		if err != nil || addr.Zone() != "" {
			return fmt.Errorf("%q is not an IP address", v)
		}
		*to = addr.Unmap()
		return nil
	}
}

// day takes a day, which counts to its end by the local clock, or an instant of RFC 3339.
func day(to *time.Time) func(string) error {
	return func(v string) error {
		if at, err := time.Parse(time.RFC3339, v); err == nil {
			*to = at
			return nil
		}
		at, err := time.ParseInLocation(time.DateOnly, v, time.Local)
		if err != nil {
			return fmt.Errorf("%q is neither a day like 2027-01-31 nor an instant like 2027-01-31T18:00:00Z", v)
		}
		*to = at.AddDate(0, 0, 1)
		return nil
	}
}

// networks takes "203.0.113.0/24,198.51.100.7".
func networks(to *[]netip.Prefix) func(string) error {
	return func(v string) error {
		var all []netip.Prefix
		err := list(v, func(part string) error {
			prefix, err := parseNetwork(part)
			all = append(all, prefix)
			return err
		})
		*to = all
		return err
	}
}

func parseNetwork(v string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(v)
	if addr, addrErr := netip.ParseAddr(v); addrErr == nil {
		prefix, err = addr.Prefix(addr.BitLen())
	}
	switch {
	case err != nil:
		return prefix, fmt.Errorf("%q is neither an IPv4 address nor a network like 203.0.113.0/24", v)
	case !prefix.Addr().Is4():
		return prefix, fmt.Errorf("%s is not IPv4, and a knock carries no other address", v)
	case prefix != prefix.Masked():
		return prefix, fmt.Errorf("%s has bits set behind its mask, did you mean %s?", v, prefix.Masked())
	}
	return prefix, nil
}
