// Package onetime reads knockd's files of sequences that count once each, and marks those that are used.
//
// Such a file has one sequence a line. Blank lines and those that begin with # (after blanks, if any) are none. The
// first that is left is the one that counts; once used, its line gets a # over its first byte, so knockd's manual says
// to begin each line with a blank. The file is changed in place, one byte at a time, and knockd can go on with it.
//
// Who knocks is left to package sequence, what a knock does to the caller.
package onetime

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/portknock/knock/pkg/sequence"
)

// maxSize is how long a file can be, in bytes.
const maxSize = 1 << 20

// File is a file of sequences. It is for one goroutine at a time, and it is the only one to use up the file's lines:
// two programs that do could take the same sequence for unused.
type File struct {
	path    string
	owner   int  // besides root, whose the file may be: a user's number
	reading bool // nothing is marked: rest is what comes after current
	rest    []line
	current line // the zero line: none is left
	left    int
}

// Open reads the file at path, which must be there and be writable: at most 1 MiB, a regular file of the user who runs
// this or of root, and nobody else may be able to write it. An error names the path, and the line if it is one's.
func Open(path string) (*File, error) {
	return load(&File{path: path, owner: os.Geteuid()}, os.O_RDWR)
}

// OpenReader is Open for who only says what would be done: the file need not be writable, and what is used is not
// marked.
func OpenReader(path string) (*File, error) { return OpenReaderOf(path, os.Geteuid()) }

// OpenReaderOf is [OpenReader] for who looks at what another user will run: the file may be his, whose number is owner.
func OpenReaderOf(path string, owner int) (*File, error) {
	return load(&File{path: path, owner: owner, reading: true}, os.O_RDONLY)
}

func load(f *File, how int) (*File, error) {
	o, text, err := f.read(how)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	lines, err := unused(f.path, text)
	if err != nil {
		return nil, err
	}
	f.take(lines)
	return f, nil
}

// Steps gives the sequence that counts now; nil: none is left.
func (f *File) Steps() []sequence.Step { return f.current.steps }

// Left tells how many sequences are left, the one that counts now included.
func (f *File) Left() int { return f.left }

// Use marks the sequence that counts now, safely on the disk, and the next one counts. The file is read again for that:
// lines that came after this one are taken up. If this one is not the first any more, somebody has changed the file in
// between: that is an error, as is a disk that cannot be written, and then nothing has changed. Without a sequence it
// is an error too.
func (f *File) Use() error {
	if f.current.steps == nil {
		return fmt.Errorf("no sequence is left in %q", f.path)
	}
	if f.reading {
		f.take(f.rest)
		return nil
	}
	o, text, err := f.read(os.O_RDWR)
	if err != nil {
		return err
	}
	defer o.Close()
	lines, err := unused(f.path, text)
	if err != nil {
		return err
	}
	if len(lines) == 0 || !lines[0].same(f.current) {
		return fmt.Errorf("%q was changed since it was read: sequence %s is not the first unused in it any more, at line %d",
			f.path, sequence.Format(f.current.steps), f.current.number)
	}
	if err := mark(o, f.current); err != nil {
		return fmt.Errorf("failed to mark line %d of %q as used: %w", f.current.number, f.path, err)
	}
	f.take(lines[1:])
	return nil
}

// take makes the first of lines the one that counts.
func (f *File) take(lines []line) {
	f.current, f.rest, f.left = line{}, nil, len(lines)
	if len(lines) > 0 {
		f.current, f.rest = lines[0], lines[1:]
	}
}

// A disk is what mark needs of a file.
type disk interface {
	io.WriterAt
	Sync() error
}

// mark writes the # of l. If it may not have reached the disk it is taken back, so that the file stays as it was.
func mark(d disk, l line) error {
	if _, err := d.WriteAt([]byte("#"), l.at); err != nil {
		return err
	}
	err := d.Sync()
	if err == nil {
		return nil
	}
	if _, back := d.WriteAt([]byte(l.text[:1]), l.at); back != nil {
		return fmt.Errorf("%w, and the mark could not be taken back: %w", err, back)
	}
	return err
}

// read opens the file, and gives what is in it.
func (f *File) read(how int) (*os.File, []byte, error) {
	o, err := os.OpenFile(f.path, how|syscall.O_NONBLOCK, 0) // a pipe would be waited for
	if err != nil {
		return nil, nil, fmt.Errorf("failed to open the sequences: %w", err)
	}
	if err := trust(o, f.owner); err != nil {
		o.Close()
		return nil, nil, fmt.Errorf("the sequences in %q cannot be used: %w", f.path, err)
	}
	text, err := io.ReadAll(io.LimitReader(o, maxSize+1))
	if err == nil && len(text) > maxSize {
		err = fmt.Errorf("longer than %d bytes", maxSize)
	}
	if err != nil {
		o.Close()
		return nil, nil, fmt.Errorf("failed to read %q: %w", f.path, err)
	}
	return o, text, nil
}

// trust refuses a file that others than its rightful owner can write: who writes a sequence can knock.
func trust(f *os.File, rightful int) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	switch {
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	case info.Mode()&0o022 != 0:
		return fmt.Errorf("others than its owner can write it (mode %04o, want 0600)", info.Mode().Perm())
	case owner != 0 && owner != rightful:
		return fmt.Errorf("it belongs to user %d, who could write it", owner)
	}
	return nil
}

// A line holds a sequence that is not used.
type line struct {
	text   string // without its newline
	at     int64  // where it begins, in bytes
	number int    // 1: the first
	steps  []sequence.Step
}

func (l line) same(m line) bool { return l.text == m.text && l.at == m.at }

// unused gives the lines of text that hold sequences.
func unused(path string, text []byte) ([]line, error) {
	var lines []line
	l := line{}
	for b := range bytes.Lines(text) {
		l.number++
		if s := bytes.TrimSpace(b); len(s) > 0 && s[0] != '#' {
			steps, err := sequence.Parse(string(s))
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", path, l.number, err)
			}
			lines = append(lines, line{string(bytes.TrimRight(b, "\n")), l.at, l.number, steps})
		}
		l.at += int64(len(b))
	}
	return lines, nil
}
