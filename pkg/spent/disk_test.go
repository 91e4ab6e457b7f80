package spent

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"testing"
)

var errDisk = errors.New("disk on fire")

// A disk is a file that can fail and crash. It remembers each content that the real disk may have.
type disk struct {
	now    []byte
	maybe  [][]byte // what a crash may leave: all since the last sync
	closed bool

	// What fails next; each failure is used up.
	short           int // bytes that the next write leaves out
	noWrite, noSync bool
	noTruncate      bool
}

var _ file = (*disk)(nil)

// newDisk gives a disk with a file of text, safely there.
func newDisk(text string) *disk {
	return &disk{now: []byte(text), maybe: [][]byte{[]byte(text)}}
}

func (d *disk) change(now []byte) {
	d.now = now
	d.maybe = append(d.maybe, bytes.Clone(now))
}

func (d *disk) WriteAt(p []byte, at int64) (int, error) {
	if d.closed {
		return 0, fs.ErrClosed
	}
	n := len(p)
	if d.noWrite {
		n = max(0, n-d.short)
	}
	now := append(bytes.Clone(d.now), make([]byte, max(0, int(at)+n-len(d.now)))...)
	zeros := bytes.Clone(now) // the file has grown, the data has not arrived
	copy(now[at:], p[:n])
	for i := range n { // or some of it has
		d.maybe = append(d.maybe, slices.Concat(now[:int(at)+i], zeros[int(at)+i:]), bytes.Clone(now[:int(at)+i]))
	}
	d.change(now)
	if d.noWrite {
		d.noWrite = false
		return n, errDisk
	}
	return n, nil
}

func (d *disk) Truncate(size int64) error {
	if d.noTruncate {
		d.noTruncate = false
		return errDisk
	}
	d.change(bytes.Clone(d.now[:size]))
	return nil
}

func (d *disk) Sync() error {
	if d.closed {
		return fs.ErrClosed
	}
	if d.noSync {
		d.noSync = false
		return errDisk
	}
	d.maybe = [][]byte{bytes.Clone(d.now)}
	return nil
}

func (d *disk) Close() error {
	d.closed = true
	return nil
}

// bookOf makes a Book of what is on a disk, which may fail now and then.
func bookOf(t testing.TB, d *disk, max int) *Book {
	t.Helper()
	c, err := decode(bytes.NewReader(d.now), int64(len(d.now)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBook(d, c, int64(len(d.now)), max)
	for errors.Is(err, errDisk) {
		b, err = newBook(d, c, int64(len(d.now)), max)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// checkCrash fails if some crash now makes the book unreadable, or forget what it acknowledged.
func checkCrash(t testing.TB, d *disk, blocks [][8]byte, headers []string) {
	t.Helper()
	for _, text := range d.maybe {
		c, err := decode(bytes.NewReader(text), int64(len(text)))
		if err != nil {
			t.Fatalf("after a crash: %v, in %q", err, text)
		}
		for _, block := range blocks {
			if _, ok := c.blocks[block]; !ok {
				t.Fatalf("after a crash block %x is forgotten, in %q", block, text)
			}
		}
		for _, h := range headers {
			if !slices.Contains(c.headers, h) {
				t.Fatalf("after a crash header setting %q is forgotten, in %q", h, text)
			}
		}
	}
}
