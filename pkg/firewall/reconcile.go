package firewall

import (
	"context"
	"slices"
)

// reconciling is one Sync.
type reconciling struct {
	*IPTables
	ctx      context.Context
	b        *batch
	told     *Changes
	accepts  []Entry // and drops
	forwards []Entry
	known    bool // the chains for what is forwarded should have been there
	through  bool // the chain that lets through what is forwarded is there
}

func (t *IPTables) sync(ctx context.Context, want []Entry, told *Changes) error {
	list, refused := wanted(want, t.options.checkRule)
	s := &reconciling{IPTables: t, ctx: ctx, b: newBatch(t.whole(ctx)), told: told}
	s.known = t.options.Forwards || t.nat.maybe != nil
	for _, e := range list {
		if e.Action == Forward {
			s.forwards = append(s.forwards, e)
		} else {
			s.accepts = append(s.accepts, e)
		}
	}
	if lines, ok := s.open(t.in); ok {
		s.settle(t.in, lines, s.accepts, everything)
		s.settleForwards(lines)
	}
	if refused != nil {
		s.b.errs = append(s.b.errs, refused)
	}
	return s.b.err()
}

// open looks at a place and makes ready what is wanted there.
func (s *reconciling) open(p *place) ([]line, bool) {
	if s.b.over {
		return nil, false
	}
	lines, err := p.look(s.b.run)
	if !s.b.note(err) {
		return nil, false
	}
	s.prepare(p, lines)
	return lines, true
}

// prepare makes the chain and the jump, and finds out whether rules can carry
// their end. In nat nothing is made before there is what lets through.
func (s *reconciling) prepare(p *place, lines []line) {
	if p != s.in && !s.needed() || p == s.nat && !s.through {
		return
	}
	made, err := p.mend(s.b.run, lines)
	s.told.Healed = s.told.Healed || made && (p == s.in || s.known)
	ok := s.b.note(err)
	switch {
	case p == s.in && !s.b.over:
		s.b.note(s.probe(s.b.run))
	case p == s.forward:
		s.through = ok
	}
}

// needed reports whether there is to be a place for rules that forward.
func (s *reconciling) needed() bool { return s.options.Forwards || len(s.forwards) > 0 }

// settle makes the changes in one place that pick takes.
func (s *reconciling) settle(at *place, lines []line, want []Entry, pick func(*change) bool) {
	var failed error // of the last try
	for w := allAtOnce; ; w++ {
		if w > allAtOnce {
			var ok bool
			if lines, ok = s.open(at); !ok {
				return
			}
		}
		p := s.newPlan(at, lines, want, s.told)
		p.only(pick)
		strokes, single := p.split(w)
		if err := p.strike(s.ctx, s.b, strokes); err != nil {
			failed = err
			continue
		}
		p.each(s.b, single, failed)
		return
	}
}

// What settle makes: all changes, those that only take out, or the others.
func everything(*change) bool { return true }
func removal(c *change) bool  { return c.put == nil }
func addition(c *change) bool { return c.put != nil }

// settleForwards makes the changes of what is forwarded, if there may be any: what
// leads away goes before what lets through, and comes after it. The lines are those
// of the filter table, or of INPUT alone.
func (s *reconciling) settleForwards(lines []line) {
	lines, ok := s.openForward(lines)
	if !ok || !s.needed() && !s.forwarding(lines) {
		return
	}
	away, ok := s.open(s.nat)
	if ok {
		s.settle(s.nat, away, s.forwards, removal)
	}
	through := s.letThrough(lines)
	if ok {
		s.settle(s.nat, away, through, addition)
	}
}

// openForward is open for what lets through, which the listing shows already
// unless it is straight in FORWARD.
func (s *reconciling) openForward(lines []line) ([]line, bool) {
	if s.b.over {
		return nil, false
	}
	if s.forward.straight() {
		var err error
		lines, err = s.forward.look(s.b.run)
		if err != nil && !s.needed() && s.nat.maybe == nil && !general(err) {
			return nil, false // what another program has put there iptables cannot read: none of it is ours
		}
		if !s.b.note(err) {
			return nil, false
		}
	}
	s.forward.remember(lines)
	s.prepare(s.forward, lines)
	return lines, true
}

// letThrough makes the changes in FORWARD, and gives what is let through then.
func (s *reconciling) letThrough(lines []line) []Entry {
	s.settle(s.forward, lines, s.forwards, everything)
	there := make(map[Rule]bool)
	for _, h := range s.forward.held(lines) {
		there[h.Rule] = h.known
	}
	for _, r := range s.told.Restored {
		there[r] = true
	}
	return slices.DeleteFunc(slices.Clone(s.forwards), func(e Entry) bool { return !there[e.Rule] })
}
