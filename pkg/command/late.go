package command

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/portknock/knock/pkg/journal"
)

// Why a stop command is given up.
var (
	errTooLong = fmt.Errorf("it has failed for %v", owedFor)
	errTooMany = fmt.Errorf("%d others that fail are younger", maxLate)
)

// failed puts the stop command of e off, for long if it has failed too often. It tells which kind of event that is;
// empty: none, since whoever heard that it failed hears how it ends.
func (r *Runner) failed(e *entry, now journal.Instant) string {
	e.phase = open
	if e.late {
		e.due = now.Boot + lateDelay
		return ""
	}
	e.tries++
	if e.tries == 1 {
		e.until = min(e.due, now.Boot) + owedFor
	}
	if e.tries > maxRetries {
		e.late, e.due = true, now.Boot+lateDelay
		return Left
	}
	e.due = now.Boot + firstDelay<<(e.tries-1)
	if e.tries > 1 {
		return ""
	}
	return StopFailed
}

// replace begins the job that waits for e, though the stop command of e has failed: that of the job stands for it, or
// it is the job's, if that has none. Should the job be refused, all is as before.
func (r *Runner) replace(e *entry) {
	before, j := *e, *e.next
	before.next = nil
	if j.Stop.IsZero() {
		j.Stop, j.Wait = e.job.Stop, lateDelay
	}
	*e = entry{key: e.key, job: j, before: &before}
	r.fresh = append(r.fresh, e)
}

// giveUp forgets the stop commands that have failed for too long, and the oldest of those that are too many.
func (r *Runner) giveUp(now journal.Instant) {
	late := r.lateOnes()
	for i, e := range late {
		err := errTooLong
		if e.until > now.Boot {
			if len(late)-i <= maxLate {
				return
			}
			err = errTooMany
		}
		r.queue = slices.DeleteFunc(r.queue, func(q *entry) bool { return q == e })
		r.report(GivenUp, e, e.job.Stop, "", err)
		r.saveDue = min(r.saveDue, now.Boot+forgetAfter)
		r.next(e)
	}
}

// lateOnes gives the entries whose stop command has failed too often and does not run just now, the oldest first.
func (r *Runner) lateOnes() (list []*entry) {
	for _, e := range r.entries {
		if e.late && e.phase != stopping {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *entry) int { return cmp.Or(cmp.Compare(a.until, b.until), compare(a, b)) })
	return list
}

// tryFailed has the stop commands tried once more that have failed so often that the end of Run does not wait for their
// next time. The late ones are the last.
func (r *Runner) tryFailed() {
	var list []*entry
	for _, e := range r.entries {
		if !e.late && e.tries > endRetries {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, compare)
	for _, e := range append(list, r.lateOnes()...) {
		if e.phase == open {
			e.phase = toStop
			r.queue = append(r.queue, e)
		}
	}
}
