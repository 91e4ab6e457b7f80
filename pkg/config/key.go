package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"runtime"

	"github.com/portknock/knock/pkg/ui"
)

// maxKey is the longest passphrase that a key file may hold, in bytes.
const maxKey = 64 << 10

// secret collects where the passphrase comes from. A level (the file, the environment, the flags) that names a key
// or a key file replaces both of the level before.
type secret struct {
	key, file     string
	haveKey       bool
	holder        string // the configuration file that holds key
	allowReadable bool

	newKey, newFile *string // the level that is being read
	twice           bool    // a level had both
}

func (s *secret) settings() []Setting {
	return []Setting{
		setting("key", "the `PASSPHRASE`; others can see it in ps: better a key file", func(v string) error {
			if v == "" {
				return errors.New("the key is empty")
			}
			s.newKey = &v
			return nil
		}),
		setting("key-file", "read the passphrase from `FILE`, without its last newline", func(v string) error {
			s.newFile = &v
			return notEmpty(v)
		}),
		toggle("allow-readable-key", "take the key even from a file that others can read", &s.allowReadable),
	}
}

// given tells whether there is a key, or where one is.
func (s *secret) given() bool { return s.haveKey || s.file != "" }

// endLevel closes a level. Path is the configuration file that it was, or empty.
func (s *secret) endLevel(path string) {
	s.twice = s.twice || s.newKey != nil && s.newFile != nil
	switch {
	case s.newKey != nil:
		s.key, s.haveKey, s.file, s.holder = *s.newKey, true, "", path
	case s.newFile != nil:
		s.key, s.haveKey, s.file, s.holder = "", false, *s.newFile, ""
	}
	s.newKey, s.newFile = nil, nil
}

// forget drops what earlier levels said.
func (s *secret) forget() { s.key, s.file, s.holder, s.haveKey = "", "", "", false }

// passphrase gives the key that was settled on, and reads its file if it has one.
func (s *secret) passphrase() ([]byte, error) {
	switch {
	case s.twice:
		return nil, ui.Usage(errors.New("key and key-file are both given in one place: one must go"))
	case s.haveKey && s.holder != "":
		return []byte(s.key), s.checkHolder()
	case s.haveKey:
		return []byte(s.key), nil
	case s.file != "":
		return s.readKeyFile()
	}
	return nil, errNoKey
}

var errNoKey = ui.Usage(ui.Hint(errors.New("no key"), "give -key-file FILE, the same passphrase as at the other end"))

func (s *secret) checkHolder() error {
	f, err := os.Open(s.holder)
	if err != nil {
		return fmt.Errorf("failed to open the configuration file: %w", err)
	}
	defer f.Close()
	return s.checkMode(f, "it holds the key")
}

func (s *secret) readKeyFile() ([]byte, error) {
	f, err := os.Open(s.file)
	if err != nil {
		return nil, hintOwner(fmt.Errorf("failed to open the key file: %w", err))
	}
	defer f.Close()
	if err := s.checkMode(f, "it is the key file"); err != nil {
		return nil, err
	}
	key, err := readKey(f)
	if err != nil {
		return nil, fmt.Errorf("the key file %q %w", s.file, err)
	}
	return key, nil
}

// hintOwner adds to an error about a file that may not be read who should own it. A service's user is easily forgotten.
func hintOwner(err error) error {
	u, unknown := user.Current()
	if unknown != nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return ui.Hint(err, "this runs as the user %s, who must own the file", u.Username)
}

// readKey gives a key without its one trailing newline. An error goes on where "the key file" began.
func readKey(r io.Reader) ([]byte, error) {
	key, err := io.ReadAll(io.LimitReader(r, maxKey+2))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	key = bytes.TrimSuffix(key, []byte("\n"))
	switch {
	case len(key) == 0:
		return nil, errors.New("is empty")
	case len(key) > maxKey:
		return nil, fmt.Errorf("holds more than %d bytes", maxKey)
	}
	return key, nil
}

func (s *secret) checkMode(f *os.File, why string) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("failed to look at %q: %w", f.Name(), err)
	}
	if info.Mode().Perm()&0o077 == 0 || s.allowReadable || runtime.GOOS == "windows" { // which has no such modes
		return nil
	}
	return ui.Hint(fmt.Errorf("others may use %q (mode %04o), and %s", f.Name(), info.Mode().Perm(), why),
		"chmod 600 %s, or say allow-readable-key", f.Name())
}
