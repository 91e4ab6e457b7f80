package firewall

import (
	"cmp"
	"slices"
)

// place is where the rules of one form live: a chain of one table. It is ours,
// with a jump to it from a chain that is built in, or that one itself.
type place struct {
	table string // empty: filter
	base  string // the built-in chain
	chain string // ours, or base

	// form gives what a rule matches, but for its source, and where a packet goes
	// then; read gives the rule that a line looks like.
	form func(Rule) (match, target []string)
	read func(line) Rule

	// maybe are the rules that the kernel may hold here: those it listed last and
	// those that were added since. Any other needs no look before it is added,
	// and a port opens the sooner. Nil: the kernel has not been asked yet.
	maybe map[Rule]bool
}

// places are where rules live. What is forwarded is in two of them: first it must
// be let through, then it is led there.
type places struct {
	in, forward, nat *place
}

// newPlaces gives the places that belong to a name of the chain.
func newPlaces(chain string) places {
	own := func(name, base string) string {
		if chain == input {
			return base
		}
		return name
	}
	return places{
		in:      &place{base: input, chain: chain, form: inputForm, read: readInput},
		forward: &place{base: "FORWARD", chain: own(chain+forwardSuffix, "FORWARD"), form: forwardForm, read: readForward},
		nat:     &place{table: "nat", base: "PREROUTING", chain: own(chain, "PREROUTING"), form: natForm, read: readNAT},
	}
}

// of gives the places of a rule, in the order in which it is added.
func (s places) of(r Rule) []*place {
	if r.Action == Forward {
		return []*place{s.forward, s.nat}
	}
	return []*place{s.in}
}

// straight reports whether there is no chain of ours.
func (p *place) straight() bool { return p.chain == p.base }

// name is the name of p's table.
func (p *place) name() string { return cmp.Or(p.table, "filter") }

// command gives arguments of iptables that are about p's table.
func (p *place) command(args ...string) []string {
	if p.table == "" {
		return args
	}
	return append([]string{"-t", p.table}, args...)
}

// made reports whether a listing has the chain, or, if that is a built-in one, a
// rule of ours in it.
func (p *place) made(lines []line) bool {
	if p.straight() {
		return len(p.held(lines)) > 0
	}
	return slices.ContainsFunc(lines, func(l line) bool { return l.isChain(p.chain) })
}

// look reads p's table; of a built-in chain alone when the rules go there. A chain
// of ours alone is not asked for: the nf_tables variant calls one that is not there
// incompatible.
func (p *place) look(run runs) ([]line, error) {
	args := p.command("-S")
	if p.straight() {
		args = append(args, p.base)
	}
	out, err := run(args...)
	if err != nil {
		return nil, err
	}
	lines := parseListing(out)
	p.remember(lines)
	return lines, nil
}

// remember keeps in mind which rules a listing has.
func (p *place) remember(lines []line) {
	p.maybe = make(map[Rule]bool)
	for _, h := range p.held(lines) {
		if h.known {
			p.maybe[h.Rule] = true
		}
	}
}

// held is a rule of ours that the kernel holds.
type held struct {
	line  line
	at    int  // where in the listing
	known bool // it is of the form that Add makes, and this is what it is:
	Entry
}

// held picks our rules out of a listing.
func (p *place) held(lines []line) []held {
	var list []held
	for i, l := range lines {
		if l.in(p.chain) && p.ours(l) {
			e, known := p.entry(l)
			list = append(list, held{l, i, known, e})
		}
	}
	return list
}

// ours reports whether l is a rule with our comment, of whatever form: one left
// by another version of the daemon is ours too. The jump to a chain is not meant:
// straight in INPUT it is that of another daemon, which has the chain.
func (p *place) ours(l line) bool {
	if l[0] != "-A" || l.value("--comment") != comment {
		return false
	}
	target := l[len(l)-1]
	return checkName(target, maxChain) != nil || !p.isJump(l, target)
}

// isJump reports whether l is a jump to chain as we put it into the built-in one.
func (p *place) isJump(l line, chain string) bool {
	return l.in(p.base) && slices.Equal(l[2:], jumpArgs(chain))
}

// mend makes the chain and the jump if the listing lacks them, and reports
// whether it made one.
func (p *place) mend(run runs, lines []line) (bool, error) {
	if p.straight() {
		return false, nil
	}
	made := false
	if !p.made(lines) {
		if _, err := run(p.command("-N", p.chain)...); err != nil {
			return made, err
		}
		made = true
	}
	if !reaches(lines, p.base, p.chain) {
		if _, err := run(p.command(p.insertJumpArgs(1)...)...); err != nil {
			return made, err
		}
		made = true
	}
	return made, nil
}

// put puts e in. It may be there even if that fails: the run may have done its
// work before it was killed.
func (p *place) put(run runs, e Entry, timed bool) error {
	p.maybe[e.Rule] = true
	_, err := run(p.command(p.putArgs(e, timed)...)...)
	return err
}

// deleteLine takes out a rule in the words in which it was listed.
func (p *place) deleteLine(b *batch, l line) bool {
	return b.delete(p.command(append([]string{"-D"}, l[1:]...)...)...)
}

// delete takes out every copy of r that a listing has.
func (p *place) delete(b *batch, lines []line, r Rule) {
	gone := true
	for _, h := range p.held(lines) {
		if h.known && h.Rule == r {
			gone = p.deleteLine(b, h.line) && gone
		}
	}
	if gone {
		delete(p.maybe, r)
	}
}
