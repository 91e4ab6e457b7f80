package pad

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// payload is the published one.
var payload = [7]byte{142, 103, 205, 1, 22, 15, 233}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newPad makes a pad in a directory of its own.
func newPad(t testing.TB, knocks int) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "knock.pad")
	check(t, Make(path, knocks))
	return path
}

// text gives the bytes of a known pad for n knocks, which byte i is 7i+3 of, and their checksum.
func text(n int) []byte {
	b := make([]byte, n*PerKnock)
	for i := range b {
		b[i] = byte(7*i + 3)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func write(t testing.TB, path string, text []byte, mode fs.FileMode) string {
	t.Helper()
	check(t, os.WriteFile(path, text, mode))
	check(t, os.Chmod(path, mode))
	return path
}

// knownPad makes a pad of text(n).
func knownPad(t testing.TB, n int) (path string) {
	t.Helper()
	return write(t, filepath.Join(t.TempDir(), "knock.pad"), text(n), 0o600)
}

// listing gives the files of a directory.
func listing(t testing.TB, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	files := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		check(t, err)
		files[e.Name()] = string(b)
	}
	return files
}

// checkError fails if err is not one whose text, with DIR for dir, is want.
func checkError(t testing.TB, err error, dir, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", want)
	}
	text := err.Error()
	if dir != "" {
		text = strings.ReplaceAll(text, dir, "DIR")
	}
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}

func TestMake(t *testing.T) {
	t.Parallel()
	a, b := newPad(t, 3), newPad(t, 3)
	info, err := os.Stat(a)
	check(t, err)
	if info.Mode() != 0o600 || info.Size() != 3*39+32 {
		t.Errorf("mode %v, %d bytes, want 0600 and %d", info.Mode(), info.Size(), 3*39+32)
	}
	textA, err := os.ReadFile(a)
	check(t, err)
	textB, err := os.ReadFile(b)
	check(t, err)
	for i := range len(textA) / 13 {
		if bytes.Equal(textA[13*i:13*i+13], textB[13*i:13*i+13]) {
			t.Errorf("13 bytes of two pads are the same, from %d", 13*i)
		}
	}
	if _, err := open(a, false); err != nil {
		t.Error(err)
	}
}

func TestMakeRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "there"), []byte("precious"), 0o600)
	for name, test := range map[string]struct {
		file   string
		knocks int
		want   string
	}{
		"none":         {"new", 0, "a one-time pad of 0 knocks cannot be made, want 1 to 1000000"},
		"negative":     {"new", -1, "a one-time pad of -1 knocks cannot be made, want 1 to 1000000"},
		"too many":     {"new", 1_000_001, "a one-time pad of 1000001 knocks cannot be made, want 1 to 1000000"},
		"file exists":  {"there", 1, "failed to make the one-time pad: open DIR/there: file exists"},
		"no directory": {"no/pad", 1, "failed to make the one-time pad: open DIR/no/pad: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			checkError(t, Make(filepath.Join(dir, test.file), test.knocks), dir, test.want)
		})
	}
	if diff := cmp.Diff(map[string]string{"there": "precious"}, listing(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestMakeTheLongest(t *testing.T) {
	t.Parallel()
	path := newPad(t, MaxKnocks)
	s, err := OpenSender(path, Options{})
	check(t, err)
	if s.Left() != MaxKnocks {
		t.Errorf("%d knocks, want %d", s.Left(), MaxKnocks)
	}
}

func TestOpenRefusals(t *testing.T) {
	t.Parallel()
	dir, good := t.TempDir(), text(3)
	changed := func(i int) []byte {
		b := bytes.Clone(good)
		b[i] ^= 1
		return b
	}
	check(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	const failed = `failed to read the one-time pad "DIR/%": `
	for name, test := range map[string]struct {
		text []byte // nil: nothing is written
		mode fs.FileMode
		want string
	}{
		"missing":         {nil, 0, "failed to open the one-time pad: open DIR/%: no such file or directory"},
		"fifo":            {nil, 0, failed + "it is not a regular file"},
		"empty":           {[]byte{}, 0o600, failed + "it has 0 bytes, which no one-time pad has: it was cut, or is none"},
		"checksum alone":  {good[3*39:], 0o600, failed + "it has 32 bytes, which no one-time pad has: it was cut, or is none"},
		"a byte less":     {good[:len(good)-1], 0o600, failed + "it has 148 bytes, which no one-time pad has: it was cut, or is none"},
		"a knock less":    {good[:len(good)-39], 0o600, failed + "its checksum is wrong: it was changed or cut, or is none"},
		"first knock cut": {good[39:], 0o600, failed + "its checksum is wrong: it was changed or cut, or is none"},
		"a bit":           {changed(0), 0o600, failed + "its checksum is wrong: it was changed or cut, or is none"},
		"checksum's bit":  {changed(len(good) - 1), 0o600, failed + "its checksum is wrong: it was changed or cut, or is none"},
		"group reads":     {good, 0o640, failed + "others may use it (mode 0640): chmod 600 it"},
		"others write":    {good, 0o602, failed + "others may use it (mode 0602): chmod 600 it"},
		"too long":        {make([]byte, MaxKnocks*39+33), 0o600, failed + "it has more than the 39000032 bytes of 1000000 knocks"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			if test.text != nil {
				write(t, path, test.text, test.mode)
			}
			want := strings.ReplaceAll(test.want, "%", filepath.Base(path))
			_, err := OpenSender(path, Options{})
			checkError(t, err, dir, want)
			_, err = OpenReceiver(path, dir, Options{})
			checkError(t, err, dir, want)
			_, err = OpenReader(path, dir, Options{})
			checkError(t, err, dir, want)
		})
	}
}

func TestAllowReadable(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "pad"), text(3), 0o644)
	if _, err := OpenSender(path, Options{AllowReadable: true}); err != nil {
		t.Error(err)
	}
	r, err := OpenReceiver(path, t.TempDir(), Options{AllowReadable: true})
	check(t, err)
	check(t, r.Close())
}

// A disk without room has no half of a pad left on it.
func TestMakeDiskFull(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t)
	if err := Make(filepath.Join(dir, "pad"), 10_000); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Make = %v, want %v", err, unix.ENOSPC)
	}
	if diff := cmp.Diff(map[string]string{}, listing(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// Whatever is taken for a pad has its checksum.
func FuzzParse(f *testing.F) {
	f.Add(text(1))
	f.Add(text(2)[:50])
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parse(bytes.Clone(b))
		if err != nil {
			return
		}
		if sum := sha256.Sum256(b[:len(b)-32]); !bytes.Equal(sum[:], b[len(b)-32:]) || p.knocks() != len(b)/39 {
			t.Fatalf("%x is taken for a pad of %d knocks", b, p.knocks())
		}
	})
}
