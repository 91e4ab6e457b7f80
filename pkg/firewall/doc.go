// Package firewall puts a rule that opens one TCP port for one address into the
// kernel's packet filter, and takes it out again.
//
// [IPTables] runs the iptables program, of either variant (nf_tables or legacy);
// [DryRun] prints the commands that would be run; [Fake] is for tests. All three
// are a [Backend]. The rules live in a chain of their own, to which INPUT jumps,
// or straight in INPUT; each carries a comment with the daemon's name, and what
// does not carry it is never touched.
//
// How long a rule stays, and trying again what failed, is left to package lease.
package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

const (
	// DefaultProgram is the iptables program when none is named.
	DefaultProgram = "iptables"
	// DefaultChain is the chain of our own when none is named.
	DefaultChain = "KNOCK"

	// input is the built-in chain that packets for this host go through.
	input = "INPUT"
	// comment marks what is ours in the kernel.
	comment = "knockdaemon"
	// maxChain is the longest name a chain can have, in bytes: the kernel's
	// limit for a jump target (XT_EXTENSION_MAXNAMELEN is 29 with its NUL).
	maxChain = 28
)

var (
	// ErrNotFound says that the iptables program is not on this machine.
	ErrNotFound = errors.New("program not found")
	// ErrNotPermitted says that the kernel refused for want of a privilege.
	ErrNotPermitted = errors.New("changing the firewall needs root or CAP_NET_ADMIN")
)

// Rule accepts TCP packets from one address to one port of this host. It is
// comparable.
type Rule struct {
	Src  netip.Addr // IPv4
	Port uint16     // destination port
}

// String gives the rule as "142.103.205.1 22/tcp".
func (r Rule) String() string {
	return fmt.Sprintf("%s %d/tcp", r.Src, r.Port)
}

// check refuses what iptables has no rule for.
func (r Rule) check() error {
	if !r.Src.Is4() {
		return fmt.Errorf("address %q is not an IPv4 address", r.Src)
	}
	return nil
}

// Backend is a packet filter that holds our rules. Its methods may be called
// from several goroutines. A ctx that ends stops a change half way: whoever
// cannot have that hands in one that does not end.
type Backend interface {
	// Setup makes the chain and the jump to it if they are not there.
	Setup(ctx context.Context) error
	// Add puts r in. It is no error, and makes no second rule, if r is there.
	Add(ctx context.Context, r Rule) error
	// Delete takes r out, and every duplicate of it. It is no error if r is
	// not there.
	Delete(ctx context.Context, r Rule) error
	// List gives our rules, known by their comment, as the kernel holds them.
	List(ctx context.Context) ([]Rule, error)
	// Teardown takes out our rules, our jump, and our chain if then nothing of
	// anybody else's is in it or leads to it. A step that fails does not stop
	// the next ones; the errors come joined. It is no error if nothing is there.
	Teardown(ctx context.Context) error
}

// Options say which program changes which chain.
type Options struct {
	// Program is the name or path of iptables; empty for DefaultProgram.
	Program string
	// Chain is the chain that holds the rules; empty for DefaultChain. "INPUT"
	// puts them straight there, without a chain of our own and a jump.
	// Otherwise 1 to 28 characters of A-Z a-z 0-9 _ . - that do not start with
	// "-" and are not the name of another built-in chain or target.
	Chain string
}

// withDefaults fills in what is empty.
func (o Options) withDefaults() Options {
	if o.Program == "" {
		o.Program = DefaultProgram
	}
	if o.Chain == "" {
		o.Chain = DefaultChain
	}
	return o
}

// CheckChain refuses a name for the chain that iptables would take for something
// else, and says what would be right.
func CheckChain(name string) error {
	switch name {
	case "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING", "ACCEPT", "DROP", "QUEUE", "RETURN":
		return fmt.Errorf("chain %q is built into the firewall: use INPUT or a name of your own", name)
	}
	foreign := func(c rune) bool {
		return !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.ContainsRune("_.-", c))
	}
	if len(name) < 1 || len(name) > maxChain || name[0] == '-' || strings.ContainsFunc(name, foreign) {
		return fmt.Errorf(`chain %q is not 1 to %d of A-Z a-z 0-9 _ . - with no "-" first`, name, maxChain)
	}
	return nil
}
