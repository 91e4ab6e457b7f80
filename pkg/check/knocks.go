package check

import (
	"slices"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/packet"
)

// A site is one packet filter, and what is wanted of it.
type site struct {
	table   *table
	world   world
	program string             // iptables
	chain   string             // the daemon's
	portMin int                // of sealed knocks
	sealed  bool               // there are some
	steps   []config.PortProto // the ports of sequences
	from    config.Source      // where the daemon learns of packets
	lines   packet.Options     // how the log is read
	allowed []config.PortProto // that knocks may open, in their order
	others  []nftTable         // of nft's own, that look at the same packets

	forwards []config.Forward // in the order of their ports
	forward  forwarding       // what they need besides rules

	borders []int                     // of table
	known   map[class]*path           // what was walked
	missing map[packet.Proto]*logRule // what would log the knocks that nothing logs
}

// A class of packets all fare alike.
type class struct {
	proto   packet.Proto
	borders int // at or below the port
	state   string
}

// walk takes a packet for a port through the filter.
func (s *site) walk(port config.PortProto, state string) *path {
	if s.known == nil {
		s.borders, s.known = s.table.borders(), map[class]*path{}
	}
	below, at := slices.BinarySearch(s.borders, int(port.Port))
	if at {
		below++
	}
	c := class{port.Proto, below, state}
	if s.known[c] == nil {
		s.known[c] = walk(s.table, input, s.chain, probe{world: s.world, port: port, state: state})
	}
	return s.known[c]
}

// knocks says what becomes of knocks, and gives the rules that log them as the daemon needs it.
func (s *site) knocks() (findings []finding, loggers []*rule) {
	s.missing = map[packet.Proto]*logRule{packet.TCP: s.newLogRule(packet.TCP), packet.UDP: s.newLogRule(packet.UDP)}
	all := issues{missing: s.missing}
	seen := map[*rule]bool{}
	for _, k := range s.knockPorts() {
		p := s.walk(k.port, "NEW")
		for _, i := range s.knock(p, k) {
			if i.level == problem && len(s.others) > 0 {
				i.level, i.before = note, "perhaps "+i.before
			}
			all.add(k.port, i)
		}
		for _, l := range p.logs {
			if s.fits(l) == "" && !seen[l.rule] {
				seen[l.rule] = true
				loggers = append(loggers, l.rule)
			}
		}
	}
	return all.findings(), loggers
}

// A knockPort is a port that a packet of some knock goes to.
type knockPort struct {
	port   config.PortProto
	answer level // of an answer there
}

// knockPorts gives those of sealed knocks and of sequences, in their order. As a sequence may be of ports that are in
// use, as knockd's can, what answers at those of sequences alone is no problem by itself.
func (s *site) knockPorts() (all []knockPort) {
	ports := slices.Clone(s.steps)
	isSealed := func(p config.PortProto) bool {
		return s.sealed && p.Proto == packet.TCP && int(p.Port) >= s.portMin && int(p.Port) < s.portMin+256
	}
	for port := s.portMin; s.sealed && port < s.portMin+256; port++ {
		ports = append(ports, config.PortProto{Port: uint16(port), Proto: packet.TCP})
	}
	for _, p := range inOrder(ports) {
		k := knockPort{p, note}
		if isSealed(p) {
			k.answer = problem
		}
		all = append(all, k)
	}
	return all
}

// answered tells of an answer there.
func (k knockPort) answered(how, fix string) issue {
	if k.answer != problem {
		fix = ""
	}
	return issue{k.answer, "", " " + how, fix}
}

// knock says what is to be said of the path of a packet to k.
func (s *site) knock(p *path, k knockPort) []issue {
	if p.lost {
		return []issue{{note, "the rules are too many to follow: what becomes of ", " cannot be told", ""}}
	}
	last := p.last()
	found := s.uncertain(p)
	switch last.verdict {
	case "ACCEPT":
		found = append(found, k.answered("is let in by "+last.String()+": what answers there tells strangers of this host",
			"drop the knock ports before that (examples/firewall.sh does)"))
	case "REJECT":
		found = append(found, k.answered("is refused by "+last.String()+": the answer tells strangers of this host",
			"use DROP there in place of REJECT"))
	}
	logging, good := s.logging(p, k)
	_, passes := p.mayPass()
	switch drops := last.verdict == "DROP" && !passes; {
	case drops && good:
		found = append(found, issue{fine, "the firewall drops ", " and " + s.logs("it") + s.withPrefix(), ""})
	case drops:
		found = append(found, issue{fine, "the firewall drops ", "", ""})
	case good:
		found = append(found, issue{fine, "the firewall " + s.logs(""), s.withPrefix(), ""})
	}
	return append(found, logging...)
}

// uncertain tells of the rules that may end a knock, but for those that drop what was logged.
func (s *site) uncertain(p *path) (found []issue) {
	for _, e := range p.ends {
		if e.sure == always || e.sure == few && !e.rate {
			continue
		}
		i := issue{level: note, before: "perhaps "}
		switch e.verdict {
		case "ACCEPT":
			i.after = " is let in by " + e.String() + ": what it depends on cannot be told from here"
		case "REJECT":
			i.after = " is refused, and so answered, by " + e.String()
		case "DROP":
			if s.anyGood(p.logs[:e.logs]) {
				continue
			}
			i.after = " is dropped by " + e.String() + " before it is " + s.logged()
		default:
			i.after = " is taken by " + e.String() + ", and what becomes of it cannot be told"
		}
		found = append(found, i)
	}
	return found
}
