// Package command runs the commands of sections like knockd's: one when somebody has knocked, and perhaps another one
// some time later that undoes it.
//
// The second is owed: it stands in a journal before the first one runs, and it runs whether the first has failed, was
// killed or took its time, at the end of the daemon, or after its next start. If it fails it is tried again, for a day
// at most. Each process has a time limit and a process group of its own, and one that hangs keeps nobody else's from
// running. Nobody who asks waits for any of it: [Runner.Run] does it all.
//
// Of what a stranger sends nothing but his address gets into a command, and that only as digits, a..f, dots and colons.
// Who may run what is left to the caller.
package command

import (
	"errors"
	"net/netip"
	"time"
)

const (
	// maxHeld is for how many addresses jobs of one section are held, and maxTotal how many in all: so many that owe a
	// stop command, and so many that owe none. Whoever has seen one sequence and forges addresses fills one section.
	maxHeld  = 1024
	maxTotal = 16 * maxHeld

	// maxProcesses run at once. So that what hangs leaves room for others, not more than maxStarts of them are start
	// commands, not more than maxLateRuns are stop commands that have failed too often, and of one section at most
	// maxOfSection start and as many stop commands, and maxLateOfSection that have failed too often.
	maxProcesses     = 64
	maxStarts        = 48
	maxLateRuns      = 8
	maxOfSection     = 16
	maxLateOfSection = 2

	// defaultLimit is how long one run may take.
	defaultLimit = time.Hour

	// A stop command that fails is tried again after firstDelay, then after twice as long each time, maxRetries times.
	firstDelay = time.Second
	maxRetries = 5

	// Then it is late, and tried again every lateDelay and by the next Run, until it is given up: owedFor after it was
	// due, or when maxLate others are late that are younger. Late ones take no room from others.
	lateDelay = 10 * time.Minute
	owedFor   = 24 * time.Hour
	maxLate   = 1024

	// At the end of Run, start commands under way get startGrace to end, and all of it is over after stopLimit, but for
	// killWait, in which what is killed must die. It is over earlier when each stop command has ended well, or has failed
	// and been tried again endRetries times. One that had failed more often before is tried once, and leaves room for
	// others as late ones do.
	startGrace = 5 * time.Second
	stopLimit  = 14 * time.Second
	killWait   = time.Second
	endRetries = 2

	// tick is how long Run sleeps at most.
	tick = time.Second

	// The journal forgets a stop command that has run within forgetAfter; it is written every refresh while there are
	// some, so that it knows how long they have to go, and tried again after rewrite if that fails.
	forgetAfter = time.Second
	refresh     = 15 * time.Second
	rewrite     = 5 * time.Second

	// maxName is how long a section's name can be, in bytes; knockd's have one less.
	maxName = 128
	// maxWait is how far off a stop command can be.
	maxWait = 10 * 365 * 24 * time.Hour
)

var (
	// ErrStopped refuses what comes after Run's end, or too late before it.
	ErrStopped = errors.New("the runner of commands has stopped")
	// ErrFull refuses one job too many: 1024 of a section, or 16384 in all, of those that have a stop command or those
	// that have none. Stop commands that are Left do not count.
	ErrFull = errors.New("too many commands are held")
)

// A Job is what one knock sets off.
type Job struct {
	Name  string        // the section's, 1 to 128 bytes
	Src   netip.Addr    // who knocked: replaces %IP% in both commands; without a zone
	Start Command       // runs at once
	Stop  Command       // runs Wait after Start has ended, however that went; the zero Command: none
	Wait  time.Duration // 0 to ten years
}

// Kinds of Event.
const (
	Started     = "started"      // the start command has ended well
	StartFailed = "start failed" // it has not; its stop command runs all the same
	Stopped     = "stopped"      // the stop command has ended well
	StopFailed  = "stop failed"  // it has not; it is tried again, up to five times in half a minute
	Refused     = "refused"      // the start command was not run: the journal cannot be written, or Run has ended

	// Left tells that the stop command has failed six times, or that Run ends before it has ended well. It is still owed
	// and what it undoes still there. As long as Run runs it is tried again every ten minutes, and once at its end if
	// there is time; by the next Run at once, if there is a journal. Stopped or GivenUp is the next that is heard of it,
	// or Left at the end of Run.
	Left = "left"
	// GivenUp tells that a stop command that was Left is not owed any more and is in no journal: it has failed for 24
	// hours since it was due, or 1024 others that are Left became due after it. What it undoes is still there.
	GivenUp = "given up"
)

// Event is what became of a command.
type Event struct {
	Kind, Name string // one of the kinds above; the section
	Src        netip.Addr
	Command    string // as it was run
	Err        error  // unless it ended well
	Output     string // the last of what it printed: at most 200 bytes, one line, printable
}

// Options of a Runner. All may be zero. The functions are called by Start and Run, one at a time and in order.
type Options struct {
	// Journal is the path of the journal, in a directory that is there and that nobody else can write; empty: what is
	// owed is forgotten when the process is killed.
	Journal string
	// Limit is how long one run may take until its process group is killed; 0: an hour.
	Limit time.Duration
	// Keep leaves the stop commands that are not due yet in the journal at the end of Run; those that have failed were
	// due. Otherwise, and without a journal, all of them run then.
	Keep bool
	// Report is called with what became of each command.
	Report func(Event)
	// Note is called with what else an operator should know; err may be nil.
	Note func(msg string, err error)
	// Beat is called whenever Run has gone round: at least once a second.
	Beat func()
}
