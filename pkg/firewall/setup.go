package firewall

import (
	"context"
	"fmt"
	"slices"
)

// Setup is [Backend.Setup]. If INPUT leads to the chain already, by a jump of the
// administrator's or by way of chains of his, that is left as it is.
func (t *IPTables) Setup(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	run := t.whole(ctx)
	lines, err := t.listing(run)
	if err == nil {
		_, err = t.mend(run, lines)
	}
	if err == nil {
		err = t.probe(run)
	}
	if err != nil {
		return fmt.Errorf("failed to set up chain %q: %w", t.options.Chain, err)
	}
	return nil
}

// mend makes the chain and the jump if the listing lacks them, and reports
// whether it made one.
func (t *IPTables) mend(run runs, lines []line) (bool, error) {
	chain := t.options.Chain
	if chain == input {
		return false, nil
	}
	made := false
	if !slices.ContainsFunc(lines, func(l line) bool { return l.isChain(chain) }) {
		if _, err := run("-N", chain); err != nil {
			return made, err
		}
		made = true
	}
	if !reaches(lines, chain) {
		if _, err := run(insertJumpArgs(chain, 1)...); err != nil {
			return made, err
		}
		made = true
	}
	return made, nil
}

// probe finds out, once, whether rules can carry their end. That they cannot is
// believed only if the same rule is refused with an end, taken without one, and
// refused again: no passing trouble is to leave all rules without an end.
func (t *IPTables) probe(run runs) error {
	if t.probed {
		return nil
	}
	refused := func(err error) bool { return err != nil && !general(err) }
	err := t.try(run, true)
	if refused(err) && t.try(run, false) == nil {
		if err = t.try(run, true); refused(err) {
			t.untimed = true
			t.warn(err)
			err = nil
		}
	}
	t.probed = err == nil
	return err
}

// try puts a rule that does nothing into the chain and takes it out again.
func (t *IPTables) try(run runs, timed bool) error {
	if _, err := run(probeArgs(t.options.Chain, "-A", timed)...); err != nil {
		return err
	}
	if _, err := run(probeArgs(t.options.Chain, "-D", timed)...); !absent(err) {
		return err
	}
	return nil
}

func (t *IPTables) warn(err error) {
	if t.options.Warn == nil {
		return
	}
	t.options.Warn(fmt.Sprintf("rules cannot carry their end, because iptables or the kernel lacks xt_time: "+
		"a port that is open when knockdaemon is killed stays open until it runs again (%v)", err))
}

// Teardown is [Backend.Teardown].
func (t *IPTables) Teardown(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	run := t.cut(ctx)
	lines, err := t.listing(run)
	if err == nil {
		err = t.teardown(run, lines)
	}
	if err != nil {
		return fmt.Errorf("failed to tear down chain %q: %w", t.options.Chain, err)
	}
	return nil
}

// teardown takes the jump out first: from then on every port is closed,
// whatever happens to the rest.
func (t *IPTables) teardown(run runs, lines []line) error {
	var (
		chain = t.options.Chain
		made  bool // the chain is there
		kept  bool // a rule of somebody else's is in the chain
		used  bool // a rule of somebody else's leads to the chain
	)
	b := newBatch(run)
	for _, l := range lines {
		switch {
		case l.isChain(chain):
			made = true
		case l.isJump(chain):
			b.delete(deleteJumpArgs(chain)...)
		case l.in(chain):
			kept = kept || !l.ours()
		case l.leadsTo(chain):
			used = true
		}
	}
	rules := t.held(lines)
	if made && !kept && len(rules) > 0 {
		b.delete("-F", chain) // one run, however many they are
		rules = nil
	}
	for _, h := range rules {
		b.deleteLine(h.line)
	}
	if made && !kept && !used {
		b.delete("-X", chain)
	}
	return b.err()
}
