package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

const (
	// lookEvery is how often the log is looked at with no event at all.
	lookEvery = 500 * time.Millisecond
	// rearmAfter is how long a failed watch is left alone.
	rearmAfter = 5 * time.Second
)

// Options are the settings of a Follower or a Kmsg.
type Options struct {
	// Report, if not nil, gets what an operator should know: the log cannot
	// be read, can be read again, was truncated or replaced, an overlong
	// line was dropped (once a minute at most), there is no inotify, messages
	// of the kernel were lost (once a minute at most). It is
	// called on changes, never for each line, and from Run's goroutine. The
	// error may be nil.
	Report func(msg string, err error)
	// Started, if not nil, is called when Run knows where the log ends: what
	// is written after that is handed on.
	Started func()
	// Looked, if not nil, is called after each look at the log: a sign of life,
	// at least twice a second unless lines come all the time.
	Looked func()
}

// Follower hands on the lines appended to a log.
type Follower struct {
	path    string
	report  func(msg string, err error)
	started func()
	looked  func()
	lateFor time.Duration // how long a renamed file may stand still
}

// NewFollower makes a Follower of the log at path, which may be a symbolic
// link and need not exist. It starts nothing.
func NewFollower(path string, o Options) *Follower {
	o = o.whole()
	return &Follower{path: path, report: o.Report, started: o.Started, looked: o.Looked, lateFor: lateFor}
}

// whole puts functions that do nothing in the place of those not given.
func (o Options) whole() Options {
	if o.Report == nil {
		o.Report = func(string, error) {}
	}
	if o.Started == nil {
		o.Started = func() {}
	}
	if o.Looked == nil {
		o.Looked = func() {}
	}
	return o
}

// Run hands every line completed after its start to handle, without its
// newline, until ctx ends; then it returns nil. The slice is valid only during
// the call, and all calls come from Run's own goroutine.
//
// Reading starts at the log's end. A log that does not exist yet is read from
// its top when it appears. A log that is renamed is read on for as long as it
// grows (until it stood still for 10 minutes), beside the new one. What was
// read once is not read again when a file comes back by rename or copy, as far
// as the last eight files and 64 bytes of their content tell. Lines of more
// than MaxLine bytes are dropped, and so is what a truncation takes away
// before it was read. A file put in the log's place and taken out of it again
// between two looks is never seen.
//
// The looks are as many as inotify has events, and at least two a second. A
// log that is missing, unreadable or failing is tried again at each look. The
// only error is that of a path that is a directory at the start.
func (f *Follower) Run(ctx context.Context, handle func(line []byte)) error {
	t := newTailer(f, handle)
	defer t.close()
	if err := t.begin(); err != nil {
		return fmt.Errorf("failed to follow %q: %w", f.path, err)
	}
	f.started()

	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	w := guard{watcher: newWatcher(), report: f.report}
	defer w.close()
	for woken, ticked := false, true; ctx.Err() == nil; {
		news := t.pass(ctx)
		f.looked()
		if (ticked || t.moved) && w.check(t.names(), ticked && news && !woken) {
			// Look again: what happened before the watch had no event.
			woken, ticked = true, false
			continue
		}
		if ticked {
			woken = false
		}
		ticked = false
		select {
		case <-ctx.Done():
		case <-w.wake:
			woken = true
		case <-ticker.C:
			ticked = true
			woken = woken || len(w.wake) > 0
		}
	}
	return nil
}

// begin decides where reading starts.
func (t *tailer) begin() error {
	st, err := statPath(t.path)
	switch {
	case err == nil:
		t.from, t.first = st.Size, idOf(&st)
	case errors.Is(err, syscall.EISDIR):
		return err
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EIO):
		// There may be a log, and if so its lines are old.
		t.fromEnd = true
	}
	// Held open from now on, it may be renamed before the first look.
	_ = t.turn() // what fails here fails again, and is reported, at the first look
	return nil
}

// guard keeps a watcher on the right directories.
type guard struct {
	*watcher
	report func(msg string, err error)
	seen   string // the names and directories the watcher was armed for
	failed time.Time
}

// check arms the watcher if the names or their directories are others than
// before, or if it is known to be deaf. It reports whether it did.
func (g *guard) check(names []string, deaf bool) bool {
	seen := ""
	names = slices.DeleteFunc(names, func(name string) bool {
		var st syscall.Stat_t
		if err := syscall.Stat(filepath.Dir(name), &st); err != nil {
			return true // nothing to watch yet; the log's own state says so
		}
		seen += fmt.Sprintf("%s\x00%v\x00", name, idOf(&st))
		return false
	})
	broken := !g.failed.IsZero()
	if broken && time.Since(g.failed) < rearmAfter || !broken && !deaf && seen == g.seen {
		return false
	}
	g.seen = seen
	err := g.arm(names)
	switch {
	case err != nil && !broken:
		g.report("no inotify, polling", err)
	case err == nil && broken:
		g.report("inotify works again", nil)
	}
	g.failed = time.Time{}
	if err != nil {
		g.failed = time.Now()
	}
	return err == nil
}
