package check

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The functions here tell of one kind of condition each whether it holds for a packet from an arbitrary address.

// fromNetwork tells whether an arbitrary address is in a network. Of one in 256 it is assumed that it is not.
func fromNetwork(v string) degree {
	network, ok := parseNetwork(v)
	switch {
	case !ok:
		return perhaps
	case network.Bits() == 0, network == netip.MustParsePrefix("2000::/3"):
		return always
	case network.Bits() >= 8:
		return never
	}
	return perhaps
}

// parseNetwork reads "192.0.2.0/24" or "192.0.2.1"; not a mask with holes, "0.0.0.1/0.0.0.1".
func parseNetwork(v string) (netip.Prefix, bool) {
	network, err := netip.ParsePrefix(v)
	if addr, addrErr := netip.ParseAddr(v); addrErr == nil {
		network, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return network, err == nil
}

func (w world) toNetwork(v string) degree {
	network, ok := parseNetwork(v)
	if !ok {
		return perhaps
	}
	return all(w.addrs, network.Contains)
}

// onOne tells whether a packet goes by the interface v, if it goes by one of these.
func onOne(interfaces []string, v string) degree {
	if v == "lo" {
		return never
	}
	return all(interfaces, func(name string) bool {
		start, any := strings.CutSuffix(v, "+")
		return name == v || any && strings.HasPrefix(name, start)
	})
}

// all tells whether a condition holds for all of list, for none, or for some; of nothing it cannot be told.
func all[T any](list []T, is func(T) bool) degree {
	yes := 0
	for _, one := range list {
		if is(one) {
			yes++
		}
	}
	switch {
	case len(list) == 0, yes > 0 && yes < len(list):
		return perhaps
	case yes == 0:
		return never
	}
	return always
}

// borders gives the ports, in their order, at which a condition of some rule begins to hold, or ends: between two of
// them all ports fare alike.
func (t *table) borders() []int {
	at := map[int]bool{}
	for _, rules := range t.chains {
		for _, r := range rules {
			for _, o := range r.options {
				if !strings.HasPrefix(o.name, "--dport") && o.name != "--ports" {
					continue
				}
				for part := range strings.SplitSeq(o.value(0), ",") {
					low, high, _ := parseRange(part)
					at[low], at[high+1] = true, true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(at))
}

// inPorts tells whether a list, "22,80:90", holds a port. A name in it, which -S does not print, it does not hold.
func inPorts(list string, port int) bool {
	for part := range strings.SplitSeq(list, ",") {
		low, high, ok := parseRange(part)
		if ok && low <= port && port <= high {
			return true
		}
	}
	return false
}

func parseRange(part string) (low, high int, ok bool) {
	from, upto, isRange := strings.Cut(part, ":")
	low, err := strconv.Atoi(from)
	if !isRange {
		return low, low, err == nil
	}
	high, errHigh := strconv.Atoi(upto)
	return low, high, err == nil && errHigh == nil
}

// fromPorts tells whether a list holds whatever port a program outside was given for its end.
func fromPorts(list string) degree {
	const firstFree = 1024
	d := never
	for part := range strings.SplitSeq(list, ",") {
		low, high, ok := parseRange(part)
		switch {
		case !ok || high >= firstFree && (low > firstFree || high < 65535):
			d = max(d, perhaps)
		case high >= firstFree:
			return always
		}
	}
	return d
}

// hasFlags is "--tcp-flags MASK SET". A packet of an established connection has ACK, and perhaps PSH.
func (p probe) hasFlags(mask, set string) degree {
	if mask == "ALL" {
		mask = "FIN,SYN,RST,PSH,ACK,URG"
	}
	want := strings.Split(set, ",")
	d := always
	for flag := range strings.SplitSeq(mask, ",") {
		has := when(flag == "SYN" && p.state == "NEW" || flag == "ACK" && p.state == "ESTABLISHED")
		if flag == "PSH" && p.state == "ESTABLISHED" {
			has = perhaps
		}
		if !slices.Contains(want, flag) && set != "ALL" {
			has = has.not()
		}
		d = min(d, has)
	}
	return d
}

// inState is "--ctstate LIST".
func (p probe) inState(list string) degree {
	states := strings.Split(list, ",")
	switch {
	case slices.Contains(states, p.state), p.forwarded && slices.Contains(states, "DNAT"):
		return always
	case p.forwarded && slices.Contains(states, "SNAT"):
		return perhaps // nat is not read
	case slices.Contains(states, "DNAT"), slices.Contains(states, "SNAT"):
		return few // most of what is translated goes to other hosts
	}
	return never
}

// goesTo is "--dst-type TYPES". Who is answered is somewhere outside.
func (p probe) goesTo(types []string) degree {
	if p.forwarded || p.answer {
		return when(slices.Contains(types, "UNICAST"))
	}
	return when(slices.Contains(types, "LOCAL"))
}

// inSet is "--match-set NAME FIELDS": a set of addresses that packets come from holds few of all.
func (p probe) inSet(fields string) degree {
	if strings.HasPrefix(fields, "src") && !p.answer {
		return few
	}
	return perhaps
}
