package firewall

import (
	"strconv"
	"time"
)

// dateForm is a date as iptables takes and prints it.
const dateForm = "2006-01-02T15:04:05"

var (
	// firstStop is the earliest date put into a rule: 0 means none to iptables.
	firstStop = time.Unix(1, 0)
	// lastStop is the latest that every iptables takes: some keep it in 32 bits
	// with a sign, where the next second stands for none.
	lastStop = time.Unix(1<<31-2, 0)
)

// ruleArgs is e as iptables takes it and as it prints it, so that a rule read
// back can be compared word by word. Without xt_time (timed) it has no end.
func (p *place) ruleArgs(e Entry, timed bool) []string {
	match, target := p.form(e.Rule)
	args := append([]string{"-s", e.Src.String() + "/32"}, match...)
	if timed {
		args = append(args, endArgs(e.End)...)
	}
	args = append(args, "-m", "comment", "--comment", comment, "-j")
	return append(args, target...)
}

// inputForm is the form of what is let in or dropped.
func inputForm(r Rule) (match, target []string) {
	if r.Action == Drop {
		return []string{"-m", "conntrack", "--ctstate", "NEW"}, []string{"DROP"}
	}
	return portArgs(r.Proto, r.Port), []string{"ACCEPT"}
}

// forwardForm lets through what the rule in nat has led away, and nothing that
// comes to the inner host by another way.
func forwardForm(r Rule) (match, target []string) {
	match = append([]string{"-d", r.To.Addr().String() + "/32"}, portArgs(r.Proto, r.To.Port())...)
	match = append(match, "-m", "conntrack", "--ctstate", "DNAT", "--ctorigdstport", strconv.Itoa(int(r.Port)))
	return match, []string{"ACCEPT"}
}

// natForm leads away what comes for an address of this machine, and nothing that
// it only forwards.
func natForm(r Rule) (match, target []string) {
	match = append(portArgs(r.Proto, r.Port), "-m", "addrtype", "--dst-type", "LOCAL")
	return match, []string{"DNAT", "--to-destination", r.To.String()}
}

func portArgs(proto Proto, port uint16) []string {
	return []string{"-p", proto.String(), "-m", proto.String(), "--dport", strconv.Itoa(int(port))}
}

// endArgs makes a rule stop at end, cut to the second: the second that is named
// still matches, so it is the one before. Past lastStop there is nothing to
// name: better a rule that only the daemon ends than, from then on, no rule.
func endArgs(end time.Time) []string {
	stop := end.Truncate(time.Second).Add(-time.Second)
	if end.IsZero() || stop.After(lastStop) {
		return nil
	}
	if stop.Before(firstStop) {
		stop = firstStop
	}
	return []string{"-m", "time", "--datestop", stop.UTC().Format(dateForm)}
}

// putArgs puts e into its place. What lets in goes to the top: straight in a
// built-in chain it must come before the administrator's own DROP. A drop goes to
// the end, so that accepts win.
func (p *place) putArgs(e Entry, timed bool) []string {
	option := "-I"
	if e.Action == Drop {
		option = "-A"
	}
	return append([]string{option, p.chain}, p.ruleArgs(e, timed)...)
}

func (p *place) deleteArgs(e Entry, timed bool) []string {
	return append([]string{"-D", p.chain}, p.ruleArgs(e, timed)...)
}

func jumpArgs(chain string) []string {
	return []string{"-m", "comment", "--comment", comment, "-j", chain}
}

// insertJumpArgs makes the jump the rule of the built-in chain with the given
// number, from 1.
func (p *place) insertJumpArgs(number int) []string {
	return append([]string{"-I", p.base, strconv.Itoa(number)}, jumpArgs(p.chain)...)
}

func (p *place) deleteJumpArgs() []string {
	return append([]string{"-D", p.base}, jumpArgs(p.chain)...)
}

// probeArgs is a rule that does nothing: it has no target, and with the end no
// packet since 1971 matches.
func probeArgs(chain, option string, timed bool) []string {
	args := []string{option, chain, "-s", "0.0.0.0/32"}
	if timed {
		args = append(args, "-m", "time", "--datestop", "1971-01-01T00:00:00")
	}
	return append(args, "-m", "comment", "--comment", comment)
}
