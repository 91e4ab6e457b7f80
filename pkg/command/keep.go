package command

import (
	"cmp"
	"math"
	"slices"

	"github.com/portknock/knock/pkg/journal"
)

// keep writes the journal if something new is to begin, or if it is time to; only then does that begin. If it cannot
// be written, what owes a stop command is refused.
func (r *Runner) keep(now journal.Instant) {
	begin := r.fresh
	r.fresh = nil
	owes := func(e *entry) bool { return !e.job.Stop.IsZero() }
	if owing := slices.ContainsFunc(begin, owes); owing || r.saveDue <= now.Boot {
		if err := r.save(now); err != nil {
			for _, e := range begin {
				if owes(e) {
					r.refuse(e, err)
				}
			}
			begin = slices.DeleteFunc(begin, owes)
		}
	}
	for _, e := range begin {
		e.phase = toStart
	}
	r.queue = append(r.queue, begin...)
}

// save writes the journal, and tells once when that fails and when it works again.
func (r *Runner) save(now journal.Instant) error {
	r.saveDue = math.MaxInt64
	if r.options.Journal == "" {
		return nil
	}
	j := r.record(now)
	err := r.write(j)
	switch {
	case err != nil && !r.deaf:
		r.note("the journal of commands cannot be written: no command runs that another one has to undo, until it can", err)
	case err == nil && r.deaf:
		r.note("the journal of commands can be written again", nil)
	}
	r.deaf = err != nil
	if r.deaf {
		r.saveDue = now.Boot + rewrite
	} else if len(j.Stops) > 0 {
		r.saveDue = now.Boot + refresh
	}
	return err
}

// record is what the journal is to hold: also what has not begun yet.
func (r *Runner) record(now journal.Instant) record {
	j := record{Boot: r.boot, Stops: []owed{}}
	for _, e := range r.entries {
		if e.job.Stop.IsZero() {
			continue
		}
		end := e.due
		if e.phase < open {
			end = now.Boot + e.job.Wait
		}
		left := max(0, end-now.Boot)
		s := owed{
			Name: e.name, IP: e.src, Command: e.job.Stop.String(),
			Until: now.Wall.Add(left).UTC(), End: end, Left: left,
		}
		if e.late {
			s.Rest = max(e.until-now.Boot, 1)
		}
		j.Stops = append(j.Stops, s)
	}
	slices.SortFunc(j.Stops, func(a, b owed) int {
		return cmp.Or(cmp.Compare(a.End, b.End), cmp.Compare(a.Name, b.Name), a.IP.Compare(b.IP))
	})
	return j
}

// compare orders entries by their time.
func compare(a, b *entry) int {
	return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.name, b.name), a.src.Compare(b.src))
}
