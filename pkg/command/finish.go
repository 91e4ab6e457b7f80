package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// errEnd is why something is killed, or does not run.
var errEnd = errors.New("the daemon ends")

// finish ends it all: what has not begun never does, and what is owed runs now, or stays in the journal.
func (r *Runner) finish(killStarts, killStops context.CancelCauseFunc) error {
	r.update(func() { r.stopped = true })
	r.take()
	r.ending = true
	for _, e := range r.unbegun() {
		r.refuse(e, ErrStopped)
	}
	r.tryFailed()
	began := r.clock().Boot
	after := func(d time.Duration) bool { return r.clock().Boot-began >= d }
	for r.busy() && !after(stopLimit+killWait) {
		if after(startGrace) {
			killStarts(errEnd)
		}
		if after(stopLimit) {
			killStops(errEnd)
			r.over = true
		}
		r.turn(nil)
	}
	_ = r.save(r.clock()) // reported
	return r.leave()
}

// unbegun takes out of the queue, and of what waits for the journal, the entries that have not begun. For those that
// have, no other job waits any more.
func (r *Runner) unbegun() []*entry {
	list := r.fresh
	r.fresh = nil
	for _, e := range r.entries {
		if e.next != nil {
			r.report(Refused, e, e.next.Start, "", ErrStopped)
			e.next = nil
		}
	}
	r.queue = slices.DeleteFunc(r.queue, func(e *entry) bool {
		if e.phase == toStart {
			list = append(list, e)
		}
		return e.phase == toStart
	})
	return list
}

// busy tells whether there is still something to do at the end of Run.
func (r *Runner) busy() bool {
	if r.slots.running > 0 || r.over {
		return r.slots.running > 0
	}
	for _, e := range r.entries {
		again := !e.late && e.tries <= endRetries && (e.tries > 0 || !r.options.Keep)
		if e.phase == toStop || e.phase == open && again {
			return true
		}
	}
	return false
}

// leave tells of the stop commands that should have run and have not.
func (r *Runner) leave() error {
	var left []*entry
	kept := 0
	for _, e := range r.entries {
		switch {
		case e.job.Stop.IsZero():
		case e.phase == open && !e.late && e.tries == 0 && r.options.Keep:
			kept++
		default:
			left = append(left, e)
		}
	}
	if kept > 0 {
		r.note(fmt.Sprintf("stop commands kept in the journal for the next start: %d", kept), nil)
	}
	slices.SortFunc(left, compare)
	for _, e := range left {
		r.report(Left, e, e.job.Stop, "", errEnd)
	}
	if len(left) == 0 {
		return nil
	}
	if r.options.Journal == "" || r.deaf {
		return fmt.Errorf("failed to run %d stop commands, and they are lost for want of a journal", len(left))
	}
	return fmt.Errorf("failed to run %d stop commands: the journal keeps them for the next start", len(left))
}
