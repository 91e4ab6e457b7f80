package pad

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A place's file is one line: this, the pad's checksum, the number of the next knock,
// and 16 digits of the SHA-256 of all that.
const (
	placeWord = "knock-pad-place 1 "

	maxPlaceFile = 256 // bytes that are read of one: more than a line has
)

// place is the file that remembers the next knock of one pad at one end.
type place struct {
	path   string
	sum    [sha256.Size]byte // the pad's
	knocks int               // the pad's
}

// encodePlace gives the line of a pad's next knock.
func encodePlace(sum [sha256.Size]byte, next int) []byte {
	line := fmt.Appendf(nil, "%s%x %d ", placeWord, sum, next)
	check := sha256.Sum256(line)
	return fmt.Appendf(line, "%x\n", check[:8])
}

// decodePlace reads what encodePlace gives, and nothing else.
func decodePlace(line []byte) (sum [sha256.Size]byte, next int, err error) {
	fields := strings.Split(strings.TrimPrefix(string(line), placeWord), " ")
	if len(fields) == 3 && len(fields[0]) == 2*len(sum) {
		var checksum []byte
		checksum, err = hex.DecodeString(fields[0])
		copy(sum[:], checksum)
		next, _ = strconv.Atoi(fields[1]) // if that went wrong, it is written otherwise
	}
	if err != nil || !bytes.Equal(encodePlace(sum, next), line) || next < 0 {
		return [sha256.Size]byte{}, 0, errors.New("it is torn or was changed, and to guess could use bytes twice: make a new pad for both ends")
	}
	return sum, next, nil
}

// read gives the number of the next knock: 0 if there is no file.
func (p place) read() (int, error) {
	f, err := openPlace(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("failed to open the place in the one-time pad: %w", err)
	}
	defer f.Close()
	line, err := io.ReadAll(io.LimitReader(f, maxPlaceFile))
	if err != nil {
		return 0, fmt.Errorf("failed to read the place in the one-time pad: %w", err)
	}
	sum, next, err := decodePlace(line)
	switch {
	case err != nil:
	case sum != p.sum:
		err = errors.New("it is another pad's")
	case next > p.knocks:
		err = fmt.Errorf("it is %d, and the pad has %d knocks", next, p.knocks)
	default:
		return next, nil
	}
	return 0, fmt.Errorf("failed to read the place in the one-time pad %q: %w", p.path, err)
}

// write replaces the file at one stroke, and returns nil once that cannot be undone.
// The caller has the lock.
func (p place) write(next int) error {
	err := p.replace(encodePlace(p.sum, next))
	if err == nil {
		err = syncDir(filepath.Dir(p.path))
	}
	if err != nil {
		return fmt.Errorf("failed to write down the place in the one-time pad: %w", err)
	}
	return nil
}

// replace puts a whole file under the name, or leaves the old one there.
func (p place) replace(text []byte) error {
	f, err := os.OpenFile(p.path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|noFollowing, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return rename(f.Name(), p.path)
}

// patience is how long a lock is waited for. Who seals has it for as long as a disk
// takes; a daemon that was killed may have children that hold its files for a moment.
const patience = 5 * time.Second

// lock keeps every other process, and every other end in this one, from this place
// until the file is closed. The lock has a file of its own, since that of the place is
// replaced, and stays, since who waits for one that is removed waits for nothing.
func (p place) lock(patience time.Duration) (io.Closer, error) {
	f, err := os.OpenFile(p.path+".lock", os.O_RDWR|os.O_CREATE|noFollowing, 0o600)
	if err != nil {
		return nil, fmt.Errorf("failed to lock the place in the one-time pad: %w", err)
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		locked, err := tryLock(f)
		switch {
		case locked:
			return f, nil
		case err != nil:
			f.Close()
			return nil, fmt.Errorf("failed to lock the place in the one-time pad %q: %w", f.Name(), err)
		case time.Since(began) >= patience:
			f.Close()
			return nil, fmt.Errorf("the one-time pad is in use: another client or daemon holds %q", f.Name())
		}
	}
}
