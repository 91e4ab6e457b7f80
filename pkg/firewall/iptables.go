package firewall

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// maxDuplicates bounds how often Delete deletes the same rule.
const maxDuplicates = 1000

// IPTables is the Backend that runs the iptables program, with arguments and
// never through a shell. Each run has a time limit of 10 s.
type IPTables struct {
	chain string
	run   runFunc

	// mu keeps a look at the kernel and the change that follows together, and
	// guards maybe.
	mu sync.Mutex
	// maybe are the rules that the kernel may hold: those it listed last and
	// those that were added since. Any other needs no look before it is added,
	// and a port opens the sooner. Nil: the kernel has not been asked yet.
	maybe map[Rule]bool
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
	return &IPTables{chain: o.Chain, run: runner(path, runLimit)}, nil
}

// Setup is [Backend.Setup]. If INPUT leads to the chain already, by a jump of the
// administrator's or by way of chains of his, that is left as it is.
func (t *IPTables) Setup(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.setup(ctx); err != nil {
		return fmt.Errorf("failed to set up chain %q: %w", t.chain, err)
	}
	return nil
}

func (t *IPTables) setup(ctx context.Context) error {
	lines, err := t.listing(ctx)
	if err != nil {
		return err
	}
	t.remember(lines)
	if t.chain == input {
		return nil
	}
	if !slices.ContainsFunc(lines, func(l line) bool { return l.isChain(t.chain) }) {
		if _, err := t.run(ctx, "-N", t.chain); err != nil {
			return err
		}
	}
	if !reaches(lines, t.chain) {
		if _, err := t.run(ctx, insertJumpArgs(t.chain)...); err != nil {
			return err
		}
	}
	return nil
}

// remember keeps which rules of ours a listing shows.
func (t *IPTables) remember(lines []line) {
	t.maybe = make(map[Rule]bool)
	for _, r := range t.rules(lines) {
		t.maybe[r] = true
	}
}

// rules picks our rules out of a listing.
func (t *IPTables) rules(lines []line) []Rule {
	var rules []Rule
	for _, l := range lines {
		if r, ok := l.rule(); ok && l.in(t.chain) {
			rules = append(rules, r)
		}
	}
	return rules
}

// listing reads the filter table; of INPUT alone when the rules go there. Our
// chain alone is not asked for: the nf_tables variant calls a chain that is not
// there incompatible.
func (t *IPTables) listing(ctx context.Context) ([]line, error) {
	args := []string{"-S"}
	if t.chain == input {
		args = append(args, input)
	}
	out, err := t.run(ctx, args...)
	return parseListing(out), err
}

// Add is [Backend.Add]. It takes one run of the program, or two for a rule that
// may be there; then, with the port open, it looks whether the chain is still
// there and reached, and mends that.
func (t *IPTables) Add(ctx context.Context, r Rule) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := r.check()
	if err == nil {
		err = t.add(ctx, r)
	}
	if err != nil {
		return fmt.Errorf("failed to add rule %q: %w", r, err)
	}
	return nil
}

func (t *IPTables) add(ctx context.Context, r Rule) error {
	err := t.insert(ctx, r)
	if err != nil && !absent(err) || err == nil && t.chain == input {
		return err
	}
	if err := t.setup(ctx); err != nil || t.maybe[r] {
		return err
	}
	return t.insert(ctx, r)
}

// insert puts r in, unless it is there.
func (t *IPTables) insert(ctx context.Context, r Rule) error {
	if t.maybe == nil || t.maybe[r] {
		_, err := t.run(ctx, checkArgs(t.chain, r)...)
		if err == nil || !absent(err) {
			return err
		}
	} else {
		t.maybe[r] = true // also if the run fails: it may have done its work
	}
	_, err := t.run(ctx, insertArgs(t.chain, r)...)
	return err
}

// Delete is [Backend.Delete].
func (t *IPTables) Delete(ctx context.Context, r Rule) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.delete(ctx, r); err != nil {
		return fmt.Errorf("failed to delete rule %q: %w", r, err)
	}
	return nil
}

func (t *IPTables) delete(ctx context.Context, r Rule) error {
	if err := r.check(); err != nil {
		return err
	}
	for range maxDuplicates {
		_, err := t.run(ctx, deleteArgs(t.chain, r)...)
		if absent(err) {
			delete(t.maybe, r)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("still there after %d deletes", maxDuplicates)
}

// List is [Backend.List], in the kernel's order. Without the chain there are no
// rules.
func (t *IPTables) List(ctx context.Context) ([]Rule, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines, err := t.listing(ctx)
	if err != nil {
		return nil, fmt.Errorf("failed to list chain %q: %w", t.chain, err)
	}
	return t.rules(lines), nil
}

// Teardown is [Backend.Teardown].
func (t *IPTables) Teardown(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines, err := t.listing(ctx)
	if err == nil {
		err = t.teardown(ctx, lines)
	}
	if err != nil {
		return fmt.Errorf("failed to tear down chain %q: %w", t.chain, err)
	}
	return nil
}

// teardown takes the jump out first: from then on every port is closed,
// whatever happens to the rest.
func (t *IPTables) teardown(ctx context.Context, lines []line) error {
	var (
		errs  []error
		rules []line // ours, in the chain
		made  bool   // the chain is there
		kept  bool   // a rule of somebody else's is in the chain
		used  bool   // a rule of somebody else's leads to the chain
	)
	run := func(args ...string) {
		if _, err := t.run(ctx, args...); err != nil && !absent(err) {
			errs = append(errs, err)
		}
	}
	for _, l := range lines {
		switch {
		case l.isChain(t.chain):
			made = true
		case l.isJump(t.chain):
			run(deleteJumpArgs(t.chain)...)
		case l.in(t.chain) && l.ours():
			rules = append(rules, l)
		case l.in(t.chain):
			kept = true
		case l.leadsTo(t.chain):
			used = true
		}
	}
	if made && !kept && len(rules) > 0 {
		run("-F", t.chain) // one run, however many they are
		rules = nil
	}
	for _, l := range rules {
		run(append([]string{"-D"}, l[1:]...)...)
	}
	if made && !kept && !used {
		run("-X", t.chain)
	}
	return errors.Join(errs...)
}
