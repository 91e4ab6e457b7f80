package firewall

import (
	"context"
	"fmt"
	"sync"
)

// IPTables is the Backend that runs the iptables program, with arguments and
// never through a shell. Each run has a time limit of 10 s. A Sync feeds its
// changes to the restore program beside it, if there is one (iptables-restore for
// iptables), which makes all of them or none.
type IPTables struct {
	options Options
	run     runFunc
	restore restoreFunc // nil: there is no such program

	// mu keeps a look at the kernel and the change that follows together, and
	// guards the fields below.
	mu sync.Mutex
	places
	// probed says that untimed is known, and untimed that rules cannot carry
	// their end. tried says that rules of a Forward were found to work.
	probed, untimed, tried bool
}

var _ Backend = (*IPTables)(nil)

// NewIPTables finds the program and changes nothing yet. The error wraps
// ErrNotFound if there is no such program, and says what is wrong with the name
// of the chain.
func NewIPTables(o Options) (*IPTables, error) {
	o = o.withDefaults()
	if err := CheckChain(o.Chain); err != nil {
		return nil, err
	}
	path, err := findProgram(o.Program)
	if err != nil {
		return nil, err
	}
	t := newIPTables(o, runner(path, runLimit), restorer(path, runLimit))
	if o.Ran != nil {
		t.tellRan()
	}
	return t, nil
}

func newIPTables(o Options, run runFunc, restore restoreFunc) *IPTables {
	return &IPTables{options: o, run: run, restore: restore, places: newPlaces(o.Chain)}
}

// tellRan has Ran called after each run.
func (t *IPTables) tellRan() {
	run, restore := t.run, t.restore
	t.run = func(ctx context.Context, args ...string) (string, error) {
		defer t.options.Ran()
		return run(ctx, args...)
	}
	if restore != nil {
		t.restore = func(ctx context.Context, table, changes string) error {
			defer t.options.Ran()
			return restore(ctx, table, changes)
		}
	}
}

// runs runs iptables as part of one call of a method.
type runs func(args ...string) (string, error)

// cut gives runs that end when ctx does.
func (t *IPTables) cut(ctx context.Context) runs {
	return func(args ...string) (string, error) { return t.run(ctx, args...) }
}

// whole gives runs of which none begins when ctx has ended, and none is cut.
func (t *IPTables) whole(ctx context.Context) runs {
	return func(args ...string) (string, error) {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		return t.run(context.WithoutCancel(ctx), args...)
	}
}

// forwarding reports whether rules that forward are wanted, or may be there. The
// listing is one of what is in the place for them in the filter table.
func (t *IPTables) forwarding(lines []line) bool {
	return t.options.Forwards || t.nat.maybe != nil || t.forward.made(lines)
}

// Add is [Backend.Add]. It takes one run of the program until the port is open,
// or two for a rule that may be there; then it looks whether the chain is still
// there and reached, and mends that. A Forward takes as much in each of its two
// chains. Of several copies it takes out those with another end, and leaves the
// rest to Sync.
func (t *IPTables) Add(ctx context.Context, e Entry) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.options.checkRule(e.Rule)
	for _, p := range t.of(e.Rule) {
		if err == nil {
			err = t.add(t.cut(ctx), p, e)
		}
	}
	if err != nil {
		return fmt.Errorf("failed to add rule %q: %w", e.Rule, err)
	}
	return nil
}

func (t *IPTables) add(run runs, p *place, e Entry) error {
	if p.maybe != nil && !p.maybe[e.Rule] {
		err := p.put(run, e, !t.untimed)
		if err != nil && !absent(err) || err == nil && p.straight() {
			return err
		}
	}
	lines, err := p.look(run)
	if err != nil {
		return err
	}
	if _, err := p.mend(run, lines); err != nil {
		return err
	}
	var others []line
	there := false
	for _, h := range p.held(lines) {
		switch {
		case !h.known || h.Rule != e.Rule:
		case p.is(h.line, e, !t.untimed):
			there = true
		default:
			others = append(others, h.line)
		}
	}
	if !there {
		if err := p.put(run, e, !t.untimed); err != nil {
			return err
		}
	}
	b := newBatch(run)
	for _, l := range others {
		p.deleteLine(b, l)
	}
	return b.err()
}

// Delete is [Backend.Delete]. It takes one run of the program to look which ends
// the rule has, and one for each; of a Forward as much in each of its two chains.
func (t *IPTables) Delete(ctx context.Context, r Rule) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := r.Check()
	if err == nil {
		err = t.delete(newBatch(t.cut(ctx)), r)
	}
	if err != nil {
		return fmt.Errorf("failed to delete rule %q: %w", r, err)
	}
	return nil
}

// delete takes out what leads away before what lets through.
func (t *IPTables) delete(b *batch, r Rule) error {
	p := t.of(r)[0]
	lines, err := p.look(b.run)
	if err != nil {
		return err
	}
	if r.Action == Forward && t.forwarding(lines) {
		away, err := t.nat.look(b.run)
		if b.note(err) {
			t.nat.delete(b, away, r)
		}
	}
	p.delete(b, lines, r)
	return b.err()
}
