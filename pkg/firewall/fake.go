package firewall

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Op names a method of Backend, to tell a Fake which one fails.
type Op string

// The methods of Backend.
const (
	OpSetup    Op = "setup"
	OpAdd      Op = "add"
	OpDelete   Op = "delete"
	OpList     Op = "list"
	OpTeardown Op = "teardown"
)

// Fake is a Backend that holds its rules in memory, for tests: it can be told
// to fail, and all it holds can be compared with a literal.
type Fake struct {
	// mu guards all fields.
	mu    sync.Mutex
	ready bool   // the chain and the jump are there
	rules []Rule // the latest first
	calls []string
	fail  map[Op]error // fails before it changes anything
	late  map[Op]error // fails after it has changed everything
}

var _ Backend = (*Fake)(nil)

// NewFake gives a Fake that holds nothing.
func NewFake() *Fake {
	return &Fake{fail: map[Op]error{}, late: map[Op]error{}}
}

// Fail makes op change nothing and return err from now on; nil ends that.
func (f *Fake) Fail(op Op, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail[op] = err
}

// FailLate makes op do its work and return err all the same, as a program that
// is killed after its change; nil ends that.
func (f *Fake) FailLate(op Op, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.late[op] = err
}

// Flush loses all rules, the chain and the jump, as "iptables -F; iptables -X"
// by an administrator does.
func (f *Fake) Flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready, f.rules = false, nil
}

// Calls gives the calls since the last call of Calls, as "add 192.0.2.1 22/tcp".
func (f *Fake) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

// Dump gives all that is held: "chain\n" once Setup was called, then one
// "accept 192.0.2.1 22/tcp\n" a rule, the latest first.
func (f *Fake) Dump() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	if f.ready {
		b.WriteString("chain\n")
	}
	for _, r := range f.rules {
		fmt.Fprintf(&b, "accept %s\n", r)
	}
	return b.String()
}

// call records a call and makes its change unless it is to fail.
func (f *Fake) call(ctx context.Context, op Op, detail string, change func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, strings.TrimSpace(string(op)+" "+detail))
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := f.fail[op]; err != nil {
		return err
	}
	change()
	return f.late[op]
}

// Setup is [Backend.Setup].
func (f *Fake) Setup(ctx context.Context) error {
	return f.call(ctx, OpSetup, "", func() { f.ready = true })
}

// Add is [Backend.Add]. Like the real one it makes the chain again if that is
// gone.
func (f *Fake) Add(ctx context.Context, r Rule) error {
	return f.call(ctx, OpAdd, r.String(), func() {
		f.ready = true
		if !slices.Contains(f.rules, r) {
			f.rules = slices.Insert(f.rules, 0, r)
		}
	})
}

// Delete is [Backend.Delete].
func (f *Fake) Delete(ctx context.Context, r Rule) error {
	return f.call(ctx, OpDelete, r.String(), func() {
		f.rules = slices.DeleteFunc(f.rules, func(other Rule) bool { return other == r })
	})
}

// List is [Backend.List].
func (f *Fake) List(ctx context.Context) (rules []Rule, err error) {
	err = f.call(ctx, OpList, "", func() { rules = slices.Clone(f.rules) })
	return rules, err
}

// Teardown is [Backend.Teardown].
func (f *Fake) Teardown(ctx context.Context) error {
	return f.call(ctx, OpTeardown, "", func() { f.ready, f.rules = false, nil })
}
