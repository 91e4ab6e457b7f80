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
	// maybe are the rules that the kernel may hold: those it listed last and
	// those that were added since. Any other needs no look before it is added,
	// and a port opens the sooner. Nil: the kernel has not been asked yet.
	maybe map[Rule]bool
	// probed says that untimed is known, and untimed that rules cannot carry
	// their end.
	probed, untimed bool
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
	t := &IPTables{options: o, run: runner(path, runLimit), restore: restorer(path, runLimit)}
	if o.Ran != nil {
		t.tellRan()
	}
	return t, nil
}

// tellRan has Ran called after each run.
func (t *IPTables) tellRan() {
	run, restore := t.run, t.restore
	t.run = func(ctx context.Context, args ...string) (string, error) {
		defer t.options.Ran()
		return run(ctx, args...)
	}
	if restore != nil {
		t.restore = func(ctx context.Context, changes string) error {
			defer t.options.Ran()
			return restore(ctx, changes)
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

// listing reads the filter table; of INPUT alone when the rules go there. Our
// chain alone is not asked for: the nf_tables variant calls a chain that is not
// there incompatible.
func (t *IPTables) listing(run runs) ([]line, error) {
	args := []string{"-S"}
	if t.options.Chain == input {
		args = append(args, input)
	}
	out, err := run(args...)
	if err != nil {
		return nil, err
	}
	lines := parseListing(out)
	t.maybe = make(map[Rule]bool)
	for _, h := range t.held(lines) {
		if h.known {
			t.maybe[h.Rule] = true
		}
	}
	return lines, nil
}

// held is a rule of ours that the kernel holds.
type held struct {
	line  line
	at    int  // where in the listing
	known bool // it is of the form that Add makes, and this is what it is:
	Entry
}

// held picks our rules out of a listing.
func (t *IPTables) held(lines []line) []held {
	var list []held
	for i, l := range lines {
		if l.in(t.options.Chain) && l.ours() {
			e, known := l.entry()
			list = append(list, held{l, i, known, e})
		}
	}
	return list
}

// Add is [Backend.Add]. It takes one run of the program until the port is open,
// or two for a rule that may be there; then it looks whether the chain is still
// there and reached, and mends that. Of several copies it takes out those with
// another end, and leaves the rest to Sync.
func (t *IPTables) Add(ctx context.Context, e Entry) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.options.checkRule(e.Rule)
	if err == nil {
		err = t.add(t.cut(ctx), e)
	}
	if err != nil {
		return fmt.Errorf("failed to add rule %q: %w", e.Rule, err)
	}
	return nil
}

func (t *IPTables) add(run runs, e Entry) error {
	if t.maybe != nil && !t.maybe[e.Rule] {
		err := t.put(run, e)
		if err != nil && !absent(err) || err == nil && t.options.Chain == input {
			return err
		}
	}
	lines, err := t.listing(run)
	if err != nil {
		return err
	}
	if _, err := t.mend(run, lines); err != nil {
		return err
	}
	var others []line
	there := false
	for _, h := range t.held(lines) {
		switch {
		case !h.known || h.Rule != e.Rule:
		case h.line.is(e, !t.untimed):
			there = true
		default:
			others = append(others, h.line)
		}
	}
	if !there {
		if err := t.put(run, e); err != nil {
			return err
		}
	}
	b := newBatch(run)
	for _, l := range others {
		b.deleteLine(l)
	}
	return b.err()
}

// put puts e in. It may be there even if that fails: the run may have done its
// work before it was killed.
func (t *IPTables) put(run runs, e Entry) error {
	t.maybe[e.Rule] = true
	_, err := run(putArgs(t.options.Chain, e, !t.untimed)...)
	return err
}

// Delete is [Backend.Delete]. It takes one run of the program to look which ends
// the rule has, and one for each.
func (t *IPTables) Delete(ctx context.Context, r Rule) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := r.check()
	if err == nil {
		err = t.delete(t.cut(ctx), r)
	}
	if err != nil {
		return fmt.Errorf("failed to delete rule %q: %w", r, err)
	}
	return nil
}

func (t *IPTables) delete(run runs, r Rule) error {
	lines, err := t.listing(run)
	if err != nil {
		return err
	}
	b := newBatch(run)
	for _, h := range t.held(lines) {
		if h.known && h.Rule == r {
			b.deleteLine(h.line)
		}
	}
	if err := b.err(); err != nil {
		return err
	}
	delete(t.maybe, r)
	return nil
}
