package pad

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Make writes a pad for 1 to [MaxKnocks] knocks to path, which must not be there
// yet, for its owner alone. When it returns nil the pad is on the disk; after an
// error there is none.
func Make(path string, knocks int) error {
	if knocks < 1 || knocks > MaxKnocks {
		return fmt.Errorf("a one-time pad of %d knocks cannot be made, want 1 to %d", knocks, MaxKnocks)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("failed to make the one-time pad: %w", err)
	}
	err = errors.Join(fill(f, knocks), f.Close())
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		os.Remove(path)
		return fmt.Errorf("failed to write the one-time pad %q: %w", path, err)
	}
	return nil
}

// fill writes a pad and makes it durable.
func fill(f *os.File, knocks int) error {
	text := make([]byte, knocks*PerKnock, knocks*PerKnock+sha256.Size)
	rand.Read(text) // never fails: the program ends if there is no randomness
	sum := sha256.Sum256(text)
	if _, err := f.Write(append(text, sum[:]...)); err != nil {
		return err
	}
	return f.Sync()
}

// pad is a pad in memory, which stays as it was checked whatever becomes of the file.
type pad struct {
	text []byte // PerKnock bytes for each knock
	sum  [sha256.Size]byte
}

// knocks is how many knocks there are, used ones among them.
func (p pad) knocks() int { return len(p.text) / PerKnock }

// digits tell p from other pads in the name of a file.
func (p pad) digits() string { return fmt.Sprintf("%x", p.sum[:8]) }

// open reads a pad and refuses one that is damaged, or that others can read.
func open(path string, allowReadable bool) (pad, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|noWaiting, 0)
	if err != nil {
		return pad{}, fmt.Errorf("failed to open the one-time pad: %w", err)
	}
	defer f.Close()
	p, err := read(f, allowReadable)
	if err != nil {
		return pad{}, fmt.Errorf("failed to read the one-time pad %q: %w", path, err)
	}
	return p, nil
}

// readSum reads the checksum at the end of a pad, and nothing else of it.
func readSum(path string) (sum [sha256.Size]byte, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|noWaiting, 0)
	if err != nil {
		return sum, fmt.Errorf("failed to open the one-time pad: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil {
		_, err = f.ReadAt(sum[:], info.Size()-int64(len(sum)))
	}
	if err != nil {
		return sum, fmt.Errorf("failed to read the one-time pad %q: %w", path, err)
	}
	return sum, nil
}

func read(f *os.File, allowReadable bool) (pad, error) {
	info, err := f.Stat()
	if err != nil {
		return pad{}, err
	}
	mode, size := info.Mode(), info.Size()
	switch {
	case !mode.IsRegular():
		return pad{}, errors.New("it is not a regular file")
	case letsOthers(mode) && !allowReadable:
		return pad{}, fmt.Errorf("others may use it (mode %04o): chmod 600 it", mode.Perm())
	case size > MaxKnocks*PerKnock+sha256.Size:
		return pad{}, fmt.Errorf("it has more than the %d bytes of %d knocks", MaxKnocks*PerKnock+sha256.Size, MaxKnocks)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(f, text); err != nil {
		return pad{}, err
	}
	return parse(text)
}

// parse takes the bytes of a file, and keeps them.
func parse(text []byte) (pad, error) {
	n := len(text) - sha256.Size
	if n < PerKnock || n%PerKnock != 0 {
		return pad{}, fmt.Errorf("it has %d bytes, which no one-time pad has: it was cut, or is none", len(text))
	}
	p := pad{text: text[:n], sum: sha256.Sum256(text[:n])}
	if !bytes.Equal(p.sum[:], text[n:]) {
		return pad{}, errors.New("its checksum is wrong: it was changed or cut, or is none")
	}
	return p, nil
}
