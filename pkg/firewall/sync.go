package firewall

import (
	"context"
	"fmt"
)

// Sync is [Backend.Sync]. A rule or a jump of ours that is there twice is taken
// out and put in again where its first copy was, since iptables takes out the
// first: for some milliseconds it is not there.
func (t *IPTables) Sync(ctx context.Context, want []Entry) (Changes, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, err := t.sync(ctx, want)
	c.sort()
	if err != nil {
		return c, fmt.Errorf("failed to reconcile chain %q: %w", t.options.Chain, err)
	}
	return c, nil
}

func (t *IPTables) sync(ctx context.Context, want []Entry) (Changes, error) {
	var c Changes
	lines, err := t.listing(ctx)
	if err != nil {
		return c, err
	}
	b := t.newBatch(ctx)
	c.Healed, err = t.mend(ctx, lines)
	b.note(err)
	if !b.over {
		b.note(t.probe(ctx))
	}
	b.oneJump(lines)

	list, refused := wanted(want, t.options.checkRule)
	copies := b.clear(t.held(lines), list, &c)
	for _, e := range list {
		if b.settle(e, copies[e.Rule]) {
			c.Restored = append(c.Restored, e.Rule)
		}
	}
	if refused != nil {
		b.errs = append(b.errs, refused)
	}
	return c, b.err()
}

// oneJump leaves one jump of ours, where the first was: below it there may be a
// rule that drops all.
func (b *batch) oneJump(lines []line) {
	chain := b.t.options.Chain
	jumps, first, number := 0, 0, 0
	for _, l := range lines {
		if l.in(input) {
			number++
		}
		if l.isJump(chain) {
			jumps++
			if jumps == 1 {
				first = number
			}
		}
	}
	if jumps < 2 {
		return
	}
	for range jumps {
		b.delete(deleteJumpArgs(chain)...)
	}
	b.run(insertJumpArgs(chain, first)...)
}

// copies are the rules of the kernel that are one Rule.
type copies struct {
	lines []line
	// misplaced says that it drops and stands before an accept.
	misplaced bool
}

// clear takes out what is not wanted, and gives the copies of what is.
func (b *batch) clear(list []held, want []Entry, c *Changes) map[Rule]*copies {
	found := make(map[Rule]*copies, len(want))
	for _, e := range want {
		found[e.Rule] = &copies{}
	}
	lowest := -1 // accept
	for i, h := range list {
		if h.known && h.Action == Accept {
			lowest = i
		}
	}
	stuck := make(map[Rule]bool) // not wanted: whether a copy is left
	for i, h := range list {
		switch p := found[h.Rule]; {
		case !h.known:
			if b.deleteLine(h.line) {
				c.Unknown++
			}
		case p != nil:
			p.lines = append(p.lines, h.line)
			p.misplaced = p.misplaced || h.Action == Drop && i < lowest
		default:
			stuck[h.Rule] = !b.deleteLine(h.line) || stuck[h.Rule]
		}
	}
	for r, left := range stuck {
		if !left {
			delete(b.t.maybe, r)
			c.Removed = append(c.Removed, r)
		}
	}
	return found
}

// settle makes the kernel hold e once and in its place, and reports whether it
// was missing, or there only with another end, and is there now.
func (b *batch) settle(e Entry, p *copies) bool {
	var same, others []line
	for _, l := range p.lines {
		if l.is(e, !b.t.untimed) {
			same = append(same, l)
		} else {
			others = append(others, l)
		}
	}
	missing := len(same) == 0
	if len(same) > 1 || len(same) == 1 && p.misplaced {
		for _, l := range same {
			b.deleteLine(l)
		}
		same = nil
	}
	if len(same) == 0 && !b.put(e) {
		return false
	}
	for _, l := range others {
		b.deleteLine(l)
	}
	return missing
}
