package command

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/portknock/knock/pkg/journal"
)

// maxJournal bounds what is read, in bytes: maxHeld of the longest.
const maxJournal = maxHeld*(2*maxText+6*maxName+512) + 512

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

// check refuses what no Runner writes.
func (r record) check() error {
	if len(r.Stops) > maxHeld {
		return fmt.Errorf("it holds %d stop commands, more than %d", len(r.Stops), maxHeld)
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
		case src != s.IP || seen[s.key()] || s.Until.IsZero() || s.End < 0 || s.Left < 0 || s.Left > maxWait:
			return fmt.Errorf("the stop command of %s for %s stands in it twice, or has no right time", s.Name, s.IP)
		}
		seen[s.key()] = true
	}
	return nil
}
