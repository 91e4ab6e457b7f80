// Package lease knows which ports are open for whom until when, and sees to it
// that the firewall agrees.
//
// A lease begins with [Manager.Open] and ends at its time, with [Manager.Close],
// or when [Manager.Run] ends. What fails to go is tried again until it is gone.
// The manager fails closed: a rule that it does not know of is taken out at the
// start, and no rule is put in once it has stopped.
//
// How a rule gets into the kernel is left to package firewall; who may open what
// for how long, to the caller. Leases live in memory: they end with the process.
package lease

import (
	"errors"
	"time"

	"github.com/portknock/knock/pkg/firewall"
)

const (
	// MaxLeases is how many rules a Manager holds at most, those still to be
	// taken out included.
	MaxLeases = 65536

	// A deletion that failed is tried again after firstDelay, then after twice
	// as long each time, up to lastDelay.
	firstDelay = time.Second
	lastDelay  = 30 * time.Second

	// stopLimit is how long Run's end may take, but for a change under way, and
	// stopRetry how much of it goes into taking everything out at once.
	stopLimit = 20 * time.Second
	stopRetry = 15 * time.Second

	// checkEvery is how often repeated knocks have the firewall looked at, which
	// is slow: whoever has recorded one can repeat it as fast as he likes.
	checkEvery = 500 * time.Millisecond
)

var (
	// ErrStopped refuses what comes after Run's end.
	ErrStopped = errors.New("the lease manager has stopped")
	// ErrFull refuses to open a port when MaxLeases are held.
	ErrFull = errors.New("too many leases")
)

// Kinds of Event.
const (
	Opened    = "opened"    // the rule was put in
	Refreshed = "refreshed" // an open rule got a new end
	Closed    = "closed"    // the rule was taken out on demand or at the end of Run
	Expired   = "expired"   // the rule was taken out at its end
	Stale     = "stale"     // a rule found at the start without a lease was taken out
	Failed    = "failed"    // the rule could not be taken out; until Run ends that is tried again
	Left      = "left"      // at the end of Run the rule could not be taken out
)

// Event is a change of a rule.
type Event struct {
	Kind  string        // one of the kinds above
	Rule  firewall.Rule // the rule that changed
	Until time.Time     // of Opened and Refreshed: the end; zero for no limit
	Err   error         // of Failed and Left: why
}

// Options of a Manager.
type Options struct {
	// Report, if not nil, is called for each change of a rule, one at a time
	// and in order. It may call the Manager's methods. Now and then it is called
	// a little after the method that made the change has returned.
	Report func(Event)
}

// Lease is a rule that the kernel holds, or may hold.
type Lease struct {
	Rule    firewall.Rule
	Until   time.Time // zero: no limit
	Closing bool      // it has ended, but the rule could not be taken out yet
}
