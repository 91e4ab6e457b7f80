package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"
)

const (
	// bufferSize bounds what is read at once. It must hold a fingerprint, a
	// line of MaxLine bytes and more, or reading would stand still.
	bufferSize = 64 << 10
	// printSize is how many bytes are remembered to know a place again: two
	// or three log lines, each with a stamp.
	printSize = 512
)

// errRewritten says that what was read of a file is no longer in it.
var errRewritten = errors.New("content before the place read last has changed")

// id tells files apart for as long as they exist.
type id struct{ dev, ino uint64 }

// mark is the place up to which a file was read, and what lay around it.
type mark struct {
	id     id
	offset int64
	skip   bool   // the place is inside a line that is to be dropped
	print  []byte // up to printSize bytes before offset
	head   []byte // up to printSize bytes from the file's start
}

// file is an open log. Its offset is at a line's start, unless skip is set.
type file struct {
	fd int
	mark
	fresh bool      // no place to read on from was decided yet
	part  []byte    // up to printSize bytes of a line whose end was not there at the last look
	cut   bool      // what was read before restart ended inside a line
	size  int64     // at the last look
	grown time.Time // when size changed last
}

// open opens the regular file at path. It never waits for a FIFO's writer.
func open(path string) (*file, error) {
	fd, err := retry(func() (int, error) {
		return syscall.Open(path, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := &file{fd: fd, fresh: true, grown: time.Now()}
	var st syscall.Stat_t
	if st, err = f.stat(); err == nil {
		err = regular(path, &st)
	}
	if err != nil {
		f.close()
		return nil, err
	}
	f.id = idOf(&st)
	return f, nil
}

func (f *file) close() { syscall.Close(f.fd) }

func (f *file) stat() (st syscall.Stat_t, err error) {
	if err = syscall.Fstat(f.fd, &st); err != nil {
		err = fmt.Errorf("failed to stat the open log: %w", err)
	}
	return st, err
}

// at reads into b from offset; less than all of b only at the file's end.
func (f *file) at(b []byte, offset int64) (int, error) {
	n, err := retry(func() (int, error) { return syscall.Pread(f.fd, b, offset) })
	if err != nil {
		return 0, fmt.Errorf("failed to read the open log: %w", err)
	}
	return n, nil
}

// start places f at offset without having read what is before it.
func (f *file) start(offset int64) error {
	print := make([]byte, min(offset, printSize))
	n, err := f.at(print, offset-int64(len(print)))
	if err != nil {
		return err
	}
	if n < len(print) {
		return errRewritten
	}
	return f.adopt(mark{
		offset: offset,
		print:  print,
		skip:   n > 0 && print[n-1] != '\n',
	})
}

// adopt places f where m says.
func (f *file) adopt(m mark) error {
	head := make([]byte, min(m.offset, printSize))
	n, err := f.at(head, 0)
	if err != nil {
		return err
	}
	m.id, m.head, m.skip = f.id, head[:n], m.skip || f.cut
	m.print = bytes.Clone(m.print)
	f.mark, f.fresh, f.cut = m, false, false
	return nil
}

// restart forgets the place in f, because the content it was in is gone. If that
// ended inside a line, what comes first now may be the rest of it.
func (f *file) restart() {
	f.cut = len(f.part) > 0 || f.skip
	f.mark, f.part = mark{id: f.id}, nil
	f.fresh, f.grown = true, time.Now()
}

// holds reports whether f still has at m's place what was there.
func (f *file) holds(m mark) bool {
	b := make([]byte, len(m.print))
	n, err := f.at(b, m.offset-int64(len(b)))
	return err == nil && n > 0 && bytes.Equal(b[:n], m.print)
}

// read hands on the lines that are complete up to limit. Every system call
// reads the fingerprint again together with what follows it, so a rewritten
// file cannot pass for a grown one. It returns how many lines were overlong.
func (f *file) read(ctx context.Context, buf []byte, limit int64, handle func([]byte)) (dropped int, err error) {
	if limit < f.offset {
		return 0, errRewritten
	}
	for ctx.Err() == nil {
		known := len(f.print)
		base := f.offset - int64(known)
		want := int(min(int64(len(buf)), limit-base))
		n, err := f.at(buf[:want], base)
		if err != nil {
			return dropped, err
		}
		if n < known || !bytes.Equal(buf[:known], f.print) || !bytes.HasPrefix(buf[known:n], f.part) {
			return dropped, errRewritten
		}
		used, long := split(buf[known:n], &f.skip, handle)
		dropped += long
		f.advance(buf[:known+used], base)
		f.part = append(f.part[:0], buf[known+used:min(n, known+used+printSize)]...)
		if n < want || base+int64(n) >= limit {
			return dropped, nil
		}
	}
	return dropped, nil
}

// advance moves the place to the end of done, which was read from base on.
func (f *file) advance(done []byte, base int64) {
	f.offset = base + int64(len(done))
	if base == 0 && len(f.head) < printSize {
		f.head = append(f.head[:0], done[:min(len(done), printSize)]...)
	}
	f.print = append(f.print[:0], done[max(0, len(done)-printSize):]...)
}

func idOf(st *syscall.Stat_t) id { return id{uint64(st.Dev), st.Ino} }

// statPath is stat(2): what path leads to now.
func statPath(path string) (st syscall.Stat_t, err error) {
	if err = syscall.Stat(path, &st); err != nil {
		return st, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return st, regular(path, &st)
}

// regular refuses what cannot be followed: a device may react to being read,
// and a directory has no lines.
func regular(path string, st *syscall.Stat_t) error {
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		return nil
	case syscall.S_IFDIR:
		return fmt.Errorf("log %q is a directory: name the file in it: %w", path, syscall.EISDIR)
	}
	return fmt.Errorf("log %q is not a regular file", path)
}

func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// hole is the length of the hole that f begins with: a writer that keeps its
// offset over a truncation leaves one, and it may be as long as a log gets.
func (f *file) hole(limit int64) int64 {
	const seekData = 3 // SEEK_DATA of lseek(2)
	offset, err := syscall.Seek(f.fd, 0, seekData)
	if err != nil || offset > limit {
		return 0 // a file system without holes reads the NULs
	}
	return offset
}
