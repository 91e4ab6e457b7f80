// Package lease knows which ports are open, or forwarded, for whom until when, and
// sees to it that the firewall agrees.
//
// A lease begins with [Manager.Open] and ends at its time or with
// [Manager.Close]. What is wanted is written to a journal first and put into the
// firewall then, so that no crash leaves a rule that nobody remembers, and a
// restart finds every lease that has not ended. Whatever the firewall does, it is
// made to agree again: what failed is tried until it works, and all of it is
// compared every 30 s. All of that is done by [Manager.Run]; nobody who asks for
// a change waits for a disk or for iptables.
//
// How a rule gets into the kernel is left to package firewall; who may open what
// for how long, to the caller.
package lease

import (
	"errors"
	"net/netip"
	"time"

	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/journal"
)

const (
	// MaxLeases is how many rules a Manager holds at most, those still to be
	// taken out included: iptables takes 15 s to list 40,000. MaxBans is how many
	// of them can be bans, so that forged addresses never take the room of those
	// who knock.
	MaxLeases = 16384
	MaxBans   = 4096

	// syncEvery is how often the firewall is compared with the leases, and
	// tick how long Run sleeps at most.
	syncEvery = 30 * time.Second
	tick      = time.Second

	// What failed is tried again after firstDelay, then after twice as long
	// each time, up to lastDelay.
	firstDelay = time.Second
	lastDelay  = 30 * time.Second

	// startLimit is how long Start tries to get at the firewall.
	startLimit = 30 * time.Second

	// stopLimit is how long Run's end may take, but for a change under way, and
	// stopRetry how much of it goes into taking everything out at once.
	stopLimit = 20 * time.Second
	stopRetry = 15 * time.Second

	// fewTasks is how many changes of the firewall are made one by one.
	fewTasks = 4

	// changeEvery is how often one rule changes at most, but for the first
	// changeBurst changes in a row: whoever has recorded a knock can repeat it as
	// fast as he likes.
	changeEvery = 500 * time.Millisecond
	changeBurst = 32
)

var (
	// ErrStopped refuses what comes after Run's end.
	ErrStopped = errors.New("the lease manager has stopped")
	// ErrFull refuses one lease too many.
	ErrFull = errors.New("too many leases")
)

// Kinds of Event.
const (
	Opened      = "opened"       // the rule was put in
	Refreshed   = "refreshed"    // an open rule got a new end
	Closed      = "closed"       // the rule was taken out on demand
	Expired     = "expired"      // the rule was taken out at its end
	Refused     = "refused"      // the journal cannot be written: nothing has changed
	OpenFailed  = "open failed"  // the rule could not be put in; that is tried again until its end
	CloseFailed = "close failed" // the rule could not be taken out; that is tried again
	Left        = "left"         // at the end of Run the rule could not be taken out
)

// Event is a change of a rule.
type Event struct {
	Kind  string        // one of the kinds above
	Rule  firewall.Rule // the rule that changed; a Drop is a ban
	Until time.Time     // of Opened and Refreshed: the end by the wall clock; zero for no limit
	By    By            // who had it opened or, of Closed, closed; of Refused, asked for it
	Err   error         // of Refused, OpenFailed, CloseFailed and Left: why
}

// Options of a Manager. All may be zero. The functions are called by Start and
// Run, one at a time and in order.
type Options struct {
	// Journal is the path of the journal, in a directory that is there; empty:
	// leases end with the process.
	Journal string
	// NoDrops makes each ban one that the firewall is not told of: there is no
	// place in it for a rule that drops.
	NoDrops bool
	// Keep leaves the rules in the firewall at the end of Run. Otherwise they
	// are taken out until the next Start restores them.
	Keep bool
	// Report is called for each change of a rule.
	Report func(Event)
	// Repaired is called when the firewall did not hold what it should.
	Repaired func(firewall.Changes)
	// Note is called with what else an operator should know; err may be nil.
	Note func(msg string, err error)
	// Beat is called whenever Run has gone round: at least once a second, but for
	// the time that one change of the firewall takes.
	Beat func()
	// Clock tells the time; nil: the system's.
	Clock func() journal.Instant
}

// By says who asked for a change. The zero By: nobody has said.
type By struct {
	Who  string     // in an operator's words: "key alice"
	From netip.Addr // the address that knocked
}

// Lease is what is to be in the firewall, or still has to go. Only one that neither
// waits nor closes is known to be there.
type Lease struct {
	Rule    firewall.Rule
	By      By
	Until   time.Time // by the wall clock; zero: no limit
	Waiting bool      // it was asked for, but the rule could not be put in yet
	Closing bool      // it has ended, but the rule could not be taken out yet
}

// banOf is the rule of a ban, also of one that the firewall is not told of.
func banOf(src netip.Addr) firewall.Rule {
	return firewall.Rule{Src: src, Action: firewall.Drop}
}
