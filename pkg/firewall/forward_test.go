package firewall

import (
	"net/netip"
)

// What a rule that forwards 192.0.2.1 2222/tcp to 10.0.0.5:22 is in the filter and
// in nat.
const (
	throughHead  = " -s 192.0.2.1/32 -d 10.0.0.5/32 -p tcp -m tcp --dport 22 -m conntrack --ctstate DNAT --ctorigdstport 2222"
	throughSpec  = throughHead + tail
	timedThrough = throughHead + " -m time --datestop 2026-11-21T12:34:55" + tail
	awayHead     = " -s 192.0.2.1/32 -p tcp -m tcp --dport 2222 -m addrtype --dst-type LOCAL"
	awayTail     = " -m comment --comment knockdaemon -j DNAT --to-destination 10.0.0.5:22"
	awaySpec     = awayHead + awayTail
	timedAway    = awayHead + " -m time --datestop 2026-11-21T12:34:55" + awayTail
)

// forward gives a rule that forwards TCP.
func forward(src string, port uint16, to string) Rule {
	return Rule{Src: netip.MustParseAddr(src), Port: port, Action: Forward, To: netip.MustParseAddrPort(to)}
}

// udp gives r for UDP.
func udp(r Rule) Rule {
	r.Proto = UDP
	return r
}
