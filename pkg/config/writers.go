package config

import (
	"fmt"
	"os"
	"runtime"

	"github.com/portknock/knock/pkg/ui"
)

// checkWriters refuses a file of commands that others can write: they would be run as they like.
func checkWriters(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("failed to look at the configuration file: %w", err)
	}
	switch mode := info.Mode().Perm(); {
	case foreign(info):
		return ui.Hint(fmt.Errorf("%q belongs to another user, who can so have any command run", path), "chown root %s", path)
	case mode&0o022 != 0 && runtime.GOOS != "windows": // which has no such modes
		return ui.Hint(fmt.Errorf("others may write %q (mode %04o), and it says which commands are run", path, mode), "chmod go-w %s", path)
	}
	return nil
}
