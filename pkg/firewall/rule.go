package firewall

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Action is what a Rule does with a packet.
type Action uint8

const (
	// Accept lets TCP to one port in.
	Accept Action = iota
	// Drop drops what would begin a connection, of whatever protocol and port,
	// unless an Accept of ours lets it in. Standing connections live on, if they
	// are tracked: the kernel tracks them from the first rule on that asks for
	// their state, as that of a firewall that lets answers in does.
	Drop
)

// Rule is what happens to packets from one address. It is comparable, and the
// identity of a rule: a firewall holds each at most once, with one end.
type Rule struct {
	Src    netip.Addr // IPv4
	Port   uint16     // destination port of an Accept; 0 of a Drop
	Action Action
}

// String gives the rule as "142.103.205.1 22/tcp" or "drop 142.103.205.1".
func (r Rule) String() string {
	if r.Action == Drop {
		return fmt.Sprintf("drop %s", r.Src)
	}
	return fmt.Sprintf("%s %d/tcp", r.Src, r.Port)
}

// check refuses what iptables has no rule for.
func (r Rule) check() error {
	switch {
	case !r.Src.Is4():
		return fmt.Errorf("address %q is not an IPv4 address", r.Src)
	case r.Action > Drop:
		return fmt.Errorf("action %d is not known", r.Action)
	case r.Action == Drop && r.Port != 0:
		return fmt.Errorf("a rule that drops has no port, yet port %d is given", r.Port)
	}
	return nil
}

// Compare orders rules by address, port and action: it gives -1, 0 or 1, as r comes
// before other, is other, or comes after it.
func (r Rule) Compare(other Rule) int {
	return cmp.Or(r.Src.Compare(other.Src), cmp.Compare(r.Port, other.Port), cmp.Compare(r.Action, other.Action))
}

// Entry is a Rule with its end.
type Entry struct {
	Rule
	// End is when the rule stops by itself; zero: never. Whole seconds count: it
	// is cut to the second. An end after 2038-01-19T03:14:07Z, or any where
	// iptables or the kernel lacks xt_time, is not put into the rule.
	End time.Time
}

// cut gives e with the end that counts.
func (e Entry) cut() Entry {
	e.End = e.End.UTC().Truncate(time.Second)
	return e
}

// Changes is what a Sync has done. That of several copies of a wanted rule one
// is left is not told.
type Changes struct {
	Removed  []Rule // of ours and not wanted; each once, by address, port, action
	Restored []Rule // wanted, and missing or there only with another end; ordered alike
	Unknown  int    // rules with our comment, of a form that is not known, that were removed
	Healed   bool   // the chain or the jump to it was missing and was made
}

// sort puts c in the order that it promises, each rule once.
func (c *Changes) sort() {
	for _, list := range []*[]Rule{&c.Removed, &c.Restored} {
		slices.SortFunc(*list, Rule.Compare)
		*list = slices.Compact(*list)
	}
}

// wanted gives what a Sync is asked for with each rule once, by the last entry
// that names it. What check refuses is left out and told in the error.
func wanted(entries []Entry, check func(Rule) error) ([]Entry, error) {
	var (
		want []Entry
		errs []error
	)
	at := make(map[Rule]int, len(entries))
	for _, e := range entries {
		if err := check(e.Rule); err != nil {
			errs = append(errs, fmt.Errorf("failed to add rule %q: %w", e.Rule, err))
			continue
		}
		if i, ok := at[e.Rule]; ok {
			want[i] = e.cut()
			continue
		}
		at[e.Rule] = len(want)
		want = append(want, e.cut())
	}
	return want, errors.Join(errs...)
}
