package check

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/packet"
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

// A probe is a packet from an arbitrary address outside, or the answer to one.
type probe struct {
	world world
	port  config.PortProto // destination
	state string           // NEW, which of TCP is a SYN, or ESTABLISHED
	// forwarded says that it has got another destination, beyond this host.
	forwarded bool
	answer    bool // it goes the other way
}

// A world is what a packet from outside sees of this host, or of the one that it is forwarded to.
type world struct {
	interfaces []string     // that it may come in by
	out        []string     // that it may go on by, if it is forwarded
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
	"tcp": true, "udp": true, "comment": true, "conntrack": true, "state": true, "multiport": true, "addrtype": true, "limit": true,
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

// opposite names for each condition the one that is about the other end of the way.
var opposite = map[string]string{
	"-s": "-d", "-d": "-s", "-i": "-o", "-o": "-i",
	"--sport": "--dport", "--dport": "--sport", "--sports": "--dports", "--dports": "--sports",
}

// protoNames are the names of the protocols that have ports.
var protoNames = map[packet.Proto][]string{packet.TCP: {"tcp", "6"}, packet.UDP: {"udp", "17"}}

// holds tells whether one condition of r, not turned round, holds for p.
func (r *rule) holds(o option, p probe) degree {
	v, name := o.value(0), o.name
	if turned := opposite[name]; p.answer && turned != "" {
		name = turned
	}
	switch name {
	case "-p":
		return when(v == "all" || v == "0" || slices.Contains(protoNames[p.port.Proto], v))
	case "-f":
		return never
	case "-s":
		return fromNetwork(v)
	case "-d":
		return p.world.toNetwork(v)
	case "-i":
		return onOne(p.world.interfaces, v)
	case "-o":
		return onOne(p.world.out, v)
	case "--dport", "--dports":
		return when(inPorts(v, int(p.port.Port)))
	case "--sport", "--sports":
		return fromPorts(v)
	case "--ports":
		return max(when(inPorts(v, int(p.port.Port))), fromPorts(v))
	case "--syn":
		return when(p.state == "NEW")
	case "--tcp-flags":
		return p.hasFlags(v, o.value(1))
	case "--ctstate", "--state":
		return p.inState(v)
	case "--dst-type":
		return p.goesTo(strings.Split(v, ","))
	case "--pkt-type":
		return when(v == "unicast")
	case "--match-set":
		return p.inSet(o.value(1))
	case "--mac-source", "--rcheck", "--update", "--connlimit-above", "--hashlimit-above":
		return few
	case "--hashlimit-upto":
		return r.hashlimit(p)
	}
	for _, s := range settings {
		if name == s || strings.HasSuffix(s, "-") && strings.HasPrefix(name, s) {
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
