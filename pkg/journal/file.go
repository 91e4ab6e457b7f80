package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
)

// File is a journal that holds a T, for one goroutine at a time. All fields but Private must be given.
type File[T any] struct {
	Path    string        // in a directory that is there
	Form    string        // what begins the file: one word, which no other kind of journal has
	Version int           // of what T means; another one is not read
	Max     int64         // how long a journal can be to be read, in bytes
	Private bool          // one that others than its owner, this user or root, could have written is not used
	Check   func(T) error // tells why nobody has written that
}

// Load reads the journal, after it has swept away what a killed Write has left. One that is not there is the zero T.
// One that cannot be used, whatever was cut, changed or written by another version, is set aside, in the place of the
// one before: then aside is its new name, and err says why. Any other error is wrapped and names the path; a journal
// that the disk will not give is left where it is, since it may be as it should be.
func (f File[T]) Load() (v T, aside string, err error) {
	f.sweep()
	v, err = f.read()
	if err == nil {
		return v, "", nil
	}
	if perr := (*fs.PathError)(nil); errors.As(err, &perr) {
		return v, "", fmt.Errorf("failed to read the journal: %w", err)
	}
	aside = f.Path + ".broken"
	aerr := os.Rename(f.Path, aside)
	if aerr == nil {
		aerr = syncDir(filepath.Dir(f.Path))
	}
	if aerr != nil {
		return v, "", fmt.Errorf("failed to set the journal %q aside, of which %w: %w", f.Path, err, aerr)
	}
	return v, aside, err
}

// read reads the journal and leaves it alone. The error of the disk is an [fs.PathError]; any other one says why the
// journal cannot be used.
func (f File[T]) read() (none T, err error) {
	o, err := os.OpenFile(f.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would be waited for
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		return none, err
	}
	defer o.Close()
	if f.Private {
		if err := private(o); err != nil {
			return none, err
		}
	}
	b, err := io.ReadAll(io.LimitReader(o, f.Max+1))
	if err != nil {
		return none, err
	}
	if int64(len(b)) > f.Max {
		return none, fmt.Errorf("it is longer than %d bytes", f.Max)
	}
	return f.Decode(b)
}

// private refuses a file that others could have written.
func private(o *os.File) error {
	info, err := o.Stat()
	if err != nil {
		return err
	}
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	switch {
	case !info.Mode().IsRegular() || info.Mode()&0o022 != 0:
		return fmt.Errorf("others than its owner could write it (%v)", info.Mode())
	case owner != 0 && owner != os.Geteuid():
		return fmt.Errorf("it belongs to the user number %d, and this runs as number %d", owner, os.Geteuid())
	}
	return nil
}

// Write replaces the journal. After a power cut either the old one is there or the new one, and once this has returned
// nil, the new one; after an error it may be either.
func (f File[T]) Write(v T) error {
	b, err := f.Encode(v)
	if err != nil {
		return err
	}
	dir := filepath.Dir(f.Path)
	if err := renameio.WriteFile(f.Path, b, 0o600, renameio.IgnoreUmask(), renameio.WithTempDir(dir)); err != nil {
		return err
	}
	return syncDir(dir)
}

// Remove takes the journal away. One that is not there is no error. A power cut may bring it back.
func (f File[T]) Remove() error {
	if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_ = syncDir(filepath.Dir(f.Path)) // no worse than the removal undone
	return nil
}

// sweep removes what a killed Write has left.
func (f File[T]) sweep() {
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(f.Path), "."+filepath.Base(f.Path)+"*"))
	for _, name := range left {
		_ = os.Remove(name)
	}
}

// syncDir makes what was renamed or removed in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
