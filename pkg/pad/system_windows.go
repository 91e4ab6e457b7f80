package pad

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// How files are opened.
const (
	noFollowing = windows.FILE_FLAG_OPEN_REPARSE_POINT // a link is opened itself, and holds no place
	noWaiting   = 0                                    // folders have no FIFOs
)

// letsOthers cannot tell: who may use a file is in its access control list, and the mode is made up by package os.
func letsOthers(fs.FileMode) bool { return false }

// tryLock locks a file until it is closed, unless somebody else has it.
func tryLock(f *os.File) (locked bool, err error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

// stubborn is how long a file that somebody else has open is tried again: one client reads it while another replaces it,
// and scanners for viruses look at whatever is new. It is less than the patience of those who wait for the lock meanwhile.
const stubborn = time.Second

// insist does something with a file, again if somebody else has it open.
func insist(do func() error) error {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		err := do()
		inUse := errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_SHARING_VIOLATION)
		if !inUse || time.Since(began) >= stubborn {
			return err
		}
	}
}

// openPlace opens the file of a place to read it.
func openPlace(path string) (f *os.File, err error) {
	err = insist(func() error {
		f, err = os.OpenFile(path, os.O_RDONLY|noFollowing|noWaiting, 0)
		return err
	})
	return f, err
}

// rename replaces a file by another one, and returns once that is on the disk.
func rename(from, to string) error {
	const flags = windows.MOVEFILE_REPLACE_EXISTING | windows.MOVEFILE_WRITE_THROUGH
	source, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return err
	}
	target, err := windows.UTF16PtrFromString(to)
	if err != nil {
		return err
	}
	err = insist(func() error { return windows.MoveFileEx(source, target, flags) })
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// syncDir has nothing to do: a folder cannot be flushed. A new file's name is on the disk with its contents, and rename
// waits for its own.
func syncDir(string) error { return nil }
