package firewall

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Proto is what a Rule's port is a port of.
type Proto uint8

// The protocols that have ports.
const (
	TCP Proto = iota
	UDP
)

// String gives "tcp" or "udp".
func (p Proto) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return fmt.Sprintf("protocol %d", uint8(p))
}

// Action is what a Rule does with a packet.
type Action uint8

const (
	// Accept lets in what comes to one port.
	Accept Action = iota
	// Drop drops what would begin a connection to this host, of whatever protocol
	// and port, unless an Accept of ours lets it in; what is forwarded it does not
	// stop. Standing connections live on, if they are tracked: the kernel tracks
	// them from the first rule on that asks for their state, as that of a firewall
	// that lets answers in does.
	Drop
	// Forward leads what comes to one port of any address of this host to another
	// host and port, and lets the first packet through. It wins over an Accept of
	// the same port; which of two with the same port wins is left open. What
	// follows, to and fro, is let through by the administrator's rule in FORWARD
	// for what is ESTABLISHED, and the kernel must forward (ip_forward).
	Forward
)

// Rule is what happens to packets from one address. It is comparable, and the
// identity of a rule: a firewall holds each at most once, with one end.
type Rule struct {
	Src    netip.Addr // IPv4
	Port   uint16     // destination port of an Accept; of a Forward, from 1; 0 of a Drop
	Action Action
	Proto  Proto          // of an Accept or a Forward; TCP of a Drop
	To     netip.AddrPort // where a Forward leads: a host's IPv4 address, a port from 1; else zero
}

// String gives the rule as "142.103.205.1 22/tcp", "drop 142.103.205.1" or
// "142.103.205.1 2222/tcp to 10.0.0.5:22".
func (r Rule) String() string {
	switch r.Action {
	case Drop:
		return fmt.Sprintf("drop %s", r.Src)
	case Forward:
		return fmt.Sprintf("%s %d/%s to %s", r.Src, r.Port, r.Proto, r.To)
	}
	return fmt.Sprintf("%s %d/%s", r.Src, r.Port, r.Proto)
}

// Check refuses what iptables has no rule for, and what could never work.
func (r Rule) Check() error {
	switch {
	case !r.Src.Is4():
		return fmt.Errorf("address %q is not an IPv4 address", r.Src)
	case r.Action > Forward:
		return fmt.Errorf("action %d is not known", r.Action)
	case r.Proto > UDP:
		return fmt.Errorf("%s is neither TCP nor UDP", r.Proto)
	case r.Action == Drop && r.Port != 0:
		return fmt.Errorf("a rule that drops has no port, yet port %d is given", r.Port)
	case r.Action == Drop && r.Proto != TCP:
		return fmt.Errorf("a rule that drops has no protocol, yet %s is given", r.Proto)
	case r.Action == Forward:
		return r.checkForward()
	case r.To != netip.AddrPort{}:
		return fmt.Errorf("a rule that does not forward leads nowhere, yet %q is given", r.To)
	}
	return nil
}

func (r Rule) checkForward() error {
	to := r.To.Addr()
	switch {
	case r.Port == 0:
		return errors.New("port 0 cannot be forwarded")
	case !to.Is4() || r.To.Port() == 0:
		return fmt.Errorf("%q is not an IPv4 address with a port", r.To)
	case to.IsUnspecified() || to.IsLoopback() || to.IsMulticast() || to == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("%q is not the address of another host", to)
	}
	return nil
}

// Compare orders rules by address, port, action, protocol and where they lead: it
// gives -1, 0 or 1, as r comes before other, is other, or comes after it.
func (r Rule) Compare(other Rule) int {
	return cmp.Or(r.Src.Compare(other.Src), cmp.Compare(r.Port, other.Port), cmp.Compare(r.Action, other.Action),
		cmp.Compare(r.Proto, other.Proto), r.To.Compare(other.To))
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
// is left is not told; of a Forward, what was done to either half is.
type Changes struct {
	Removed  []Rule // of ours and not wanted; each once, as Compare orders them
	Restored []Rule // wanted, and missing or there only with another end; ordered alike
	Unknown  int    // rules with our comment, of a form that is not known, that were removed
	Healed   bool   // a chain or the jump to it was missing and was made; not told of what the first Forward needs
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
