package pad

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Of a damaged file nothing is taken: not one byte less, and not one bit changed.
func TestDamagedPlace(t *testing.T) {
	t.Parallel()
	sum := pad{text: text(200)[:200*PerKnock]}.sum
	good := encodePlace(sum, 123)
	for n := range good {
		if _, next, err := decodePlace(good[:n]); err == nil || next != 0 {
			t.Errorf("cut to %d bytes: %d, %v", n, next, err)
		}
	}
	for i := range 8 * len(good) {
		changed := bytes.Clone(good)
		changed[i/8] ^= 1 << (i % 8)
		if _, next, err := decodePlace(changed); err == nil || next != 0 {
			t.Errorf("bit %d flipped: %d, %v", i, next, err)
		}
	}
	if got, next, err := decodePlace(good); err != nil || next != 123 || got != sum {
		t.Errorf("unchanged: %d, %v", next, err)
	}
}

// A place that cannot be trusted is an error at every door, and stays as it is.
func TestPlaceRefusals(t *testing.T) {
	t.Parallel()
	known, err := parse(text(3))
	check(t, err)
	other, err := parse(text(4))
	check(t, err)
	const torn = "it is torn or was changed, and to guess could use bytes twice: make a new pad for both ends"
	for name, test := range map[string]struct{ line, want string }{
		"empty":       {"", torn},
		"cut":         {string(encodePlace(known.sum, 2)[:50]), torn},
		"longer":      {string(encodePlace(known.sum, 2)) + "\n", torn},
		"twice":       {strings.Repeat(string(encodePlace(known.sum, 2)), 2), torn},
		"negative":    {string(encodePlace(known.sum, -1)), torn},
		"newer":       {strings.Replace(string(encodePlace(known.sum, 2)), "place 1", "place 2", 1), torn},
		"huge":        {strings.Repeat("x", 100_000), torn},
		"another pad": {string(encodePlace(other.sum, 2)), "it is another pad's"},
		"too high":    {string(encodePlace(known.sum, 4)), "it is 4, and the pad has 3 knocks"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, dir := knownPad(t, 3), t.TempDir()
			atSender := write(t, path+".place-"+known.digits(), []byte(test.line), 0o600)
			atReceiver := write(t, filepath.Join(dir, "pad-"+known.digits()), []byte(test.line), 0o600)
			_, err := OpenSender(path, Options{})
			checkError(t, err, atSender, `failed to read the place in the one-time pad "DIR": `+test.want)
			_, err = OpenReceiver(path, dir, Options{})
			checkError(t, err, atReceiver, `failed to read the place in the one-time pad "DIR": `+test.want)
			_, err = OpenReader(path, dir, Options{})
			checkError(t, err, atReceiver, `failed to read the place in the one-time pad "DIR": `+test.want)
			for _, file := range []string{atSender, atReceiver} {
				if b, err := os.ReadFile(file); err != nil || string(b) != test.line {
					t.Errorf("%s is now %q, %v", file, b, err)
				}
			}
		})
	}
}

// Links lead elsewhere.
func TestPlaceIsNoLink(t *testing.T) {
	t.Parallel()
	path := knownPad(t, 3)
	p, err := open(path, false)
	check(t, err)
	elsewhere := filepath.Join(t.TempDir(), "precious")
	write(t, elsewhere, []byte("precious"), 0o600)
	for _, suffix := range []string{"", ".new", ".lock"} {
		dir := t.TempDir()
		link := filepath.Join(dir, "pad-"+p.digits()+suffix)
		check(t, os.Symlink(elsewhere, link))
		if _, err := OpenReceiver(path, dir, Options{}); !errors.Is(err, unix.ELOOP) {
			t.Errorf("with a link at %q: %v, want %v", link, err, unix.ELOOP)
		}
	}
	if b, err := os.ReadFile(elsewhere); err != nil || string(b) != "precious" {
		t.Errorf("the link's target is now %q, %v", b, err)
	}
}

func TestReceiverNeedsItsDirectory(t *testing.T) {
	t.Parallel()
	path, dir := newPad(t, 3), filepath.Join(t.TempDir(), "no")
	if _, err := OpenReceiver(path, dir, Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("OpenReceiver = %v, want %v", err, os.ErrNotExist)
	}
}

// What a killed process had begun to write is nothing.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	path, dir := newPad(t, 5), t.TempDir()
	r := receive(t, path, dir, 0)
	s := newSender(t, path)
	take(t, r, seal(t, s), 0)
	check(t, r.Close())
	write(t, s.place.path+".new", []byte("knock-pad-pl"), 0o600)
	write(t, r.place.path+".new", []byte("knock-pad-pl"), 0o600)
	take(t, receive(t, path, dir, 0), seal(t, newSender(t, path)), 1)
}

func TestLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := place{path: filepath.Join(dir, "place")}
	lock, err := p.lock(0)
	check(t, err)
	_, err = p.lock(0)
	checkError(t, err, dir, `the one-time pad is in use: another client or daemon holds "DIR/place.lock"`)
	began := time.Now()
	if _, err = p.lock(50 * time.Millisecond); err == nil || time.Since(began) < 50*time.Millisecond {
		t.Errorf("after %v: %v, want an error after 50 ms", time.Since(began), err)
	}
	time.AfterFunc(50*time.Millisecond, func() { lock.Close() })
	second, err := p.lock(time.Minute)
	check(t, err)
	check(t, second.Close())
}

// What is read is written the same.
func FuzzDecodePlace(f *testing.F) {
	p, err := parse(text(3))
	check(f, err)
	for _, next := range []int{0, 2, MaxKnocks} {
		f.Add(encodePlace(p.sum, next))
	}
	f.Add([]byte(placeWord))
	f.Add(encodePlace(p.sum, -5))
	f.Fuzz(func(t *testing.T, line []byte) {
		sum, next, err := decodePlace(line)
		if err != nil {
			if next != 0 || sum != [32]byte{} {
				t.Fatalf("%d beside error %v", next, err)
			}
			return
		}
		if again := encodePlace(sum, next); next < 0 || !bytes.Equal(again, line) {
			t.Fatalf("%q is read as %d and written as %q", line, next, again)
		}
	})
}
