package check

import (
	"slices"

	"github.com/portknock/knock/pkg/firewall"
)

// A path is what a packet meets on its way through a built-in chain.
type path struct {
	logs    []logged // before it ends
	late    []logged // that would be met if it did not end
	ends    []end    // the perhapses, then the one that is certain
	reached degree   // our chain, before it ends
	tooLate *rule    // that would lead to our chain if it did not end
	lost    bool     // the rules are too many to follow
}

// A logged is a rule that writes a packet to a log.
type logged struct {
	rule  *rule
	sure  degree
	limit *rule // that writes only so many; nil: none
}

// An end is what becomes of a packet.
type end struct {
	verdict string // ACCEPT, DROP, REJECT, or a target that is not known
	chain   string // the built-in one
	rule    *rule  // nil: the chain's policy
	sure    degree
	rate    bool // it depends on how many packets there were
	logs    int  // how many logs came before
}

// String names what ended a packet.
func (e end) String() string {
	if e.rule == nil {
		return "the policy of " + e.chain
	}
	return e.rule.String()
}

// last is what becomes of a packet that nothing uncertain happens to; its verdict is empty if the path was lost.
func (p *path) last() end {
	if n := len(p.ends); n > 0 && p.ends[n-1].sure == always {
		return p.ends[n-1]
	}
	return end{}
}

// mayPass gives what may let the packet through, and cannot be told, before it comes to its last end.
func (p *path) mayPass() (end, bool) {
	return p.may(func(e end) bool { return !e.stops() })
}

// mayStop gives what may keep the packet from it, and cannot be told, before it comes to its last end.
func (p *path) mayStop() (end, bool) {
	return p.may(func(e end) bool { return e.verdict != "ACCEPT" })
}

func (p *path) may(is func(end) bool) (end, bool) {
	for _, e := range p.ends {
		if e.sure == perhaps && is(e) {
			return e, true
		}
	}
	return end{}, false
}

// stops tells whether the packet does not get through.
func (e end) stops() bool { return e.verdict == "DROP" || e.verdict == "REJECT" }

const (
	maxSteps = 300_000 // rules looked at for one packet
	maxDepth = 64      // chains within chains; the kernel's own bound is lower
)

// A walker takes one packet through a table.
type walker struct {
	table *table
	probe probe
	start string // the built-in chain
	ours  string // the daemon's
	path  path
	ended bool // what is met from now on, the packet does not meet
	steps int
}

// walk takes a packet through a built-in chain. The daemon's own rules, known by their mark, count as not there: they
// come and go.
func walk(t *table, start, ours string, p probe) *path {
	w := &walker{table: t, probe: p, start: start, ours: ours}
	if ours == start {
		w.path.reached = always
	}
	w.chain(start, always, nil, 0)
	if policy := t.policies[start]; !w.ended && policy != "" {
		w.end(end{verdict: policy, sure: always})
	}
	return &w.path
}

// chain goes through one chain; sure is whether the packet comes to it, limit the rule on the way that lets only so
// many through.
func (w *walker) chain(name string, sure degree, limit *rule, depth int) {
	if depth > maxDepth {
		w.path.lost = true
		return
	}
	for _, r := range w.table.chains[name] {
		if w.steps++; w.steps > maxSteps {
			w.path.lost = true
		}
		if w.path.lost {
			return
		}
		d, rate := r.matches(w.probe)
		if d == never || w.isOurs(r) {
			continue
		}
		limited := limit
		if rate && limited == nil {
			limited = r
		}
		if w.rule(r, min(sure, d), limited, depth) && d == always {
			return
		}
		// Where some have left, the others are still sure to be there, but for those who cannot be told.
		if leaves(r) && d == perhaps {
			sure = min(sure, perhaps)
		}
	}
}

// leaves tells whether r sends a packet out of its chain that may come back further up.
func leaves(r *rule) bool { return r.gone || r.target == "RETURN" }

// isOurs tells whether r is one of the daemon's own rules, apart from the jump.
func (w *walker) isOurs(r *rule) bool {
	return r.target != w.ours && arg(r.options, "--comment") == firewall.Mark
}

// rule does what r does to a packet that it is for, and tells whether that ends the way through its chain.
func (w *walker) rule(r *rule, sure degree, limit *rule, depth int) bool {
	if _, ok := w.table.chains[r.target]; ok {
		switch {
		case r.target != w.ours:
		case w.ended && sure > few && w.path.tooLate == nil:
			w.path.tooLate = r
		case w.ended:
		default:
			w.path.reached = max(w.path.reached, sure)
		}
		w.chain(r.target, sure, limit, depth+1)
		return r.gone
	}
	switch {
	case r.target == "RETURN":
		return true
	case r.target == "LOG" || r.target == "NFLOG" || r.target == "ULOG":
		w.log(logged{r, sure, limit})
	case slices.Contains(harmless, r.target):
	case r.target == "ACCEPT" || r.target == "DROP" || r.target == "REJECT":
		w.end(end{verdict: r.target, rule: r, sure: sure, rate: limit != nil})
	default:
		w.end(end{verdict: r.target, rule: r, sure: min(sure, perhaps)})
	}
	return false
}

// harmless are the targets that a packet comes out of as it went in.
var harmless = []string{
	"", "AUDIT", "CHECKSUM", "CLASSIFY", "CONNMARK", "CONNSECMARK", "CT", "DSCP", "ECN", "HL", "HMARK", "IDLETIMER", "LED",
	"MARK", "NOTRACK", "RATEEST", "SECMARK", "SET", "TCPMSS", "TCPOPTSTRIP", "TEE", "TOS", "TRACE", "TTL",
}

func (w *walker) log(l logged) {
	if w.ended {
		w.path.late = append(w.path.late, l)
	} else {
		w.path.logs = append(w.path.logs, l)
	}
}

// end notes an end. The way goes on all the same: what comes later explains what is missing earlier.
func (w *walker) end(e end) {
	if w.ended {
		return
	}
	e.chain, e.logs = w.start, len(w.path.logs)
	w.path.ends = append(w.path.ends, e)
	w.ended = e.sure == always
}
