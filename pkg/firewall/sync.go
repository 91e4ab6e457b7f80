package firewall

import (
	"context"
	"fmt"
)

// maxSingle is how many runs of the program, one for each rule, a Sync makes: no
// port is opened meanwhile.
const maxSingle = 250

// Sync is [Backend.Sync]. More than one change of a chain is made by one run of the
// restore program, so that nothing is open or shut in between; very many by a few;
// in nat, what goes and what comes by one each. It is tried again if somebody
// changed the table meanwhile. Failing that, or without such a program, the changes
// are made one by one, up to 250, and it is an error if there are more. Then a rule or a jump of ours that is there twice, which is
// taken out and put in again where its first copy was, since iptables takes out
// the first, is not there for some milliseconds.
func (t *IPTables) Sync(ctx context.Context, want []Entry) (Changes, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var told Changes
	err := t.sync(ctx, want, &told)
	told.sort()
	if err != nil {
		return told, fmt.Errorf("failed to reconcile chain %q: %w", t.options.Chain, err)
	}
	return told, nil
}

// strike makes strokes. The error is that of one which is worth another try.
func (p *plan) strike(ctx context.Context, b *batch, strokes []*stroke) error {
	for _, s := range strokes {
		if b.over {
			return nil
		}
		err := ctx.Err()
		if err == nil {
			err = p.t.restore(context.WithoutCancel(ctx), p.name(), p.text(s))
		}
		if err != nil && !general(err) {
			return err
		}
		if !b.note(err) {
			return nil
		}
		for _, c := range s.changes {
			c.account()
		}
	}
	return nil
}

func (c *change) account() {
	if c.done != nil {
		c.done()
	}
}

// each makes changes one by one, until they are too many; failed says why they
// could not be made at once.
func (p *plan) each(b *batch, changes []*change, failed error) {
	runs := 0
	for i, c := range changes {
		if runs += c.runs(); runs > maxSingle && i > 0 && !b.over {
			err := fmt.Errorf("%d changes are left to the next time", len(changes)-i)
			if failed != nil {
				err = fmt.Errorf("%w, since they cannot be made at once: %w", err, failed)
			}
			b.note(err)
			return
		}
		if p.single(b, c) {
			c.account()
		}
	}
}

// single makes one change, and reports whether what it is told for has come
// about: what comes is there, or, if nothing does, what goes is gone.
func (p *plan) single(b *batch, c *change) bool {
	gone := true
	for _, i := range c.out {
		gone = p.deleteLine(b, p.lines[i]) && gone
	}
	if c.put != nil && !b.put(p.command(c.put...)...) {
		return false
	}
	for _, i := range c.later {
		p.deleteLine(b, p.lines[i])
	}
	return gone || c.put != nil
}
