package firewall

import (
	"errors"
	"fmt"
	"strings"
)

// maxErrors is how many failures of a batch are told one by one.
const maxErrors = 10

// batch is a row of changes, of which one that fails does not stop the next.
type batch struct {
	run  runs
	errs []error
	more int  // failures beyond maxErrors
	over bool // the rest would fail alike, after as long a wait: nothing is run
}

func newBatch(run runs) *batch {
	return &batch{run: run}
}

// err gives what failed.
func (b *batch) err() error {
	if b.more > 0 {
		return errors.Join(append(b.errs, fmt.Errorf("and %d more", b.more))...)
	}
	return errors.Join(b.errs...)
}

// failures counts what failed.
func (b *batch) failures() int { return len(b.errs) + b.more }

// note keeps an error and reports whether there was none.
func (b *batch) note(err error) bool {
	switch {
	case err == nil:
		return true
	case len(b.errs) < maxErrors:
		b.errs = append(b.errs, err)
	default:
		b.more++
	}
	b.over = b.over || general(err)
	return false
}

// put makes a change and reports whether that worked.
func (b *batch) put(args ...string) bool {
	if b.over {
		return false
	}
	_, err := b.run(args...)
	return b.note(err)
}

// delete makes a change that takes something out, and reports whether it is
// gone: it is no error if it was not there.
func (b *batch) delete(args ...string) bool {
	if b.over {
		return false
	}
	_, err := b.run(args...)
	return absent(err) || b.note(err)
}

// general reports whether every other run would fail as this one did: it took
// too long or could not be started, lacked a privilege, or waited for a lock.
func general(err error) bool {
	var e *runError
	if errors.Is(err, errUnfit) {
		return false
	}
	return !errors.As(err, &e) || errors.Is(err, ErrNotPermitted) || e.locked()
}

// locked reports whether another program held legacy's lock for too long.
func (e *runError) locked() bool {
	return strings.Contains(e.stderr, "xtables lock") || strings.Contains(e.stderr, "xtables.lock")
}
