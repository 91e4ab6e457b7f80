package check

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/onetime"
	"github.com/portknock/knock/pkg/pad"
)

// fewLeft is how many knocks a pad still has when a new one is called for. The daemon warns as early.
const fewLeft = 50

// pad looks at the one-time pad of k; before are those of the keys before.
func (m *machine) pad(k config.Key, before []*pad.Receiver) (findings []finding, pads []*pad.Receiver) {
	const anew = "make a new one (knockclient -make-pad), for both ends"
	one := func(f finding) ([]finding, []*pad.Receiver) { return []finding{f}, before }
	r, err := pad.OpenReader(k.Pad, m.config.StateDir, pad.Options{LookAhead: m.config.LookAhead, AllowReadable: k.Readable()})
	switch {
	case errors.Is(err, fs.ErrPermission):
		return one(hidden(titleOf(k), err))
	case err != nil && readable(k):
		return one(problemf("%s: %v", titleOf(k), err).fixed("chmod 600 %s, or say allow-readable-key", k.Pad))
	case err != nil:
		return one(problemf("%s: %v", titleOf(k), err).fixed(anew))
	}
	for _, other := range before {
		if same, err := other.Is(k.Pad); err == nil && same {
			return one(problemf("%s: the one-time pad %q is another key's too: the daemon does not start", titleOf(k), k.Pad).fixed("give each key its own"))
		}
	}
	switch left := r.Left(); {
	case left == 0:
		findings = append(findings, problemf("%s: the one-time pad %q is used up", titleOf(k), k.Pad).fixed(anew))
	case left <= fewLeft:
		findings = append(findings, notef("%s: the one-time pad %q is nearly used up (%s left)", titleOf(k), k.Pad, count(left, "knock")).fixed(anew))
	default:
		findings = append(findings, okf("%s: the one-time pad %q serves for %s", titleOf(k), k.Pad, count(left, "knock")))
	}
	return append(findings, m.owner(titleOf(k), k.Pad)...), append(before, r)
}

// readable tells whether the pad of k is one that others can use, and may not be.
func readable(k config.Key) bool {
	info, err := os.Stat(k.Pad)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 && !k.Readable()
}

// openList reads the sequences of e, whoever's they are.
func openList(e config.Event) (*onetime.File, error) {
	owner := os.Geteuid()
	if st, ok := statOf(e.OneTime); ok {
		owner = int(st.Uid)
	}
	return onetime.OpenReaderOf(e.OneTime, owner)
}

// list looks at the sequences of e that count once each.
func (m *machine) list(e config.Event) []finding {
	title := "[" + e.Name + "]"
	once, err := openList(e)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return []finding{hidden(title, err)}
	case errors.Is(err, fs.ErrNotExist):
		return []finding{problemf("%s: %v", title, err).fixed("write one, with a sequence a line, each behind a blank")}
	case err != nil:
		return []finding{problemf("%s: %v", title, err)}
	case once.Left() == 0:
		return []finding{problemf("%s: no sequence is left in %q: nobody can knock", title, e.OneTime).fixed("add some, one a line, each behind a blank")}
	}
	if err := unix.Access(e.OneTime, unix.W_OK); err != nil {
		return []finding{problemf("%s: what is used in %q cannot be marked: %v", title, e.OneTime, err).
			fixed("make it writable for the user that the daemon runs as, and nobody else")}
	}
	return append([]finding{okf("%s: %q holds %s", title, e.OneTime, count(once.Left(), "sequence"))}, m.owner(title, e.OneTime)...)
}

// hidden tells of a file that whoever runs this may not read. The daemon may be another user.
func hidden(title string, err error) finding {
	return notef("%s: what is in its file cannot be told: %v", title, err).fixed("run as root, or as the user that the daemon runs as")
}

// owner tells of a file that the daemon's user alone must have, and perhaps has not: that user is the one whose the
// state directory is, or if there is none yet, the one who runs this.
func (m *machine) owner(title, path string) []finding {
	file, ok := statOf(path)
	state, known := statOf(m.config.StateDir)
	switch {
	case !ok || known && file.Uid == state.Uid:
	case known:
		return []finding{notef("%s: %q belongs to the user number %d, and the state directory to %d: right only if the daemon, as who it runs, can use both",
			title, path, file.Uid, state.Uid).fixed("chown %d %s", state.Uid, path)}
	case int(file.Uid) != os.Geteuid():
		return []finding{notef("%s: %q belongs to the user number %d: right only if the daemon runs as that user", title, path, file.Uid)}
	}
	return nil
}

func statOf(path string) (*syscall.Stat_t, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return st, ok
}
