package firewall

import (
	"context"
	"fmt"
	"net/netip"
)

// forwardProbe is where a rule leads that is put in to see whether it can be: an
// address of a range for documentation, where nobody is.
var forwardProbe = netip.MustParseAddrPort("192.0.2.1:9")

// Setup is [Backend.Setup]. If INPUT leads to the chain already, by a jump of the
// administrator's or by way of chains of his, that is left as it is.
func (t *IPTables) Setup(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	run := t.whole(ctx)
	err := t.setup(run, t.in)
	if err == nil {
		err = t.probe(run)
	}
	if err == nil && t.options.Forwards {
		err = t.setupForwards(run)
	}
	if err != nil {
		return fmt.Errorf("failed to set up chain %q: %w", t.options.Chain, err)
	}
	return nil
}

func (t *IPTables) setup(run runs, p *place) error {
	lines, err := p.look(run)
	if err == nil {
		_, err = p.mend(run, lines)
	}
	return err
}

// setupForwards makes the chains for what is forwarded, and finds out, once,
// whether rules that forward work: much of what they take is loaded by the first.
func (t *IPTables) setupForwards(run runs) error {
	for _, p := range []*place{t.forward, t.nat} {
		if err := t.setup(run, p); err != nil {
			return fmt.Errorf("forwarding does not work: %w", err)
		}
	}
	for _, p := range []*place{t.forward, t.nat} {
		if err := t.tryForward(run, p); err != nil {
			return fmt.Errorf("forwarding does not work: %w", err)
		}
	}
	t.tried = true
	return nil
}

// tryForward puts a rule in that forwards for nobody, and takes it out again.
func (t *IPTables) tryForward(run runs, p *place) error {
	if t.tried {
		return nil
	}
	nobody := Entry{Rule: Rule{Src: netip.IPv4Unspecified(), Port: 9, Action: Forward, To: forwardProbe}, End: firstStop}
	if err := p.put(run, nobody, !t.untimed); err != nil {
		return err
	}
	if _, err := run(p.command(p.deleteArgs(nobody, !t.untimed)...)...); err != nil && !absent(err) {
		return err
	}
	delete(p.maybe, nobody.Rule)
	return nil
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
	if _, err := run(probeArgs(t.in.chain, "-A", timed)...); err != nil {
		return err
	}
	if _, err := run(probeArgs(t.in.chain, "-D", timed)...); !absent(err) {
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

// Teardown is [Backend.Teardown]. What is in INPUT goes first, then what leads
// away, then what lets through.
func (t *IPTables) Teardown(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := newBatch(t.cut(ctx))
	lines, err := t.in.look(b.run)
	if b.note(err) {
		t.in.teardown(b, lines, false)
	}
	t.teardownForwards(b, lines)
	if err := b.err(); err != nil {
		return fmt.Errorf("failed to tear down chain %q: %w", t.options.Chain, err)
	}
	return nil
}

// teardownForwards leaves the chain in the filter table, empty, if nat may hold
// something: it tells so to whoever comes next.
func (t *IPTables) teardownForwards(b *batch, lines []line) {
	if t.forward.straight() && !b.over {
		var err error
		lines, err = t.forward.look(b.run)
		if err != nil && !t.options.Forwards && t.nat.maybe == nil && !general(err) {
			return
		}
		b.note(err)
	}
	if b.over || !t.forwarding(lines) {
		return
	}
	before := b.failures()
	if away, err := t.nat.look(b.run); b.note(err) {
		t.nat.teardown(b, away, false)
	}
	t.forward.teardown(b, lines, b.failures() > before)
}

// teardown takes the jump out first: from then on every port is closed,
// whatever happens to the rest. The chain may be to stay.
func (p *place) teardown(b *batch, lines []line, stays bool) {
	var (
		made bool // the chain is there
		kept bool // a rule of somebody else's is in the chain
		used bool // a rule of somebody else's leads to the chain
	)
	for _, l := range lines {
		switch {
		case p.straight():
		case l.isChain(p.chain):
			made = true
		case p.isJump(l, p.chain):
			b.delete(p.command(p.deleteJumpArgs()...)...)
		case l.in(p.chain):
			kept = kept || !p.ours(l)
		case l.leadsTo(p.chain):
			used = true
		}
	}
	rules := p.held(lines)
	if made && !kept && len(rules) > 0 {
		b.delete(p.command("-F", p.chain)...) // one run, however many they are
		rules = nil
	}
	for _, h := range rules {
		p.deleteLine(b, h.line)
	}
	if made && !kept && !used && !stays {
		b.delete(p.command("-X", p.chain)...)
	}
}
