package keygen

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/portknock/knock/pkg/ui"
)

// write makes a file for its owner alone. It gets its name when all of it is on the disk, and by a link, which takes no
// name that is taken.
func write(path, text string) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".knock-key-*")
	if err != nil {
		return fmt.Errorf("failed to make the key file %q: %w", path, err)
	}
	defer os.Remove(f.Name()) // also after an error
	err = errors.Join(fill(f, text), f.Close())
	if err == nil {
		err = os.Link(f.Name(), path)
	}
	if errors.Is(err, fs.ErrExist) {
		return ui.Hint(fmt.Errorf("the key file %q is there already", path), "a key is never replaced: name another file, or move that one away")
	}
	if err == nil {
		if err = errors.Join(os.Remove(f.Name()), syncDir(dir)); err != nil {
			os.Remove(path)
		}
	}
	if err != nil {
		return fmt.Errorf("failed to write the key file %q: %w", path, err)
	}
	return nil
}

// fill writes a file and makes it durable.
func fill(f *os.File, text string) error {
	if err := f.Chmod(0o600); err != nil { // an umask may have taken the owner's rights
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	return f.Sync()
}

// syncDir makes a name in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
