package check

import "fmt"

// jump says where the daemon puts its rules, if they are to be reached.
func (s *site) jump() []finding {
	switch {
	case s.chain == input:
		return []finding{okf("knockdaemon puts its rules at the top of %s", input)}
	case s.reaches():
		return nil // it stays where it is, which access looks at
	}
	return []finding{okf("knockdaemon will put its jump to %s at the top of %s", s.chain, input)}
}

// reaches tells whether some packet can come from INPUT to the daemon's chain: then the daemon adds no jump.
func (s *site) reaches() bool {
	reached, seen := []string{input}, map[string]bool{input: true}
	for i := 0; i < len(reached); i++ {
		for _, r := range s.table.chains[reached[i]] {
			if _, ok := s.table.chains[r.target]; ok && !seen[r.target] {
				seen[r.target] = true
				reached = append(reached, r.target)
			}
		}
	}
	return seen[s.chain]
}

// access says what becomes of connections to the ports that knocks open.
func (s *site) access() []finding {
	var all issues
	jumps := s.chain != input && s.reaches()
	for _, port := range s.allowed {
		p := s.walk(port, "NEW")
		if p.lost {
			continue // which was said of the knock ports
		}
		all.add(port, s.newcomer(p))
		if jumps {
			all.add(port, s.reached(p))
		}
		session := s.walk(port, "ESTABLISHED")
		if last := p.last(); last.verdict == "ACCEPT" && last.rule == session.last().rule {
			continue // by a rule that is to go
		}
		all.add(port, s.session(session))
	}
	return all.findings()
}

// newcomer tells what happens to somebody who has not knocked.
func (s *site) newcomer(p *path) issue {
	last := p.last()
	switch last.verdict {
	case "ACCEPT":
		if e, ok := p.mayStop(); ok {
			return issue{note, "perhaps ", " is open to those who have not knocked, by " + last.String() + ", but for those whom " +
				e.String() + " stops", ""}
		}
		i := issue{problem, "", " is open to everybody, by " + last.String() + ": knocking protects nothing",
			"close it once a knock has let you in (examples/firewall.sh without -k does)"}
		if len(s.others) > 0 {
			i.level, i.before = note, "perhaps "
		}
		return i
	case "REJECT":
		return issue{note, "", " is refused by " + last.String() + ": the answer tells strangers of this host", "use DROP there in place of REJECT"}
	}
	if e, ok := p.mayPass(); ok {
		return issue{note, "perhaps ", " is open by " + e.String() + ": what it depends on cannot be told from here", ""}
	}
	return issue{fine, "", " is closed to those who have not knocked", ""}
}

// reached tells whether a packet comes to the daemon's chain before something stops it.
func (s *site) reached(p *path) issue {
	last := p.last()
	switch {
	case last.verdict == "ACCEPT" || p.reached > few:
		return issue{fine, "connections to ", " come to the chain " + s.chain, ""}
	case p.tooLate != nil:
		return issue{problem, last.String() + " " + verbs[last.verdict] + " ", " before the jump to " + s.chain + ": a knock opens nothing",
			fmt.Sprintf("%s -D %s %d: knockdaemon puts a jump of its own at the top", s.program, p.tooLate.chain, p.tooLate.number)}
	}
	return issue{note, "perhaps ", " does not come to the chain " + s.chain + ": no rule leads there packets from anywhere", ""}
}

// session tells what happens to a connection when its port closes.
func (s *site) session(p *path) issue {
	last := p.last()
	if last.verdict == "ACCEPT" {
		return issue{fine, "established connections to ", " are kept", ""}
	}
	fix := fmt.Sprintf("%s -I %s -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT", s.program, input)
	if e, ok := p.mayPass(); ok || last.verdict == "" {
		return issue{note, "perhaps established connections to ", " are kept, by " + e.String() + ": what it depends on cannot be told from here", ""}
	}
	return issue{problem, "established connections to ", " are cut off by " + last.String() + " when the port closes again", fix}
}

// open6 says whether the ports that knocks open are open over IPv6 anyway; s is ip6tables' filter.
func (s *site) open6() []finding {
	var all issues
	for _, port := range s.allowed {
		p := s.walk(port, "NEW")
		i := s.newcomer(p)
		_, mayStop := p.mayStop()
		switch {
		case p.lost:
			i = issue{note, "the rules of IPv6 are too many to follow: what becomes of ", " cannot be told", ""}
		case p.last().verdict == "ACCEPT" && !mayStop:
			i.before += "over IPv6 "
			i.after = " is open to everybody, by " + p.last().String() + ": knocking protects IPv4 alone"
			i.fix = "close it there too (examples/firewall.sh does)"
		default:
			i.after += ", over IPv6"
		}
		all.add(port, i)
	}
	return all.findings()
}

// second tells of another variant's rules, which every packet must get past too.
func (s *site) second(program string, t *table) []finding {
	if len(t.chains[input]) == 0 && t.policies[input] != "DROP" {
		return nil
	}
	const fix = "flush the rules of one of them, or name the one that is meant with iptables = %s"
	var stopped issues
	other := &site{table: t, world: s.world, chain: s.chain}
	for _, port := range s.allowed {
		p := other.walk(port, "NEW")
		last := p.last()
		if _, ok := p.mayPass(); !ok && last.verdict != "ACCEPT" {
			stopped.add(port, issue{problem, program + " has rules too, and does not let ",
				" in, whatever a knock opens: " + last.String(), fmt.Sprintf(fix, program)})
		}
	}
	if findings := stopped.findings(); len(findings) > 0 {
		return findings
	}
	return []finding{notef("%s has rules in %s too: two firewalls are in force", program, input)}
}
