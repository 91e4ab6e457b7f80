package firewall

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// DryRun is the Backend that changes nothing and prints the commands that would
// change the firewall, as they would be typed into a shell. It needs neither
// privileges nor iptables, and starts from a firewall that holds nothing of
// ours. Rules carry their end: it takes the kernel to have xt_time.
type DryRun struct {
	options Options
	print   func(command string)

	// mu guards the fields below, and keeps the commands in order.
	mu       sync.Mutex
	ready    bool // Setup was called
	forwards bool // there are chains for what is forwarded
	table    table
	places
}

var _ Backend = (*DryRun)(nil)

// NewDryRun gives a DryRun that calls print for each command, one at a time.
// print must not call back. A bad name of the chain is an error of Setup and
// Sync.
func NewDryRun(o Options, print func(command string)) *DryRun {
	o = o.withDefaults()
	d := &DryRun{options: o, print: print, places: newPlaces(o.Chain)}
	d.table.added = d.added
	d.table.deleted = d.deleted
	return d
}

func (d *DryRun) command(p *place, args ...string) {
	d.print(commandLine(d.options.Program, append([]string{"-w", "5"}, p.command(args...)...)))
}

func (d *DryRun) added(e Entry) {
	for _, p := range d.of(e.Rule) {
		d.command(p, p.putArgs(e, true)...)
	}
}

func (d *DryRun) deleted(e Entry) {
	for _, p := range slices.Backward(d.of(e.Rule)) {
		d.command(p, p.deleteArgs(e, true)...)
	}
}

// Setup is [Backend.Setup].
func (d *DryRun) Setup(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.setup(d.options.Forwards)
	return err
}

// setup tells whether it made a chain or a jump.
func (d *DryRun) setup(forwards bool) (bool, error) {
	if err := CheckChain(d.options.Chain); err != nil {
		return false, err
	}
	made := !d.ready && d.make(d.in)
	d.ready = true
	return d.setupForwards(forwards) && d.options.Forwards || made, nil
}

func (d *DryRun) setupForwards(forwards bool) bool {
	if !forwards || d.forwards {
		return false
	}
	d.forwards = true
	made := d.make(d.forward)
	return d.make(d.nat) || made
}

// make makes the chain of a place, and the jump, if there is to be one.
func (d *DryRun) make(p *place) bool {
	if p.straight() {
		return false
	}
	d.command(p, "-N", p.chain)
	d.command(p, p.insertJumpArgs(1)...)
	return true
}

// Add is [Backend.Add]: an entry that is there prints nothing.
func (d *DryRun) Add(_ context.Context, e Entry) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.options.checkRule(e.Rule); err != nil {
		return fmt.Errorf("failed to add rule %q: %w", e.Rule, err)
	}
	d.setupForwards(e.Action == Forward)
	d.table.set(e.cut())
	return nil
}

// Delete is [Backend.Delete]. For a rule that is not there the command is
// printed without an end, so that the outcome of a knock that closes is seen.
func (d *DryRun) Delete(_ context.Context, r Rule) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := r.Check(); err != nil {
		return fmt.Errorf("failed to delete rule %q: %w", r, err)
	}
	if d.table.removeRule(r) == 0 {
		d.deleted(Entry{Rule: r})
	}
	return nil
}

// Sync is [Backend.Sync].
func (d *DryRun) Sync(_ context.Context, want []Entry) (Changes, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	list, refused := wanted(want, d.options.checkRule)
	made, err := d.setup(d.options.Forwards || forwards(list))
	if err != nil {
		return Changes{}, err
	}
	c := d.table.sync(list)
	c.Healed = made
	return c, refused
}

// Teardown is [Backend.Teardown].
func (d *DryRun) Teardown(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.in.straight():
		d.table.remove(func(Entry) bool { return true })
	default:
		if d.ready {
			d.teardown(d.in)
		}
		if d.forwards {
			d.teardown(d.nat)
			d.teardown(d.forward)
		}
	}
	d.ready, d.forwards, d.table.entries = false, false, nil
	return nil
}

// teardown takes out what is in a chain of ours, and the chain.
func (d *DryRun) teardown(p *place) {
	d.command(p, p.deleteJumpArgs()...)
	if slices.ContainsFunc(d.table.entries, func(e Entry) bool { return slices.Contains(d.of(e.Rule), p) }) {
		d.command(p, "-F", p.chain)
	}
	d.command(p, "-X", p.chain)
}
