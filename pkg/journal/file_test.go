package journal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// list is what the journals of these tests hold.
type list struct {
	Names []string `json:"names"`
}

func (l list) check() error {
	if len(l.Names) > 3 {
		return errors.New("too many names")
	}
	return nil
}

const maxList = 500

// fileIn is a journal in a directory of its own.
func fileIn(t *testing.T) File[list] {
	path := filepath.Join(t.TempDir(), "names")
	return File[list]{Path: path, Form: "list-of-names", Version: 1, Max: maxList, Check: list.check}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// files gives the names in the directory of f, and what they hold.
func files(t *testing.T, f File[list]) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(filepath.Dir(f.Path))
	must(t, err)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(f.Path), e.Name()))
		must(t, err)
		all[e.Name()] = string(b)
	}
	return all
}

// text is a journal as it stands on a disk.
const text = `list-of-names 1 e641dc89c2a1dbbcc6b3bbf3c2cbb97b609d8dffc0776dc210e5c8374a9e3731
{"names":["a","<&>"]}
`

func TestFile(t *testing.T) {
	t.Parallel()
	f := fileIn(t)
	got, aside, err := f.Load()
	if err != nil || aside != "" || got.Names != nil {
		t.Errorf("a journal that is not there: got %v, %q, %v", got, aside, err)
	}
	must(t, f.Write(list{Names: []string{"b"}}))
	want := list{Names: []string{"a", "<&>"}}
	must(t, f.Write(want))
	if diff := cmp.Diff(map[string]string{"names": text}, files(t, f)); diff != "" {
		t.Errorf("files (-want +got)\n%s", diff)
	}
	info, err := os.Stat(f.Path)
	must(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	got, aside, err = f.Load()
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" || aside != "" {
		t.Errorf("set aside as %q, read (-want +got)\n%s", aside, diff)
	}
	must(t, f.Remove())
	must(t, f.Remove()) // one that is not there
	if diff := cmp.Diff(map[string]string{}, files(t, f)); diff != "" {
		t.Errorf("files left (-want +got)\n%s", diff)
	}
}

// TestSetAside: what cannot be used is kept for somebody to look at, and none of it is believed.
func TestSetAside(t *testing.T) {
	t.Parallel()
	long := text + strings.Repeat(" ", maxList)
	for name, test := range map[string]struct{ text, want string }{
		"empty":           {"", "it is no list-of-names"},
		"half a head":     {text[:20], "it is torn or was changed"},
		"torn":            {text[:len(text)-2], "it is torn or was changed"},
		"changed":         {strings.Replace(text, `"a"`, `"b"`, 1), "it is torn or was changed"},
		"another version": {strings.Replace(text, " 1 ", " 2 ", 1), "it is of another version"},
		"version 10":      {strings.Replace(text, " 1 ", " 10 ", 1), "it is of another version"},
		"zeros":           {strings.Repeat("\x00", len(text)), "it is no list-of-names"},
		"foreign":         {"Perl was here\n", "it is no list-of-names"},
		"too long":        {long, "it is longer than 500 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fileIn(t)
			must(t, os.WriteFile(f.Path+".broken", []byte("the one before"), 0o600))
			must(t, os.WriteFile(f.Path, []byte(test.text), 0o600))
			got, aside, err := f.Load()
			if aside != f.Path+".broken" || err == nil || err.Error() != test.want || got.Names != nil {
				t.Errorf("got %v, %q, %v; want %s", got, aside, err, test.want)
			}
			if diff := cmp.Diff(map[string]string{"names.broken": test.text}, files(t, f)); diff != "" {
				t.Errorf("files (-want +got)\n%s", diff)
			}
		})
	}
}

// TestPrivate has what others than the owner could have written, which only a Private journal minds.
func TestPrivate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(path string) error
		want   string
	}{
		"others can write it": {func(path string) error { return os.Chmod(path, 0o602) }, "others than its owner could write it (-rw-----w-)"},
		"its group can":       {func(path string) error { return os.Chmod(path, 0o620) }, "others than its owner could write it (-rw--w----)"},
		"another's":           {func(path string) error { return os.Chown(path, 12345, 0) }, "it belongs to the user number 12345, and this runs as number 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fileIn(t)
			must(t, f.Write(list{Names: []string{"a"}}))
			must(t, test.change(f.Path))
			if got, aside, err := f.Load(); err != nil || aside != "" || len(got.Names) != 1 {
				t.Errorf("got %v, %q, %v, want it read", got, aside, err)
			}
			f.Private = true
			got, aside, err := f.Load()
			if aside == "" || err == nil || err.Error() != test.want || got.Names != nil {
				t.Errorf("private: got %v, %q, %v, want it set aside", got, aside, err)
			}
		})
	}
}

// A pipe is not waited for, and is no journal.
func TestPipe(t *testing.T) {
	t.Parallel()
	for _, private := range []bool{false, true} {
		f := fileIn(t)
		f.Private = private
		must(t, unix.Mkfifo(f.Path, 0o600))
		if _, aside, err := f.Load(); aside == "" || err == nil {
			t.Errorf("private %t: got %q, %v, want it set aside", private, aside, err)
		}
	}
}

// A journal that is there but cannot be read may be as it should be: it is left.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	f := fileIn(t)
	must(t, os.Mkdir(f.Path, 0o700))
	_, aside, err := f.Load()
	want := "failed to read the journal: read " + f.Path + ": is a directory"
	if aside != "" || err == nil || err.Error() != want {
		t.Errorf("got %q, %v, want the disk's error", aside, err)
	}
	if _, err := os.Stat(f.Path); err != nil {
		t.Error(err)
	}
}

// What cannot be set aside is told, with both reasons.
func TestCannotSetAside(t *testing.T) {
	t.Parallel()
	f := fileIn(t)
	must(t, os.WriteFile(f.Path, nil, 0o600))
	must(t, os.MkdirAll(filepath.Join(f.Path+".broken", "in the way"), 0o700))
	_, aside, err := f.Load()
	want := `failed to set the journal "` + f.Path + `" aside, of which it is no list-of-names: rename `
	if aside != "" || err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %q, %v", aside, err)
	}
}

// A write or a removal that does not work says so.
func TestUnwritable(t *testing.T) {
	t.Parallel()
	f := fileIn(t)
	must(t, os.MkdirAll(filepath.Join(f.Path, "in the way"), 0o700)) // for root too
	if err := f.Write(list{}); err == nil {
		t.Error("a journal was written over a directory")
	}
	if err := f.Remove(); err == nil {
		t.Error("a directory that is not empty was removed")
	}
	f.Path = filepath.Join(f.Path, "missing", "names")
	if err := f.Write(list{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want it told that the directory is missing", err)
	}
}

// Load sweeps away what killed writes have left, and nothing else.
func TestSweep(t *testing.T) {
	t.Parallel()
	f := fileIn(t)
	for _, name := range []string{".names1", ".names234", "other", ".other"} {
		must(t, os.WriteFile(filepath.Join(filepath.Dir(f.Path), name), nil, 0o600))
	}
	_, _, err := f.Load()
	must(t, err)
	if diff := cmp.Diff(map[string]string{"other": "", ".other": ""}, files(t, f)); diff != "" {
		t.Errorf("files (-want +got)\n%s", diff)
	}
}
