package command

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/portknock/knock/pkg/journal"
)

const (
	// maxStops is how many stop commands a journal can hold. Those that fail, and a reload that gives stop commands to
	// sections that had none, can make them more than maxTotal.
	maxStops = 2 * maxTotal
	// maxJournal bounds what is read, in bytes: maxStops of the longest.
	maxJournal = maxStops*(2*maxText+6*maxName+512) + 512
)

// fileOf is the journal at path. What it says is run: nobody else may have said it.
func fileOf(path string) journal.File[record] {
	return journal.File[record]{
		Path: path, Form: "knockdaemon-commands", Version: 1, Max: maxJournal, Private: true, Check: record.check,
	}
}

// record is what a journal holds: the stop commands that are owed.
type record struct {
	Boot  string `json:"boot"` // which boot the times since boot are of
	Stops []owed `json:"stops"`
}

// owed is a stop command in the journal. It is due at the earliest that any of the times says.
type owed struct {
	Name    string        `json:"name"`
	IP      netip.Addr    `json:"ip"`
	Command string        `json:"command"`
	Until   time.Time     `json:"until"`  // by the wall clock
	End     time.Duration `json:"end_ns"` // since boot
	Left    time.Duration `json:"left_ns"`
	Rest    time.Duration `json:"rest_ns,omitempty"` // of one that has failed too often: until it is given up
}

func (s owed) key() key { return key{s.Name, s.IP} }

// left is how long s has still to go at now; r holds s. The time since boot tells it if that is the same boot's. After
// another one the wall clock does, which may be wrong: so never more than there was.
func (s owed) left(r record, now journal.Instant, boot string) time.Duration {
	if boot != "" && boot == r.Boot {
		return min(s.End-now.Boot, s.Left)
	}
	return min(s.Until.Sub(now.Wall), s.Left)
}

// entry makes an entry of s again; r holds s. What had failed too often is due at once, and is not given up before it
// has been tried, whatever the clocks say.
func (s owed) entry(r record, now journal.Instant, boot string) *entry {
	stop, _ := Parse(s.Command) // which check has done
	e := &entry{key: s.key(), job: Job{Name: s.Name, Src: s.IP, Stop: stop}, phase: open}
	left := s.left(r, now, boot)
	e.due = now.Boot + max(0, left)
	if s.Rest > 0 {
		rest := min(s.Rest, s.Rest-s.Left+left)
		e.late, e.due, e.until = true, now.Boot, now.Boot+max(rest, lateDelay)
	}
	return e
}

// check refuses what no Runner writes.
func (r record) check() error {
	if len(r.Stops) > maxStops {
		return fmt.Errorf("it holds %d stop commands, more than %d", len(r.Stops), maxStops)
	}
	seen := make(map[key]bool)
	for _, s := range r.Stops {
		src, err := address(s.IP)
		if err == nil {
			err = checkName(s.Name)
		}
		if err == nil {
			_, err = Parse(s.Command)
		}
		switch {
		case err != nil:
			return err
		case src != s.IP || seen[s.key()] || s.Until.IsZero() || s.End < 0 || s.Left < 0 || s.Left > maxWait,
			s.Rest < 0 || s.Rest > owedFor:
			return fmt.Errorf("the stop command of %s for %s stands in it twice, or has no right time", s.Name, s.IP)
		}
		seen[s.key()] = true
	}
	return nil
}
