package firewall

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// maxWords and maxLine bound a rule that is written for the restore program:
	// the legacy variant takes 255 words and 10 kB.
	maxWords = 100
	maxLine  = 1000
)

// errUnfit says that the restore program is gone, or not the one that belongs to
// iptables: it might change the rules of the other variant.
var errUnfit = errors.New("no restore program of the same version")

// restoreFunc makes changes in one table, all or none: each is a line of arguments
// of iptables. It fails as a runFunc does.
type restoreFunc func(ctx context.Context, table, changes string) error

// restorer gives what runs the restore program that is beside iptables at path,
// each time for at most limit; nil if there is none. Its version is looked at
// before it is first used.
func restorer(path string, limit time.Duration) restoreFunc {
	program, err := exec.LookPath(path + "-restore")
	if err != nil {
		return nil
	}
	same := false
	return func(ctx context.Context, table, changes string) error {
		if !same {
			if err := sameVersion(ctx, path, program, limit); err != nil {
				return unfit(err)
			}
			same = true
		}
		// Without --noflush it would take out all that is there.
		_, err := execute(ctx, program, limit, "*"+table+"\n"+changes+"COMMIT\n", []string{"-w", "5", "--noflush"})
		return unfit(err)
	}
}

// unfit tells a program that is not there from every other failure.
func unfit(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", errUnfit, err)
	}
	return err
}

// sameVersion compares what two programs say of their version: a name, then the
// version with the variant, as "iptables v1.8.9 (nf_tables)".
func sameVersion(ctx context.Context, path, other string, limit time.Duration) error {
	var versions [2]string
	for i, p := range []string{path, other} {
		out, err := execute(ctx, p, limit, "", []string{"--version"})
		if err != nil {
			return err
		}
		_, versions[i], _ = strings.Cut(strings.TrimSpace(out), " ")
	}
	if versions[0] != versions[1] {
		return fmt.Errorf("%w: %s is %q, not %q", errUnfit, filepath.Base(other), versions[1], versions[0])
	}
	return nil
}

// restorable reports whether args, written as one line with spaces, mean the same
// to the restore program as to iptables.
func restorable(args []string) bool {
	length := 0
	for _, a := range args {
		length += len(a) + 1
		if !plainWord(a) {
			return false
		}
	}
	return len(args) <= maxWords && length <= maxLine
}

// plainWord reports whether a word needs no quotes and is not, to the restore
// program, the option that names a table.
func plainWord(s string) bool {
	foreign := func(c rune) bool {
		return !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.ContainsRune("_./:,@%+=!-", c))
	}
	switch {
	case s == "" || strings.ContainsFunc(s, foreign):
		return false
	case strings.HasPrefix(s, "--"):
		return len(s) == 2 || !strings.HasPrefix("--table", s) && !strings.HasPrefix(s, "--table=")
	case s[0] == '-':
		return !strings.Contains(s, "t")
	}
	return true
}
