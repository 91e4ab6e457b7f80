package check

import (
	"slices"

	"github.com/portknock/knock/pkg/packet"
)

// A site is one packet filter, and what is wanted of it.
type site struct {
	table   *table
	world   world
	program string // iptables
	chain   string // the daemon's
	portMin int
	lines   packet.Options // how the log is read
	allowed []int          // the ports that knocks may open
	others  []nftTable     // of nft's own, that look at the same packets

	borders []int           // of table
	known   map[class]*path // what was walked
}

// A class of packets all fare alike.
type class struct {
	borders int // at or below the port
	state   string
}

// walk takes a packet for a port through the filter.
func (s *site) walk(port int, state string) *path {
	if s.known == nil {
		s.borders, s.known = s.table.borders(), map[class]*path{}
	}
	below, at := slices.BinarySearch(s.borders, port)
	if at {
		below++
	}
	c := class{below, state}
	if s.known[c] == nil {
		s.known[c] = walk(s.table, s.chain, probe{s.world, port, state})
	}
	return s.known[c]
}

// knocks says what becomes of knocks, and gives the rules that log them as the daemon needs it.
func (s *site) knocks() (findings []finding, loggers []*rule) {
	var (
		all  issues
		seen = map[*rule]bool{}
	)
	for port := s.portMin; port < s.portMin+256; port++ {
		p := s.walk(port, "NEW")
		for _, i := range s.knock(p) {
			if i.level == problem && len(s.others) > 0 {
				i.level, i.before = note, "perhaps "+i.before
			}
			all.add(port, i)
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

// knock says what is to be said of a knock's path.
func (s *site) knock(p *path) []issue {
	if p.lost {
		return []issue{{note, "the rules are too many to follow: what becomes of TCP ", " cannot be told", ""}}
	}
	last := p.last()
	found := s.uncertain(p)
	switch last.verdict {
	case "ACCEPT":
		found = append(found, issue{problem, "TCP ", " is let in by " + last.String() + ": what answers there tells strangers of this host",
			"drop the knock ports before that (examples/firewall.sh does)"})
	case "REJECT":
		found = append(found, issue{problem, "TCP ", " is refused by " + last.String() + ": the answer tells strangers of this host",
			"use DROP there in place of REJECT"})
	}
	logging, good := s.logging(p)
	_, passes := p.mayPass()
	switch drops := last.verdict == "DROP" && !passes; {
	case drops && good:
		found = append(found, issue{fine, "the firewall drops TCP ", " and logs it" + s.withPrefix(), ""})
	case drops:
		found = append(found, issue{fine, "the firewall drops TCP ", "", ""})
	case good:
		found = append(found, issue{fine, "the firewall logs TCP ", s.withPrefix(), ""})
	}
	return append(found, logging...)
}

// uncertain tells of the rules that may end a knock, but for those that drop what was logged.
func (s *site) uncertain(p *path) (found []issue) {
	for _, e := range p.ends {
		if e.sure == always || e.sure == few && !e.rate {
			continue
		}
		i := issue{level: note, before: "perhaps TCP "}
		switch e.verdict {
		case "ACCEPT":
			i.after = " is let in by " + e.String() + ": what it depends on cannot be told from here"
		case "REJECT":
			i.after = " is refused, and so answered, by " + e.String()
		case "DROP":
			if s.anyGood(p.logs[:e.logs]) {
				continue
			}
			i.after = " is dropped by " + e.String() + " before it is logged"
		default:
			i.after = " is taken by " + e.String() + ", and what becomes of it cannot be told"
		}
		found = append(found, i)
	}
	return found
}
