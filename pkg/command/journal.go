package command

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// The journal is one file: a line with its form, version and the SHA-256 of the rest, then JSON. It is replaced at one
// stroke.
const (
	journalHead = "knockdaemon-commands 1 "

	// maxJournal bounds what is read, in bytes: maxHeld of the longest.
	maxJournal = maxHeld*(2*maxText+6*maxName+512) + 512
)

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
func (s owed) left(r record, now instant, boot string) time.Duration {
	if boot != "" && boot == r.Boot {
		return min(s.End-now.boot, s.Left)
	}
	return min(s.Until.Sub(now.wall), s.Left)
}

// encode gives the bytes of a journal.
func (r record) encode() ([]byte, error) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		return nil, err
	}
	return sum(body.Bytes()), nil
}

// sum puts the head in front of a body.
func sum(body []byte) []byte {
	return append(fmt.Appendf(nil, "%s%x\n", journalHead, sha256.Sum256(body)), body...)
}

// decode reads the bytes of a journal. Whatever was cut, changed or written by another version is an error.
func decode(b []byte) (record, error) {
	head, body, _ := bytes.Cut(b, []byte("\n"))
	switch {
	case !bytes.HasPrefix(head, []byte(journalHead)):
		return record{}, errors.New("it is no journal of commands, or one of another version")
	case string(head[len(journalHead):]) != fmt.Sprintf("%x", sha256.Sum256(body)):
		return record{}, errors.New("it is torn or was changed")
	}
	var r record
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return record{}, fmt.Errorf("it cannot be read: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return record{}, errors.New("something follows its end")
	}
	return r, r.check()
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
