package spent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
)

// A Book is the durable set of the blocks used under one key, and of the header
// settings that the key was used with. Its methods may be called from several
// goroutines.
type Book struct {
	max int
	cut int64

	// mu guards what follows and keeps set and file together: it is held while
	// the disk is written to.
	mu      sync.Mutex
	file    file
	size    int64 // of the file's whole records: where the next one goes
	torn    bool  // the file may be longer than size
	blocks  map[[8]byte]struct{}
	pending [][8]byte // of blocks, those that the file lacks
	headers []string
}

// file is what a Book needs of an os.File.
type file interface {
	io.WriterAt
	io.Closer
	Sync() error
	Truncate(size int64) error
}

var _ file = (*os.File)(nil)

// newBook makes a Book of a file of size bytes and what it holds. A torn tail is
// cut off, and what is left made durable: a process that was killed may not have
// got as far.
func newBook(f file, c contents, size int64, max int) (*Book, error) {
	b := &Book{max: max, cut: size - c.size, file: f, size: c.size, blocks: c.blocks, headers: c.headers}
	b.torn = b.cut > 0
	if err := b.trim(); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	return b, nil
}

// Use records a block. When it returns nil the block is on the disk, and was
// never used before: heed the knock. Any error means: refuse it. The errors are
// [ErrSpent], [ErrFull], or the disk's, wrapped.
//
// A block that could not be written counts as used nevertheless, and is written
// with the next that can be. It has been seen on its way, and a stranger may well
// be the one who filled the disk, with lines for the firewall's log: to forget
// the block would hand him a knock to forge from as soon as there is room. Nobody
// is locked out by it, as each knock of a client has a fresh IV and thus another
// block. What is not written is lost if the process is killed.
func (b *Book) Use(block [8]byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.blocks[block]; ok {
		return ErrSpent
	}
	if len(b.blocks) >= b.max {
		return ErrFull
	}
	b.blocks[block] = struct{}{}
	b.pending = append(b.pending, block)
	if err := b.writePending(); err != nil {
		return fmt.Errorf("failed to record the block: %w", err)
	}
	return nil
}

// Has tells whether a block was used, so that [Book.Use] would refuse it.
func (b *Book) Has(block [8]byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.blocks[block]
	return ok
}

// Len returns how many blocks were used.
func (b *Book) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.blocks)
}

// Cut returns how many bytes of a torn tail [Open] has cut off. From 1 to 22 a
// crash explains. More, up to 4096, says that the disk lost what it had promised
// to keep: the blocks of the last knocks before the crash may be forgotten.
func (b *Book) Cut() int64 { return b.cut }

// Mark records, durably, that the key is used with a header setting, and returns
// the other settings that it was used with before, in the order of their first
// use. A setting is 1 to 16 of a-z and 0-9, and a book holds at most 8. After an
// error nothing is recorded.
func (b *Book) Mark(header string) (others []string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !isHeader(header) {
		return nil, fmt.Errorf("header setting %q is not 1 to 16 of a-z and 0-9", header)
	}
	if !slices.Contains(b.headers, header) {
		if len(b.headers) == maxHeaders {
			return nil, fmt.Errorf("header setting %q is one too many, want at most %d", header, maxHeaders)
		}
		if err := b.write(headerRecord(header)); err != nil {
			return nil, fmt.Errorf("failed to record header setting %q: %w", header, err)
		}
		b.headers = append(b.headers, header)
	}
	for _, h := range b.headers {
		if h != header {
			others = append(others, h)
		}
	}
	return others, nil
}

// Close writes what could not be written so far and closes the file. Its error
// says if blocks are forgotten with the process. The Book is of no use after it.
func (b *Book) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.writePending()
	if err != nil {
		err = fmt.Errorf("failed to record %d used blocks: %w", len(b.pending), err)
	}
	return errors.Join(err, b.file.Close())
}

// writePending writes the blocks that the file lacks. Each is synced before the
// next, so that a crash can tear the last record only, whatever the order in
// which the disk writes.
func (b *Book) writePending() error {
	for len(b.pending) > 0 {
		if err := b.write(blockRecord(b.pending[0])); err != nil {
			return err
		}
		b.pending = b.pending[1:]
	}
	return nil
}

// write appends a record and syncs it. If that fails the record goes again, now
// or before the next; as long as it cannot go nothing is written.
func (b *Book) write(record []byte) error {
	if err := b.trim(); err != nil {
		return err
	}
	b.torn = true
	_, err := b.file.WriteAt(record, b.size)
	if err == nil {
		err = b.file.Sync()
	}
	if err != nil {
		return errors.Join(err, b.trim())
	}
	b.torn = false
	b.size += int64(len(record))
	return nil
}

// trim cuts the file to its whole records. That needs no sync: the next record's
// covers it, and until then a crash leaves a torn tail at worst.
func (b *Book) trim() error {
	if !b.torn {
		return nil
	}
	if err := b.file.Truncate(b.size); err != nil {
		return err
	}
	b.torn = false
	return nil
}
