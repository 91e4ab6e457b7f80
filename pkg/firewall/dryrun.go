package firewall

import (
	"context"
	"fmt"
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
	mu    sync.Mutex
	ready bool // Setup was called
	table table
}

var _ Backend = (*DryRun)(nil)

// NewDryRun gives a DryRun that calls print for each command, one at a time.
// print must not call back. A bad name of the chain is an error of Setup and
// Sync.
func NewDryRun(o Options, print func(command string)) *DryRun {
	d := &DryRun{options: o.withDefaults(), print: print}
	d.table.added = func(e Entry) { d.command(putArgs(d.options.Chain, e, true)...) }
	d.table.deleted = func(e Entry) { d.command(deleteArgs(d.options.Chain, e, true)...) }
	return d
}

func (d *DryRun) command(args ...string) {
	d.print(commandLine(d.options.Program, append([]string{"-w", "5"}, args...)))
}

// Setup is [Backend.Setup].
func (d *DryRun) Setup(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.setup()
	return err
}

// setup tells whether it made the chain or the jump.
func (d *DryRun) setup() (bool, error) {
	if err := CheckChain(d.options.Chain); err != nil {
		return false, err
	}
	made := !d.ready && d.options.Chain != input
	if made {
		d.command("-N", d.options.Chain)
		d.command(insertJumpArgs(d.options.Chain, 1)...)
	}
	d.ready = true
	return made, nil
}

// Add is [Backend.Add]: an entry that is there prints nothing.
func (d *DryRun) Add(_ context.Context, e Entry) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.options.checkRule(e.Rule); err != nil {
		return fmt.Errorf("failed to add rule %q: %w", e.Rule, err)
	}
	d.table.set(e.cut())
	return nil
}

// Delete is [Backend.Delete]. For a rule that is not there the command is
// printed without an end, so that the outcome of a knock that closes is seen.
func (d *DryRun) Delete(_ context.Context, r Rule) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := r.check(); err != nil {
		return fmt.Errorf("failed to delete rule %q: %w", r, err)
	}
	if d.table.removeRule(r) == 0 {
		d.table.deleted(Entry{Rule: r})
	}
	return nil
}

// Sync is [Backend.Sync].
func (d *DryRun) Sync(_ context.Context, want []Entry) (Changes, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	made, err := d.setup()
	if err != nil {
		return Changes{}, err
	}
	list, err := wanted(want, d.options.checkRule)
	c := d.table.sync(list)
	c.Healed = made
	return c, err
}

// Teardown is [Backend.Teardown].
func (d *DryRun) Teardown(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	chain := d.options.Chain
	switch {
	case chain == input:
		d.table.remove(func(Entry) bool { return true })
	case d.ready:
		d.command(deleteJumpArgs(chain)...)
		if len(d.table.entries) > 0 {
			d.command("-F", chain)
		}
		d.command("-X", chain)
	}
	d.ready, d.table.entries = false, nil
	return nil
}
