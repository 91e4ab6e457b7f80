//go:build unix

package config

import (
	"os"
	"syscall"
)

// foreign tells whether a file belongs to neither root nor who runs this.
func foreign(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid()
}
