package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestFollowFromTheEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, "old 1\nold 2\n")
	write(t, r.path, "new 1\nnew 2\n", "\n", "new 3\r\n")
	r.want("new 1", "new 2", "", "new 3\r")
}

func TestFollowStartsInsideALine(t *testing.T) {
	t.Parallel()
	r := newRig(t, "old\nhalf a li")
	write(t, r.path, "ne\n", "whole\n")
	r.want("whole")
}

func TestFollowMissingAtFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.wantReport("log is not readable")
	write(t, r.path, "first\n")
	r.want("first")
	r.wantReport("log is readable again")
}

func TestFollowMissingDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	r := newRigAt(t, filepath.Join(dir, "kern.log"), nil)
	r.wantReport("log is not readable")
	check(t, os.MkdirAll(dir, 0o755))
	write(t, r.path, "first\n")
	r.want("first")
}

func TestFollowUnreadableAtFirst(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	path := filepath.Join(dir, "kern.log")
	write(t, path, "old\n")
	check(t, os.Chmod(path, 0o600))
	c := newChild(t, path, nobody())
	c.want("started")
	c.want("report log is not readable: open ")
	write(t, path, "while unreadable\n")
	check(t, os.Chmod(path, 0o644))
	c.want("line while unreadable")
	c.want("report log is readable again")
	write(t, path, "after\n")
	c.want("line after")
}

func TestFollowUnsearchableDirectoryAtFirst(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	path := filepath.Join(dir, "kern.log")
	write(t, path, "old\n")
	check(t, os.Chmod(dir, 0o700))
	c := newChild(t, path, nobody())
	c.want("started")
	c.want("report log is not readable: stat ")
	check(t, os.Chmod(dir, 0o755))
	c.want("report log is readable again")
	write(t, path, "after\n")
	c.want("line after")
}

func TestFollowUnreadableAfterRotation(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	path := filepath.Join(dir, "kern.log")
	write(t, path, "old\n")
	c := newChild(t, path, nobody())
	c.want("started")
	check(t, os.Rename(path, path+".1"))
	fd, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	check(t, err)
	fd.Close()
	c.want("report log is not readable: open ")
	write(t, path+".1", "late\n")
	c.want("line late")
	write(t, path, "new\n")
	check(t, os.Chmod(path, 0o644))
	// A report made in the pass that reads comes before or after the line.
	c.want("report log replaced")
	c.want("line new")
	c.want("report log is readable again")
}

// openDir is a directory that every user may search.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "source")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	check(t, os.Chmod(dir, 0o755))
	return dir
}

func nobody() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}

func TestFollowADirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	err := NewFollower(dir, Options{}).Run(context.Background(), nil)
	if !errors.Is(err, syscall.EISDIR) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("Run of a directory: %v, want an error that names it", err)
	}
}

func TestFollowThroughOddPaths(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spoil, mend func(t *testing.T, path string)
	}{
		"a directory": {
			func(t *testing.T, path string) { check(t, os.Mkdir(path, 0o755)) },
			func(t *testing.T, path string) { check(t, os.Remove(path)) },
		},
		"a FIFO": {
			func(t *testing.T, path string) { check(t, syscall.Mkfifo(path, 0o644)) },
			func(t *testing.T, path string) { check(t, os.Remove(path)) },
		},
		"a loop of symbolic links": {
			func(t *testing.T, path string) { check(t, os.Symlink(path, path)) },
			func(t *testing.T, path string) { check(t, os.Remove(path)) },
		},
		"no directory above": {
			func(t *testing.T, path string) {
				dir := filepath.Dir(path)
				check(t, os.Rename(dir, dir+".away"))
				write(t, dir, "a file")
			},
			func(t *testing.T, path string) {
				dir := filepath.Dir(path)
				check(t, os.Remove(dir))
				check(t, os.Rename(dir+".away", dir))
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "dir", "kern.log")
			check(t, os.Mkdir(filepath.Dir(path), 0o755))
			write(t, path, "old\n")
			r := newRigAt(t, path, nil)
			write(t, path, "before\n")
			r.want("before")
			check(t, os.Rename(path, path+".1"))
			tt.spoil(t, path)
			r.wantReport("log is not readable")
			tt.mend(t, path)
			write(t, path, "after\n")
			r.want("before", "after")
			r.wantReport("log is readable again")
		})
	}
}

func TestFollowHalfWrittenLines(t *testing.T) {
	t.Parallel()
	r := newRig(t, "old\n")
	text := "one\ntwo\n\nthree\n"
	write(t, r.path, strings.Split(text, "")...)
	r.want("one", "two", "", "three")
	write(t, r.path, "fo")
	// The half is there for longer than a look takes.
	stay(2 * lookEvery)
	write(t, r.path, "ur\n")
	r.want("one", "two", "", "three", "four")
}

func TestFollowDirectoryReplaced(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "dir")
	check(t, os.Mkdir(dir, 0o755))
	path := filepath.Join(dir, "kern.log")
	write(t, path, "old\n")
	r := newRigAt(t, path, nil)
	write(t, path, "1\n")
	r.want("1")
	check(t, os.Rename(dir, dir+".away"))
	check(t, os.Mkdir(dir, 0o755))
	write(t, path, "2\n")
	r.want("1", "2")
	write(t, dir+".away/kern.log", "late\n")
	r.want("1", "2", "late")
	check(t, os.RemoveAll(dir))
	check(t, os.Mkdir(dir, 0o755))
	write(t, path, "3\n")
	r.want("1", "2", "late", "3")
	write(t, path, "4\n")
	r.want("1", "2", "late", "3", "4")
}

func TestFollowSymbolicLinkSwitched(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b, link := filepath.Join(dir, "a", "log"), filepath.Join(dir, "b", "log"), filepath.Join(dir, "link")
	for _, p := range []string{a, b} {
		check(t, os.Mkdir(filepath.Dir(p), 0o755))
	}
	write(t, a, "old\n")
	check(t, os.Symlink(a, link))
	r := newRigAt(t, link, nil)
	write(t, a, "in a\n")
	r.want("in a")
	write(t, b, "in b\n")
	check(t, os.Symlink(b, link+".new"))
	check(t, os.Rename(link+".new", link))
	r.want("in a", "in b")
	write(t, a, "late in a\n")
	r.want("in a", "in b", "late in a")
	write(t, b, "again in b\n")
	r.want("in a", "in b", "late in a", "again in b")
}
