package check

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A degree says whether a rule is for a packet, as far as its listing tells. They are in order: of two conditions the
// lesser holds.
type degree uint8

const (
	never   degree = iota
	few            // for those from few addresses, or now and then: not for one from anywhere
	perhaps        // it cannot be told
	always
)

// not is the degree of a condition that is turned round.
func (d degree) not() degree {
	switch d {
	case never:
		return always
	case always:
		return never
	}
	return perhaps
}

func when(is bool) degree {
	if is {
		return always
	}
	return never
}

// A probe is a TCP packet from an arbitrary address outside.
type probe struct {
	world world
	port  int    // destination
	state string // NEW, which is a SYN, or ESTABLISHED
}

// A world is what a packet from outside sees of this host.
type world struct {
	interfaces []string     // that it may come in by
	addrs      []netip.Addr // that it may go to
	knock      int          // how many packets make a knock
}

// matches tells whether r is for p. Rate says that r counts packets: p may be one too many.
func (r *rule) matches(p probe) (d degree, rate bool) {
	d = always
	for _, m := range r.modules {
		if !known[m] {
			d = perhaps
		}
	}
	for _, o := range r.options {
		one := r.holds(o, p)
		if o.not {
			one = one.not()
		}
		d = min(d, one)
		rate = rate || counting[o.name] && one < always
	}
	return d, rate
}

// known are the modules all of whose options holds knows.
var known = map[string]bool{
	"tcp": true, "comment": true, "conntrack": true, "state": true, "multiport": true, "addrtype": true, "limit": true,
	"hashlimit": true, "recent": true, "pkttype": true, "set": true, "connlimit": true, "mac": true,
}

// counting are the conditions that depend on how many packets there were.
var counting = map[string]bool{
	"--limit": true, "--hashlimit-upto": true, "--hashlimit-above": true, "--rcheck": true, "--update": true,
	"--connlimit-above": true,
}

// settings are options that say how another one works.
var settings = []string{
	"--limit-burst", "--hashlimit-", "--comment", "--set", "--name", "--mask", "--rsource", "--rdest", "--seconds",
	"--hitcount", "--reap", "--rttl", "--connlimit-mask", "--connlimit-saddr",
}

// holds tells whether one condition of r, not turned round, holds for p.
func (r *rule) holds(o option, p probe) degree {
	v := o.value(0)
	switch o.name {
	case "-p":
		return when(v == "tcp" || v == "6" || v == "all" || v == "0")
	case "-f":
		return never
	case "-s":
		return fromNetwork(v)
	case "-d":
		return p.world.toNetwork(v)
	case "-i":
		return p.world.comesIn(v)
	case "--dport", "--dports":
		return when(inPorts(v, p.port))
	case "--sport", "--sports":
		return fromPorts(v)
	case "--ports":
		return max(when(inPorts(v, p.port)), fromPorts(v))
	case "--syn":
		return when(p.state == "NEW")
	case "--tcp-flags":
		return p.hasFlags(v, o.value(1))
	case "--ctstate", "--state":
		return p.inState(v)
	case "--dst-type":
		return when(slices.Contains(strings.Split(v, ","), "LOCAL"))
	case "--pkt-type":
		return when(v == "unicast")
	case "--match-set":
		return inSet(o.value(1))
	case "--mac-source", "--rcheck", "--update", "--connlimit-above", "--hashlimit-above":
		return few
	case "--hashlimit-upto":
		return r.hashlimit(p)
	}
	for _, s := range settings {
		if o.name == s || strings.HasSuffix(s, "-") && strings.HasPrefix(o.name, s) {
			return always
		}
	}
	return perhaps // also --limit
}

// hashlimit tells whether a limit leaves room for the packets of a knock: it counts for each source by itself, and
// lets as many through in a row.
func (r *rule) hashlimit(p probe) degree {
	mode := strings.Split(arg(r.options, "--hashlimit-mode"), ",")
	burst, err := strconv.Atoi(arg(r.options, "--hashlimit-burst"))
	if slices.Contains(mode, "srcip") && err == nil && burst >= p.world.knock {
		return always
	}
	return perhaps
}
