package command

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

// readJournal reads the journal at path. One that is not there is empty. The error of the disk is an [fs.PathError];
// any other one says why the journal cannot be used.
func readJournal(path string) (record, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, nil
	}
	if err != nil {
		return record{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return record{}, err
	}
	// What it says is run: nobody else may have said it.
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	if !info.Mode().IsRegular() || info.Mode()&0o022 != 0 || owner != 0 && owner != os.Geteuid() {
		return record{}, fmt.Errorf("others than its owner could write it (%v, of user %d)", info.Mode(), owner)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxJournal+1))
	if err != nil {
		return record{}, err
	}
	if len(b) > maxJournal {
		return record{}, fmt.Errorf("it is longer than %d bytes", maxJournal)
	}
	return decode(b)
}

// writeJournal replaces the journal at path. After a power cut either the old one is there or the new one, and once
// this has returned, the new one.
func writeJournal(path string, r record) error {
	b, err := r.encode()
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(path, b, 0o600, renameio.IgnoreUmask(), renameio.WithTempDir(filepath.Dir(path))); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes what was renamed in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// setAside moves a journal that cannot be used out of the way, for somebody to look at, and gives its new name.
func setAside(path string) (string, error) {
	to := path + ".broken"
	if err := os.Rename(path, to); err != nil {
		return "", err
	}
	return to, syncDir(filepath.Dir(path))
}

// sweep removes what a killed writeJournal has left.
func sweep(path string) {
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"*"))
	for _, name := range left {
		_ = os.Remove(name)
	}
}
