package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// lateFiles is how many renamed files are read on beside the log.
	lateFiles = 2
	lateFor   = 10 * time.Minute
	// settled is how long a file that looks like an unfinished copy of one
	// read before must stand still to be taken for finished.
	settled = time.Second
	// patience is how long the log may be away, as it is between a rename
	// and the next line, before that is worth a report.
	patience = time.Second
	// longReports is the least time between two reports of overlong lines.
	longReports = time.Minute
)

// tailer is the state of one Run.
type tailer struct {
	*Follower
	handle func([]byte)
	buf    []byte

	files  []*file // oldest first; the last is the log unless gone is set
	gone   bool    // the log itself is not among files
	memory memory
	moved  bool // the last pass changed files

	// Where the first file is to be read from, if it is the one seen first.
	first   id
	from    int64
	fromEnd bool

	badSince time.Time // zero while the log can be read
	told     string    // the last error reported
	longTold time.Time
}

func newTailer(f *Follower, handle func([]byte)) *tailer {
	return &tailer{Follower: f, handle: handle, buf: make([]byte, bufferSize), gone: true}
}

func (t *tailer) close() {
	for _, f := range t.files {
		f.close()
	}
	t.files = nil
}

// pass looks at the path and all open files once, and hands on what is new.
// It reports whether anything was.
func (t *tailer) pass(ctx context.Context) (news bool) {
	t.moved = false
	err := t.turn()
	limits, errs := t.sizes()
	for range 3 {
		if len(t.files) < 2 || t.current() {
			break
		}
		// Renamed meanwhile: which file is the newest has changed.
		err = t.turn()
		limits, errs = t.sizes()
	}
	for i, f := range t.files {
		if errs[i] == nil && limits[i] != f.size {
			f.size, f.grown, news = limits[i], time.Now(), true
		}
	}
	for i, f := range slices.Clone(t.files) {
		if errs[i] == nil {
			errs[i] = t.drain(ctx, f, limits[i])
		}
		if e := errs[i]; e != nil {
			t.drop(f)
			err = errors.Join(err, e)
		}
	}
	t.retire()
	t.note(err)
	return news || t.moved
}

// sizes are how far the files are read in this pass. They are taken from the
// newest file to the oldest, and then the files are read the other way: nothing
// is read of a new file before what was in the old one by then.
func (t *tailer) sizes() ([]int64, []error) {
	limits, errs := make([]int64, len(t.files)), make([]error, len(t.files))
	for i, f := range slices.Backward(t.files) {
		st, err := f.stat()
		limits[i], errs[i] = st.Size, err
	}
	return limits, errs
}

// current reports whether path still leads to the last of the open files, or
// nowhere.
func (t *tailer) current() bool {
	st, err := statPath(t.path)
	return err != nil || !t.gone && t.files[len(t.files)-1].id == idOf(&st)
}

// turn makes the file that path leads to the last of the open ones.
func (t *tailer) turn() error {
	st, err := statPath(t.path)
	if err != nil {
		return err
	}
	if n := len(t.files); n > 0 && !t.gone && t.files[n-1].id == idOf(&st) {
		return nil
	}
	for i, f := range t.files {
		if f.id == idOf(&st) { // renamed back
			t.files = append(slices.Delete(t.files, i, i+1), f)
			t.moved, t.gone = true, false
			return nil
		}
	}
	f, err := open(t.path)
	if err != nil {
		return err
	}
	if err := t.place(f); err != nil {
		f.close()
		return err
	}
	if len(t.files) > 0 {
		t.report("log replaced", nil)
	}
	t.files = append(t.files, f)
	t.moved, t.gone = true, false
	return nil
}

// place puts a file seen at the start where reading begins. All others are
// placed when they have content to know them by.
func (t *tailer) place(f *file) error {
	from := t.from
	if t.fromEnd {
		st, err := f.stat()
		if err != nil {
			return err
		}
		from = st.Size
	} else if t.first == (id{}) || t.first != f.id {
		return nil
	}
	if err := f.start(from); !errors.Is(err, errRewritten) {
		if err == nil {
			t.first, t.fromEnd = id{}, false
		}
		return err
	}
	t.first, t.fromEnd = id{}, false
	return nil
}

// drain hands on what f has up to limit.
func (t *tailer) drain(ctx context.Context, f *file, limit int64) error {
	for range 2 {
		if f.fresh {
			if placed, err := t.resume(ctx, f, limit); !placed {
				return err
			}
		}
		dropped, err := f.read(ctx, t.buf, limit, t.handle)
		if dropped > 0 && time.Since(t.longTold) >= longReports {
			t.longTold = time.Now()
			t.report("overlong line dropped", fmt.Errorf("log lines may have %d bytes", MaxLine))
		}
		if !errors.Is(err, errRewritten) {
			return err
		}
		t.report("log truncated", nil)
		t.memory.add(f.mark)
		f.restart()
	}
	return nil // it changes faster than we look; the next look will do
}

// resume finds where to read on in a file not placed yet. It reports whether
// there is such a place already.
func (t *tailer) resume(ctx context.Context, f *file, limit int64) (placed bool, err error) {
	if limit == 0 {
		return false, nil
	}
	known := slices.Clone(t.memory)
	for _, other := range t.files {
		if other != f && other.offset > 0 {
			known = slices.Insert(known, 0, other.mark)
		}
	}
	m, ok := known.sameFile(f)
	if !ok {
		m, ok, err = known.search(ctx, f, t.buf, limit)
	}
	if err != nil || ctx.Err() != nil {
		return false, err
	}
	if ok {
		return true, f.adopt(m)
	}
	begun, err := known.begun(f, limit)
	switch {
	case err != nil:
		return false, err
	case !begun:
		return true, f.adopt(mark{offset: f.hole(limit)})
	case time.Since(f.grown) < settled:
		return false, nil
	}
	return true, f.start(limit)
}

// drop closes f and remembers how far it was read.
func (t *tailer) drop(f *file) {
	i := slices.Index(t.files, f)
	if i == len(t.files)-1 {
		t.gone = true
	}
	t.memory.add(f.mark)
	f.close()
	t.files = slices.Delete(t.files, i, i+1)
	t.moved = true
}

// retire drops renamed files that are too many or no longer written to.
func (t *tailer) retire() {
	late := slices.Clone(t.files)
	if !t.gone {
		late = late[:len(late)-1]
	}
	for i, f := range late {
		if len(late)-i > lateFiles || time.Since(f.grown) > t.lateFor {
			t.drop(f)
		}
	}
}

// note reports a change in whether the log can be read.
func (t *tailer) note(err error) {
	switch {
	case err == nil:
		if t.told != "" {
			t.report("log is readable again", nil)
		}
		t.badSince, t.told = time.Time{}, ""
		return
	case t.badSince.IsZero():
		t.badSince = time.Now()
	}
	never := len(t.files) == 0 && len(t.memory) == 0
	if (never || time.Since(t.badSince) >= patience) && err.Error() != t.told {
		t.told = err.Error()
		t.report("log is not readable", err)
	}
}

// names are those under which the open files are written to, with their
// directories free of symbolic links, so that no directory has two names.
func (t *tailer) names() []string {
	var names []string
	path, err := filepath.Abs(t.path)
	if err == nil {
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			dir = filepath.Dir(path)
		}
		path = filepath.Join(dir, filepath.Base(path))
		names = append(names, path)
		if target, err := filepath.EvalSymlinks(path); err == nil && target != path {
			names = append(names, target)
		}
	}
	for _, f := range t.files {
		name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.fd))
		if err == nil && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
