package command

import (
	"context"
	"slices"
	"time"

	"github.com/portknock/knock/pkg/journal"
)

// Run runs what was asked for and what is due, until ctx ends. Then nothing more begins, and unless Keep says
// otherwise every stop command that is owed runs at once. That takes 15 s at most, in which start commands under way
// get 5 s to end; what takes longer is killed. It returns nil, or an error if stop commands are left: the journal
// keeps them for the next Start.
func (r *Runner) Run(ctx context.Context) error {
	starts, killStarts := context.WithCancelCause(context.WithoutCancel(ctx))
	stops, killStops := context.WithCancelCause(context.WithoutCancel(ctx))
	defer killStarts(nil)
	defer killStops(nil)
	r.slots = newSlots(starts, stops)
	for ctx.Err() == nil {
		r.turn(ctx.Done())
	}
	return r.finish(killStarts, killStops)
}

// turn does what is to be done now, and waits until there is more.
func (r *Runner) turn(done <-chan struct{}) {
	wait := r.step(r.clock())
	if r.options.Beat != nil {
		r.options.Beat()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-done:
	case <-r.wake:
	case <-timer.C:
	case e := <-r.ended:
		r.handle(e)
		for len(r.ended) > 0 {
			r.handle(<-r.ended)
		}
	}
}

// step does all that can be done at now, and tells how long there is nothing to do.
func (r *Runner) step(now journal.Instant) time.Duration {
	r.take()
	r.giveUp(now)
	next := r.wakeStops(now)
	r.keep(now)
	if !r.over {
		r.launch()
	}
	return max(min(next, r.saveDue, now.Boot+tick)-now.Boot, time.Nanosecond)
}

// take makes entries of what was asked for, and counts all that are held.
func (r *Runner) take() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.waiting {
		j, e := r.asked[k], r.entries[k]
		switch {
		case e == nil:
			e = &entry{key: k, job: j}
			r.entries[k] = e
			r.fresh = append(r.fresh, e)
		case e.phase > toStart:
			e.next = &j
		}
	}
	r.waiting = nil
	clear(r.asked)
	clear(r.held)
	for _, e := range r.entries {
		if !e.late {
			r.hold(e.job)
		}
	}
}

// wakeStops queues the stop commands that are due, or that another job of theirs waits for, and tells when the next
// one is.
func (r *Runner) wakeStops(now journal.Instant) time.Duration {
	next := now.Boot + tick
	var due []*entry
	for _, e := range r.entries {
		switch {
		case e.phase != open:
		case e.due <= now.Boot, e.late && e.next != nil,
			!e.late && e.tries == 0 && (e.next != nil || r.ending && !r.options.Keep):
			due = append(due, e)
		default:
			next = min(next, e.due)
		}
	}
	slices.SortFunc(due, compare)
	for _, e := range due {
		e.phase = toStop
	}
	r.queue = append(r.queue, due...)
	return next
}

// launch starts what waits for a process, as far as there is room.
func (r *Runner) launch() {
	r.queue = slices.DeleteFunc(r.queue, func(e *entry) bool {
		s, c, phase := slot{e.name, r.laneOf(e)}, e.job.Start, starting
		if e.phase == toStop {
			c, phase = e.job.Stop, stopping
		}
		ctx, ok := r.slots.take(s)
		if !ok {
			return false
		}
		e.phase, e.before = phase, nil
		go func() {
			output, err := r.run(ctx, c, e.src, r.limit)
			r.ended <- result{e, s, c, output, err}
		}()
		return true
	})
}

// laneOf tells in which lane e runs, which waits for a process. What has failed too often keeps out of the way of the
// others, unless another job waits for it; at the end of Run too, where one that hangs would keep its room to the last.
func (r *Runner) laneOf(e *entry) lane {
	switch {
	case e.phase == toStart:
		return startLane
	case e.late && e.next == nil, r.ending && e.tries > endRetries:
		return lateLane
	}
	return stopLane
}

// A result is how a command of an entry has ended.
type result struct {
	*entry
	slot    slot
	command Command
	output  string
	err     error
}

// handle goes on with the entry of a process that has ended.
func (r *Runner) handle(e result) {
	now := r.clock()
	r.slots.give(e.slot)
	kind := Started
	switch {
	case e.phase == starting:
		if e.err != nil {
			kind = StartFailed
		}
		e.phase, e.due = open, now.Boot+e.job.Wait
	case e.err == nil:
		kind = Stopped
	default:
		kind = r.failed(e.entry, now)
	}
	if kind != "" {
		r.report(kind, e.entry, e.command, e.output, e.err)
	}
	if !e.job.Stop.IsZero() {
		r.saveDue = min(r.saveDue, now.Boot+forgetAfter)
	}
	switch {
	case kind == Stopped || e.job.Stop.IsZero():
		r.next(e.entry)
	case e.late && e.next != nil:
		r.replace(e.entry)
	}
}

// next begins the job that waits for e to be over, if there is one.
func (r *Runner) next(e *entry) {
	if e.next == nil || r.ending {
		e.phase = forgotten
		r.update(func() { delete(r.entries, e.key) })
		return
	}
	*e = entry{key: e.key, job: *e.next}
	r.fresh = append(r.fresh, e)
}

// refuse gives up an entry that has not begun, but for the stop command that was owed before.
func (r *Runner) refuse(e *entry, err error) {
	r.report(Refused, e, e.job.Start, "", err)
	if e.before != nil {
		*e = *e.before
		return
	}
	e.next = nil
	r.next(e)
}
