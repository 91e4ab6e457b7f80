package spent

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Open reads the book of the key passphrase in the directory dir, or begins one.
// Dir must be there, and belong to nobody else: the file is made for its owner
// alone, and refused if it is another's, a link, or open in another process.
//
// A torn tail is cut off, see [Book.Cut]. Other damage is an error, which names
// the file and the line; only a backup of the file or a new key helps.
func Open(dir, passphrase string, o Options) (*Book, error) {
	if o.Max < 1 || o.Max > MaxBlocks {
		return nil, fmt.Errorf("a book of %d blocks cannot be kept, want 1 to %d", o.Max, MaxBlocks)
	}
	name, err := fileName(passphrase)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, name)
	f, err := openFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("failed to make the book of used blocks %q: %w", path, err)
		}
		f, err = openFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to open the book of used blocks %q: %w", path, err)
	}
	b, err := read(f, o.Max)
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return b, nil
}

// fileName gives the name of a key's book. Each knock that was recorded lets its
// owner try passphrases, at a Blowfish key schedule each; the rounds make sure
// that the name is no cheaper to try them on.
func fileName(passphrase string) (string, error) {
	sum, err := pbkdf2.Key(sha256.New, passphrase, []byte("port knocking: book of used blocks"), 4096, 16)
	if err != nil {
		return "", fmt.Errorf("failed to derive a file name from the key: %w", err)
	}
	return "blocks-" + hex.EncodeToString(sum[:8]), nil
}

// create makes an empty book. It gets its name when it is whole, so that an empty
// file of that name is damage, and nobody's book is ever written over.
func create(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.WriteString(firstLine); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// openFile opens and locks a file that is there. Two processes with one book
// would each heed a block once.
func openFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, errors.New("it is a symbolic link")
	}
	if err != nil {
		return nil, err
	}
	if err := secure(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// secure makes sure that a file is ours alone.
func secure(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return errors.New("it is not a regular file")
	}
	if int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("it belongs to user %d, who can make it forget", st.Uid)
	}
	if err := f.Chmod(0o600); err != nil {
		return err
	}
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errors.New("it is in use already")
	}
	return err
}

// read makes a Book of a file.
func read(f *os.File, max int) (*Book, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("failed to read the book of used blocks: %w", err)
	}
	c, err := decode(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("failed to read the book of used blocks %q: %w; restore it from a backup, or use a new key",
			f.Name(), err)
	}
	b, err := newBook(f, c, info.Size(), max)
	if err != nil {
		return nil, fmt.Errorf("failed to make the book of used blocks %q whole: %w", f.Name(), err)
	}
	return b, nil
}

// syncDir makes a name in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err == nil {
		defer d.Close()
		err = d.Sync()
	}
	if err != nil {
		return fmt.Errorf("failed to sync the directory of used blocks: %w", err)
	}
	return nil
}
