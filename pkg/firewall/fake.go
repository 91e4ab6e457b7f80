package firewall

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Op names a method of Backend, to tell a Fake which one fails.
type Op string

// The methods of Backend.
const (
	OpSetup    Op = "setup"
	OpAdd      Op = "add"
	OpDelete   Op = "delete"
	OpSync     Op = "sync"
	OpTeardown Op = "teardown"
)

// Fake is a Backend that holds its rules in memory, for tests: it can be told
// to fail, and all it holds can be compared with a literal. Time does not pass
// for it: a rule stays after its end.
type Fake struct {
	options Options

	// mu guards the fields below.
	mu       sync.Mutex
	ready    bool // the chain and the jump are there
	forwards bool // so are those for what is forwarded
	known    bool // those should be there
	table    table
	calls    []string
	fail     map[Op]error // fails before it changes anything
	late     map[Op]error // fails after it has changed everything
}

var _ Backend = (*Fake)(nil)

// NewFake gives a Fake that holds nothing, with a chain of our own.
func NewFake() *Fake { return NewFakeIn(DefaultChain) }

// NewFakeIn gives a Fake that holds nothing, whose rules live in chain. In
// "INPUT" it has no chain of our own, and no Drop.
func NewFakeIn(chain string) *Fake {
	o := Options{Chain: chain}.withDefaults()
	return &Fake{options: o, fail: map[Op]error{}, late: map[Op]error{}}
}

// make makes the chain and the jump, and those for what is forwarded if that is
// wanted, and tells whether one that should be there was missing.
func (f *Fake) make(forwards bool) bool {
	own := f.options.Chain != input
	missing := own && (!f.ready || forwards && !f.forwards && f.known)
	f.ready, f.forwards = own, f.forwards || own && forwards
	f.known = f.known || f.forwards
	return missing
}

// lose loses all that is held.
func (f *Fake) lose() { f.ready, f.forwards, f.table = false, false, table{} }

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
	f.lose()
}

// Plant puts e in, as a copy if it is there, as somebody's restore of a saved
// firewall does. The chain and the jump come with it.
func (f *Fake) Plant(e Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.make(e.Action == Forward)
	f.table.put(e.cut())
}

// Calls gives the calls since the last call of Calls, as "add 192.0.2.1 22/tcp".
func (f *Fake) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

// Dump gives all that is held: "chain\n" once Setup made one, "forward chain\n"
// once a rule that forwards did, then one line a rule in the order in which a
// packet meets them, which is the latest drop last and the latest of the others
// first: "accept 192.0.2.1 22/tcp\n", with an end "accept 192.0.2.1 22/tcp until
// 2026-01-02T03:04:05Z\n", "forward 192.0.2.1 2222/tcp to 10.0.0.5:22\n",
// "drop 192.0.2.1\n".
func (f *Fake) Dump() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	if f.ready {
		b.WriteString("chain\n")
	}
	if f.forwards {
		b.WriteString("forward chain\n")
	}
	for _, e := range f.table.entries {
		switch e.Action {
		case Accept:
			b.WriteString("accept ")
		case Forward:
			b.WriteString("forward ")
		}
		b.WriteString(e.Rule.String())
		if !e.End.IsZero() {
			b.WriteString(" until " + e.End.Format(time.RFC3339))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// call records a call and makes its change unless it is to fail.
func (f *Fake) call(ctx context.Context, op Op, detail string, change func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, strings.TrimSpace(string(op)+" "+detail))
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := f.fail[op]; err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	return f.late[op]
}

// Setup is [Backend.Setup].
func (f *Fake) Setup(ctx context.Context) error {
	return f.call(ctx, OpSetup, "", func() error { f.make(false); return nil })
}

// Add is [Backend.Add]. Like the real one it makes the chain again if that is
// gone.
func (f *Fake) Add(ctx context.Context, e Entry) error {
	return f.call(ctx, OpAdd, e.Rule.String(), func() error {
		if err := f.options.checkRule(e.Rule); err != nil {
			return fmt.Errorf("failed to add rule %q: %w", e.Rule, err)
		}
		f.make(e.Action == Forward)
		f.table.set(e.cut())
		return nil
	})
}

// Delete is [Backend.Delete].
func (f *Fake) Delete(ctx context.Context, r Rule) error {
	return f.call(ctx, OpDelete, r.String(), func() error { f.table.removeRule(r); return nil })
}

// Sync is [Backend.Sync].
func (f *Fake) Sync(ctx context.Context, want []Entry) (changes Changes, err error) {
	err = f.call(ctx, OpSync, "", func() error {
		list, refused := wanted(want, f.options.checkRule)
		changes = f.table.sync(list)
		changes.Healed = f.make(forwards(list))
		return refused
	})
	return changes, err
}

// Teardown is [Backend.Teardown].
func (f *Fake) Teardown(ctx context.Context) error {
	return f.call(ctx, OpTeardown, "", func() error { f.lose(); return nil })
}
