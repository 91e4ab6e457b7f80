// Package firewall puts rules that open one port for one address, forward it to
// another host, or shut an address out, into the kernel's packet filter, and takes
// them out again.
//
// [IPTables] runs the iptables program, of either variant (nf_tables or legacy);
// [DryRun] prints the commands that would be run; [Fake] is for tests. All three
// are a [Backend]. The rules live in a chain of their own, to which INPUT jumps,
// or straight in INPUT; each carries a comment with the daemon's name, and what
// does not carry it is never touched. A rule also carries its own end, so that
// it stops matching on time whatever becomes of the daemon.
//
// A [Forward] is two rules, in two more chains: in the table nat one that leads a
// packet away, reached from PREROUTING, and in the filter one that lets it through,
// reached from FORWARD. The table nat is not touched, since a look at it has the
// kernel load what it needs, unless something is to be forwarded, or the chain in
// the filter, which is made first and goes last, tells that something was.
//
// Which rules there should be, taking out those that have ended, and trying
// again what failed is left to package lease.
package firewall

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

const (
	// DefaultProgram is the iptables program when none is named.
	DefaultProgram = "iptables"
	// DefaultChain is the chain of our own when none is named.
	DefaultChain = "KNOCK"

	// InputChain is the built-in chain that packets for this host go through. Rules
	// straight in it have no place where one could drop.
	InputChain = "INPUT"
	input      = InputChain
	// comment marks what is ours in the kernel.
	comment = "knockdaemon"
	// forwardSuffix makes of our chain's name that of the one for what is forwarded.
	forwardSuffix = "-FORWARD"
	// maxChain is the longest name a chain can have, in bytes: the kernel's
	// limit for a jump target (XT_EXTENSION_MAXNAMELEN is 29 with its NUL).
	maxChain = 28
)

var (
	// ErrNotFound says that the iptables program is not on this machine.
	ErrNotFound = errors.New("program not found")
	// ErrNotPermitted says that the kernel refused for want of a privilege.
	ErrNotPermitted = errors.New("changing the firewall needs root or CAP_NET_ADMIN")

	errDropInInput = errors.New("dropping needs a chain of our own, not INPUT")
)

// Backend is a packet filter that holds our rules. Its methods may be called
// from several goroutines. When ctx ends, Setup and Sync stop at the next run of
// the program and cut none; Add, Delete and Teardown stop half way: whoever cannot
// have that hands in one that does not end.
type Backend interface {
	// Setup makes the chain and the jump to it if they are not there, also those
	// for forwarding if Options say that there will be some, and finds out whether
	// rules can carry their end.
	Setup(ctx context.Context) error
	// Add puts e in, in place of the same rule with another end: the port is
	// not shut in between. It makes no second rule of one that is there. A Drop
	// straight in INPUT is an error. Of a Forward, nothing is led away unless it
	// is let through: if the second half fails, the first one stays, which does
	// nothing by itself, until Add is tried again or Delete called.
	Add(ctx context.Context, e Entry) error
	// Delete takes r out, whatever its end, and every duplicate of it. It is no
	// error if r is not there. If one half of a Forward cannot go, the other goes
	// unless that would fail alike.
	Delete(ctx context.Context, r Rule) error
	// Sync makes the kernel hold exactly want, each once, as far as rules of
	// ours go: it makes the chain and the jump if they are not there, takes out
	// what is not wanted, and puts in what is missing or has another end. A step
	// that fails does not stop the next ones unless they would fail alike; the
	// errors come joined, and Changes tells what was done, also when ctx ended.
	Sync(ctx context.Context, want []Entry) (Changes, error)
	// Teardown takes out our rules, our jump, and our chain if then nothing of
	// anybody else's is in it or leads to it. A step that fails does not stop
	// the next ones unless they would fail alike; the errors come joined. It is
	// no error if nothing is there.
	Teardown(ctx context.Context) error
}

// Options say which program changes which chain.
type Options struct {
	// Program is the name or path of iptables; empty for DefaultProgram.
	Program string
	// Chain is the chain that holds the rules; empty for DefaultChain. "INPUT"
	// puts them straight there, without a chain of our own and a jump.
	// Otherwise 1 to 20 characters of A-Z a-z 0-9 _ . - that do not start with
	// "-", do not end with "-FORWARD", and are not the name of another built-in
	// chain or target. What is forwarded is let through by the chain of that name
	// with "-FORWARD" behind it, and led away by one of the same name in nat.
	Chain string
	// Forwards has Setup make ready for rules that forward, so that a machine
	// which cannot tells so at once. Otherwise the first such rule does.
	Forwards bool
	// Warn, if not nil, is called at most once, by Setup or Sync, with what the
	// administrator should know: that rules do not carry their end. It must not
	// call back.
	Warn func(message string)
	// Ran, if not nil, is called after each run of the program: a sign of life
	// in a change that takes many. It must not call back.
	Ran func()
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

// checkRule refuses a rule that cannot be in the chain.
func (o Options) checkRule(r Rule) error {
	if err := r.Check(); err != nil {
		return err
	}
	if r.Action == Drop && o.Chain == input {
		return errDropInInput
	}
	return nil
}

// CheckChain refuses a name for the chain that iptables would take for something
// else, and says what would be right.
func CheckChain(name string) error {
	if strings.HasSuffix(name, forwardSuffix) {
		return fmt.Errorf("chain %q ends as the chain for what is forwarded does: use another name", name)
	}
	return checkName(name, maxChain-len(forwardSuffix))
}

// checkName refuses what cannot be the name of a chain of ours, at most longest
// bytes long.
func checkName(name string, longest int) error {
	switch name {
	case "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING", "ACCEPT", "DROP", "QUEUE", "RETURN":
		return fmt.Errorf("chain %q is built into the firewall: use INPUT or a name of your own", name)
	}
	foreign := func(c rune) bool {
		return !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.ContainsRune("_.-", c))
	}
	if len(name) < 1 || len(name) > longest || name[0] == '-' || strings.ContainsFunc(name, foreign) {
		return fmt.Errorf(`chain %q is not 1 to %d of A-Z a-z 0-9 _ . - with no "-" first`, name, longest)
	}
	return nil
}
