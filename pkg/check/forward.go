package check

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/sniff"
)

// A forwarding is what it takes besides rules that packets get to other hosts.
type forwarding struct {
	enabled string                         // the file ip_forward of /proc; "" if it cannot be read
	towards func(host netip.Addr) []string // the interfaces that lead to a host; nil: it cannot be told
	others  []nftTable                     // of nft's own, that look at what is forwarded
}

// forwards gives what knocks forward, in the order of their ports.
func (m *machine) forwards() (all []config.Forward) {
	for _, k := range m.config.Keys {
		all = append(all, k.Forward...)
	}
	for _, e := range m.config.Events {
		all = append(all, e.Forward...)
	}
	slices.SortFunc(all, func(a, b config.Forward) int {
		return cmp.Or(cmp.Compare(a.Port.Proto, b.Port.Proto), cmp.Compare(a.Port.Port, b.Port.Port), a.To.Compare(b.To))
	})
	return slices.Compact(all)
}

// forwarding looks at what it takes to forward, if something is to be.
func (m *machine) forwarding(s *site, nft []nftTable) {
	var findings []finding
	findings, s.forwards = toOthers(s.forwards, sniff.NewOurs(nil).Has)
	m.report.add(findings...)
	if len(s.forwards) == 0 {
		return
	}
	s.forward = forwarding{enabled: strings.TrimSpace(read("/proc/sys/net/ipv4/ip_forward")), towards: towards}
	for _, t := range nft {
		if t.forward && (t.family == "ip" || t.family == "inet") {
			s.forward.others = append(s.forward.others, t)
		}
	}
	m.report.add(s.kernelForwards()...)
	m.report.add(s.forwarded()...)
}

// toOthers gives those of all that lead to another host, and tells of the rest: they do not go through FORWARD.
func toOthers(all []config.Forward, ours func(netip.Addr) bool) (findings []finding, others []config.Forward) {
	for _, f := range all {
		if !ours(f.To.Addr()) {
			others = append(others, f)
			continue
		}
		findings = append(findings, notef("port %s is forwarded to %s, which is this host: what is forwarded there %s must let in by itself", f.Port, f.To, input).
			fixed("use open in place of forward"))
	}
	return findings, others
}

// towards gives the interfaces on whose networks a host is; nil if it is on none.
func towards(host netip.Addr) (names []string) {
	all, _ := net.Interfaces() // of nothing it cannot be told
	for _, i := range all {
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if network, err := netip.ParsePrefix(a.String()); err == nil && network.Contains(host) {
				names = append(names, i.Name)
			}
		}
	}
	return names
}

// kernelForwards tells whether the kernel forwards at all, and who else has a say.
func (s *site) kernelForwards() (findings []finding) {
	switch s.forward.enabled {
	case "0":
		findings = append(findings, problemf("the kernel forwards nothing (net.ipv4.ip_forward is 0): what a knock forwards gets nowhere").
			fixed("sysctl -w net.ipv4.ip_forward=1, and the same in a file of /etc/sysctl.d"))
	case "":
		findings = append(findings, notef("whether the kernel forwards (net.ipv4.ip_forward) cannot be told"))
	default:
		findings = append(findings, okf("the kernel forwards (net.ipv4.ip_forward)"))
	}
	for _, t := range s.forward.others {
		findings = append(findings, notef("nft's own table %s looks at what is forwarded too: what iptables lets through it may drop. "+
			"Its rules are not followed here: knock, and see", t))
	}
	return findings
}

// forwarded says what becomes of connections that are forwarded, once the first packet is through.
func (s *site) forwarded() []finding {
	var all issues
	for _, f := range s.forwards {
		there, back := s.bothWays(f)
		if i := s.answers(back); i.level != fine {
			all.add(f.Port, i)
			continue // with the same fix
		}
		all.add(f.Port, s.keeps(there))
	}
	return all.findings()
}

// bothWays takes a packet of an established connection through FORWARD, and its answer. The daemon's chain there holds
// nothing but its own rules.
func (s *site) bothWays(f config.Forward) (there, back *path) {
	p := probe{world: s.world, port: config.PortProto{Port: f.To.Port(), Proto: f.Port.Proto}, state: "ESTABLISHED", forwarded: true}
	p.world.addrs, p.world.out = []netip.Addr{f.To.Addr()}, s.forward.towards(f.To.Addr())
	there = walk(s.table, forward, "", p)
	p.answer = true
	return there, walk(s.table, forward, "", p)
}

// secondForwards tells of another variant's rules, which what is forwarded must get past too.
func (s *site) secondForwards(program string, t *table) []finding {
	var all issues
	other := &site{table: t, world: s.world, forward: forwarding{towards: towards}}
	for _, f := range s.forwards {
		there, back := other.bothWays(f)
		for _, p := range []*path{there, back} {
			if _, ok := p.mayPass(); !ok && p.last().stops() {
				all.add(f.Port, issue{problem, program + " has rules too, and does not let through what is forwarded from ", ": " + p.last().String(),
					fmt.Sprintf("flush the rules of one of them, or name the one that is meant with iptables = %s", program)})
				break
			}
		}
	}
	return all.findings()
}

// answers tells whether those who are forwarded get answers.
func (s *site) answers(p *path) issue {
	const what = "answers to what is forwarded from "
	if i, ok := untold(p, what); ok {
		return i
	}
	if last := p.last(); last.verdict != "ACCEPT" {
		return issue{problem, what, " are stopped by " + last.String() + ": forwarding does not work", s.letThrough()}
	}
	return issue{level: fine}
}

// keeps tells what happens to a connection that is forwarded when the lease ends.
func (s *site) keeps(p *path) issue {
	const what = "established connections that are forwarded from "
	if i, ok := untold(p, what); ok {
		return i
	}
	if last := p.last(); last.verdict != "ACCEPT" {
		return issue{problem, what, " are cut off by " + last.String() + " when the port closes again", s.letThrough()}
	}
	return issue{fine, what, " are let through", ""}
}

// untold tells of packets of which it cannot be told whether they get through.
func untold(p *path, what string) (i issue, ok bool) {
	last := p.last()
	e, may := p.mayStop()
	if last.verdict != "ACCEPT" {
		e, may = p.mayPass()
	}
	switch {
	case p.lost || !may && last.verdict == "":
		return issue{note, "whether " + what, " get through cannot be told", ""}, true
	case may && last.verdict == "ACCEPT":
		return issue{note, "perhaps " + what, " are stopped by " + e.String() + ": what it depends on cannot be told from here", ""}, true
	case may:
		return issue{note, "perhaps " + what, " are let through, by " + e.String() + ": what it depends on cannot be told from here", ""}, true
	}
	return issue{}, false
}

// letThrough is what lets through both ways of what is established.
func (s *site) letThrough() string {
	return fmt.Sprintf("%s -I %s -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT", s.program, forward)
}
