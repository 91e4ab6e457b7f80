package firewall

import (
	"math"
	"slices"
)

// change is what makes the kernel hold one rule, or one jump, as it should be.
type change struct {
	out     []int    // the lines of the listing that go first
	put     []string // what comes then, as arguments of iptables; nil for nothing
	later   []int    // the lines that go once that has come
	jump    bool     // it is the jump's
	unknown bool     // it takes out a rule of a form that is not known
	rule    Rule     // that comes, or comes anew
	// done keeps account of it; nil if it is not told.
	done func()
}

// runs is how many runs of iptables it takes.
func (c *change) runs() int {
	n := len(c.out) + len(c.later)
	if c.put != nil {
		n++
	}
	return n
}

// first is the first line of the listing that goes.
func (c *change) first() int {
	first := math.MaxInt
	for _, i := range c.out {
		first = min(first, i)
	}
	for _, i := range c.later {
		first = min(first, i)
	}
	return first
}

// plan is what a Sync has to change in what a listing shows of one place.
type plan struct {
	*place
	t       *IPTables
	lines   []line
	want    []Entry
	changes []*change
	known   []int // the lines that are rules of ours, of the form that Add makes
	part    bool  // of the changes some are left out
}

// newPlan compares a listing with what is wanted. What is done is told in told.
func (t *IPTables) newPlan(at *place, lines []line, want []Entry, told *Changes) *plan {
	p := &plan{place: at, t: t, lines: lines, want: want}
	p.oneJump()
	found := p.clear(told)
	for _, e := range want {
		p.settle(e, found[e.Rule], told)
	}
	return p
}

func (p *plan) add(c *change) { p.changes = append(p.changes, c) }

// only leaves out the changes that pick does not take.
func (p *plan) only(pick func(*change) bool) {
	before := len(p.changes)
	p.changes = slices.DeleteFunc(p.changes, func(c *change) bool { return !pick(c) })
	p.part = len(p.changes) < before
}

// oneJump leaves one jump of ours, where the first was: below it there may be a
// rule that drops all.
func (p *plan) oneJump() {
	var jumps []int
	first, number := 0, 0
	for i, l := range p.lines {
		if l.in(p.base) {
			number++
		}
		if !p.straight() && p.isJump(l, p.chain) {
			jumps = append(jumps, i)
			if len(jumps) == 1 {
				first = number
			}
		}
	}
	if len(jumps) > 1 {
		p.add(&change{jump: true, out: jumps, put: p.insertJumpArgs(first)})
	}
}

// copies are the rules of the kernel that are one Rule.
type copies struct {
	lines []int
	// misplaced says that it drops and stands before an accept.
	misplaced bool
}

// clear takes out what is not wanted, and gives the copies of what is.
func (p *plan) clear(told *Changes) map[Rule]*copies {
	found := make(map[Rule]*copies, len(p.want))
	for _, e := range p.want {
		found[e.Rule] = &copies{}
	}
	rules := p.held(p.lines)
	lowest := -1 // accept
	for _, h := range rules {
		if h.known && h.Action == Accept {
			lowest = h.at
		}
	}
	unwanted := make(map[Rule]*change)
	for _, h := range rules {
		if !h.known {
			p.add(&change{out: []int{h.at}, unknown: true, done: func() { told.Unknown++ }})
			continue
		}
		p.known = append(p.known, h.at)
		if f := found[h.Rule]; f != nil {
			f.lines = append(f.lines, h.at)
			f.misplaced = f.misplaced || h.Action == Drop && h.at < lowest
			continue
		}
		c := unwanted[h.Rule]
		if c == nil {
			c = &change{done: func() {
				delete(p.maybe, h.Rule)
				told.Removed = append(told.Removed, h.Rule)
			}}
			unwanted[h.Rule] = c
			p.add(c)
		}
		c.out = append(c.out, h.at)
	}
	return found
}

// settle makes the kernel hold e once and in its place. It is told if it was
// missing, or there only with another end.
func (p *plan) settle(e Entry, found *copies, told *Changes) {
	var same, others []int
	timed := !p.t.untimed
	for _, i := range found.lines {
		if p.is(p.lines[i], e, timed) {
			same = append(same, i)
		} else {
			others = append(others, i)
		}
	}
	c := &change{later: others, rule: e.Rule}
	if len(same) == 0 {
		c.done = func() { told.Restored = append(told.Restored, e.Rule) }
	}
	if len(same) > 1 || len(same) == 1 && found.misplaced {
		c.out = same
	}
	if len(same) != 1 || found.misplaced {
		// It may be there even if that fails: the run may have done its work
		// before it was killed.
		p.maybe[e.Rule] = true
		c.put = p.putArgs(e, timed)
	}
	if c.runs() > 0 {
		p.add(c)
	}
}

// sorted gives changes by the first line that they take out.
func sorted(changes []*change) []*change {
	list := slices.Clone(changes)
	slices.SortStableFunc(list, func(a, b *change) int { return a.first() - b.first() })
	return list
}
