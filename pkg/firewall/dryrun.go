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
// ours.
type DryRun struct {
	options Options
	print   func(command string)

	// mu guards the fields below, and keeps the commands in order.
	mu    sync.Mutex
	ready bool   // Setup was called
	rules []Rule // the latest first, as -I puts them
}

var _ Backend = (*DryRun)(nil)

// NewDryRun gives a DryRun that calls print for each command, one at a time.
// print must not call back. A bad name of the chain is an error of Setup.
func NewDryRun(o Options, print func(command string)) *DryRun {
	return &DryRun{options: o.withDefaults(), print: print}
}

func (d *DryRun) command(args ...string) {
	d.print(commandLine(d.options.Program, append([]string{"-w", "5"}, args...)))
}

// Setup is [Backend.Setup].
func (d *DryRun) Setup(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := CheckChain(d.options.Chain); err != nil {
		return err
	}
	if !d.ready && d.options.Chain != input {
		d.command("-N", d.options.Chain)
		d.command(insertJumpArgs(d.options.Chain)...)
	}
	d.ready = true
	return nil
}

// Add is [Backend.Add]: a rule that is there prints nothing.
func (d *DryRun) Add(_ context.Context, r Rule) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := r.check(); err != nil {
		return fmt.Errorf("failed to add rule %q: %w", r, err)
	}
	if !slices.Contains(d.rules, r) {
		d.command(insertArgs(d.options.Chain, r)...)
		d.rules = slices.Insert(d.rules, 0, r)
	}
	return nil
}

// Delete is [Backend.Delete]. The command is printed also for a rule that is
// not there: the real firewall is asked too.
func (d *DryRun) Delete(_ context.Context, r Rule) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := r.check(); err != nil {
		return fmt.Errorf("failed to delete rule %q: %w", r, err)
	}
	d.command(deleteArgs(d.options.Chain, r)...)
	d.rules = slices.DeleteFunc(d.rules, func(other Rule) bool { return other == r })
	return nil
}

// List is [Backend.List]: the rules that would be there.
func (d *DryRun) List(context.Context) ([]Rule, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.rules), nil
}

// Teardown is [Backend.Teardown].
func (d *DryRun) Teardown(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	chain := d.options.Chain
	switch {
	case chain == input:
		for _, r := range d.rules {
			d.command(deleteArgs(chain, r)...)
		}
	case d.ready:
		d.command(deleteJumpArgs(chain)...)
		if len(d.rules) > 0 {
			d.command("-F", chain)
		}
		d.command("-X", chain)
	}
	d.ready, d.rules = false, nil
	return nil
}
