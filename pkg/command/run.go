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
	next := r.wakeStops(now)
	r.keep(now)
	if !r.over {
		r.launch()
	}
	return max(min(next, r.saveDue, now.Boot+tick)-now.Boot, time.Nanosecond)
}

// take makes entries of what was asked for.
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
}

// wakeStops queues the stop commands that are due, or that another job of theirs waits for, and tells when the next
// one is.
func (r *Runner) wakeStops(now journal.Instant) time.Duration {
	next := now.Boot + tick
	var due []*entry
	for _, e := range r.entries {
		switch {
		case e.phase != open:
		case e.due <= now.Boot, e.tries == 0 && (e.next != nil || r.ending && !r.options.Keep):
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
		stop := e.phase == toStop
		ctx, ok := r.slots.take(e.name, stop)
		if !ok {
			return false
		}
		c := e.job.Start
		e.phase = starting
		if stop {
			c = e.job.Stop
			e.phase = stopping
		}
		go func() {
			output, err := r.run(ctx, c, e.src, r.limit)
			r.ended <- result{e, c, output, err}
		}()
		return true
	})
}

// A result is how a command of an entry has ended.
type result struct {
	*entry
	command Command
	output  string
	err     error
}

// handle goes on with the entry of a process that has ended.
func (r *Runner) handle(e result) {
	now := r.clock()
	stop := e.phase == stopping
	r.slots.give(e.name, stop)
	kind := Started
	switch {
	case !stop && e.err != nil:
		kind = StartFailed
	case stop && e.err == nil:
		kind = Stopped
	case stop:
		kind = r.failed(e.entry, now)
	}
	if !stop {
		e.phase, e.due = open, now.Boot+e.job.Wait
	}
	if kind != StopFailed || e.tries == 1 { // who heard that it failed hears how it ends
		r.report(kind, e.entry, e.command, e.output, e.err)
	}
	if !e.job.Stop.IsZero() {
		r.saveDue = min(r.saveDue, now.Boot+forgetAfter)
	}
	if kind == Stopped || kind == Left || e.job.Stop.IsZero() {
		r.next(e.entry)
	}
}

// failed puts the stop command of e off, unless it has failed too often.
func (r *Runner) failed(e *entry, now journal.Instant) string {
	e.tries++
	if e.tries > maxRetries {
		return Left
	}
	e.phase, e.due = open, now.Boot+firstDelay<<(e.tries-1)
	return StopFailed
}

// next begins the job that waits for e to be over, if there is one.
func (r *Runner) next(e *entry) {
	if e.next == nil || r.ending {
		e.phase = forgotten
		r.update(func() { delete(r.entries, e.key) })
		return
	}
	e.job, e.next, e.tries, e.phase = *e.next, nil, 0, fresh
	r.fresh = append(r.fresh, e)
}

// refuse gives up an entry that has not begun.
func (r *Runner) refuse(e *entry, err error) {
	r.report(Refused, e, e.job.Start, "", err)
	e.next = nil
	r.next(e)
}
