package keygen

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/portknock/knock/pkg/ui"
)

// Options say which key is made, and what is said of it.
type Options struct {
	Path string // of the new file
	Name string // whose key it is, for a section [key NAME], 1 to 60 bytes of printable UTF-8; empty: it goes to the top
	QR   bool   // show the client's lines, and with them the key, as a QR code
	Conf string // the daemon's configuration file; empty: /etc/knockdaemon.conf
}

// keyBytes are the random bytes of a key.
const keyBytes = 256 / 8

// Run makes the file at o.Path, which must not be there yet, for its owner alone, and writes to w what goes into the
// configuration files of the daemon and of a client. The key itself is written to w only within the QR code. When the
// file is there it is whole and on the disk; after an error there is none, unless the error is w's and says so. A path or
// a name that a configuration file cannot hold is wrong use, as ui.Usage marks it.
func Run(o Options, w io.Writer) error {
	if err := o.check(); err != nil {
		return err
	}
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return fmt.Errorf("failed to find the directory of %q: %w", o.Path, err)
	}
	if !isPlain(path) {
		return ui.Usage(fmt.Errorf("the path %q cannot stand in a configuration file: it has unprintable characters", path))
	}
	key := newKey()
	text, err := words(o, path, key, here())
	if err != nil {
		return err
	}
	if err := write(path, key+"\n"); err != nil {
		return err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("failed to say what to do with the key (the file %q is made): %w", path, err)
	}
	return nil
}

// newKey makes a key, without a newline.
func newKey() string {
	key := make([]byte, keyBytes)
	rand.Read(key) // never fails: the program ends if there is no randomness
	return base64.StdEncoding.EncodeToString(key)
}

// maxName is the longest name of a key, in bytes: the title of a section has 64, of which "key " takes four.
const maxName = 60

// check refuses what would come out of the configuration file as something else.
func (o Options) check() error {
	switch {
	case o.Path == "":
		return ui.Usage(errors.New("no file for the key: its name is empty"))
	case len(o.Name) > maxName || !isPlain(o.Name) || strings.Join(strings.Fields(o.Name), " ") != o.Name:
		return ui.Usage(fmt.Errorf("the name of a key has 1 to %d bytes of printable UTF-8, and no blanks but single ones inside", maxName))
	}
	return nil
}

// isPlain tells whether v can stand on a line, and be shown on a terminal.
func isPlain(v string) bool {
	return utf8.ValidString(v) && !strings.ContainsFunc(v, func(c rune) bool { return !unicode.IsPrint(c) })
}
