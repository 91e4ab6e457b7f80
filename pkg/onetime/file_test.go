package onetime

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/sequence"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// file makes a file of text.
func file(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sequences")
	check(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func open(t testing.TB, path string) *File {
	t.Helper()
	f, err := Open(path)
	check(t, err)
	return f
}

func content(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	check(t, err)
	return string(text)
}

// refused fails unless err says that, with PATH for path.
func refused(t *testing.T, err error, path, want string) {
	t.Helper()
	if err == nil || strings.ReplaceAll(err.Error(), path, "PATH") != want {
		t.Errorf("error %v\nwant  %s", err, want)
	}
}

func TestUse(t *testing.T) {
	t.Parallel()
	path := file(t, "# mine\n\n 1,2:udp\n#3,4\n \t# 5,6\n7,8\r\n  \n\t9,10")
	f := open(t, path)
	var got []string
	for f.Steps() != nil {
		if n := len(got); f.Left() != 3-n {
			t.Errorf("%d left, want %d", f.Left(), 3-n)
		}
		got = append(got, sequence.Format(f.Steps()))
		check(t, f.Use())
		if again := open(t, path); !cmp.Equal(again.Steps(), f.Steps()) || again.Left() != f.Left() {
			t.Errorf("read again, %v of %d counts, want %v of %d", again.Steps(), again.Left(), f.Steps(), f.Left())
		}
	}
	if diff := cmp.Diff([]string{"1,2:udp", "7,8", "9,10"}, got); diff != "" {
		t.Errorf("sequences (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("# mine\n\n#1,2:udp\n#3,4\n \t# 5,6\n#,8\r\n  \n#9,10", content(t, path)); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
	refused(t, f.Use(), path, `no sequence is left in "PATH"`)
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		make func(path string) error
		want string
	}{
		"no file": {os.Remove, "failed to open the sequences: open PATH: no such file or directory"},
		"a wrong line": {func(path string) error { return os.WriteFile(path, []byte(" 1,2\n#3\n 4,x\n"), 0) },
			`PATH:3: "x" is no port: want 1..65535`},
		"a group's": {func(path string) error { return os.Chmod(path, 0o620) },
			`the sequences in "PATH" cannot be used: others than its owner can write it (mode 0620, want 0600)`},
		"everybody's": {func(path string) error { return os.Chmod(path, 0o646) },
			`the sequences in "PATH" cannot be used: others than its owner can write it (mode 0646, want 0600)`},
		"another user's": {func(path string) error { return os.Chown(path, 12345, 0) },
			`the sequences in "PATH" cannot be used: it belongs to user 12345, who could write it`},
		"too long": {func(path string) error { return os.Truncate(path, maxSize+1) },
			`failed to read "PATH": longer than 1048576 bytes`},
		"a pipe": {func(path string) error { return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600)) },
			`the sequences in "PATH" cannot be used: it is not a regular file`},
		"a directory": {func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
			"failed to open the sequences: open PATH: is a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := file(t, " 1,2\n")
			check(t, test.make(path))
			_, err := Open(path)
			refused(t, err, path, test.want)
		})
	}
}

// Who looks on behalf of a user takes that user's file, and no third one's.
func TestOpenReaderOf(t *testing.T) {
	t.Parallel()
	path := file(t, " 1,2\n 3,4\n")
	check(t, os.Chown(path, 12345, 0))
	f, err := OpenReaderOf(path, 12345)
	if err != nil || f.Left() != 2 {
		t.Fatalf("%v, %v; want a file with two sequences", f, err)
	}
	_, err = OpenReaderOf(path, 12346)
	refused(t, err, path, `the sequences in "PATH" cannot be used: it belongs to user 12345, who could write it`)
}

// What was changed beside us is noticed, unless it is only more sequences at the end, or fewer.
func TestEdited(t *testing.T) {
	t.Parallel()
	const changed = `"PATH" was changed since it was read: sequence 1,2 is not the first unused in it any more, at line 2`
	for name, test := range map[string]struct{ text, want, after string }{
		"the line":            {"# a\n 1,3\n 3,4\n", changed, "# a\n 1,3\n 3,4\n"},
		"its blank":           {"# a\n1,2\n 3,4\n", changed, "# a\n1,2\n 3,4\n"},
		"used by another":     {"# a\n#1,2\n 3,4\n", changed, "# a\n#1,2\n 3,4\n"},
		"a line before":       {" 5,6\n# a\n 1,2\n 3,4\n", changed, " 5,6\n# a\n 1,2\n 3,4\n"},
		"a comment before":    {"# ab\n 1,2\n 3,4\n", changed, "# ab\n 1,2\n 3,4\n"},
		"emptied":             {"", changed, ""},
		"a wrong line after":  {"# a\n 1,2\n x\n", `PATH:3: "x" is no port: want 1..65535`, "# a\n 1,2\n x\n"},
		"lines after":         {"# a\n 1,2\n 3,4\n 5,6\n", "", "# a\n#1,2\n 3,4\n 5,6\n"},
		"fewer lines after":   {"# a\n 1,2\n", "", "# a\n#1,2\n"},
		"another after":       {"# a\n 1,2\n 7,8\n", "", "# a\n#1,2\n 7,8\n"},
		"nothing but re-read": {"# a\n 1,2\n 3,4\n", "", "# a\n#1,2\n 3,4\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := file(t, "# a\n 1,2\n 3,4\n")
			f := open(t, path)
			check(t, os.WriteFile(path+".new", []byte(test.text), 0o600))
			check(t, os.Rename(path+".new", path)) // as editors do
			err := f.Use()
			if test.want != "" {
				refused(t, err, path, test.want)
				if got := sequence.Format(f.Steps()); got != "1,2" || f.Left() != 2 {
					t.Errorf("%s of %d counts, want 1,2 of 2", got, f.Left())
				}
			} else {
				check(t, err)
				if again := open(t, path); !cmp.Equal(again.Steps(), f.Steps()) || again.Left() != f.Left() {
					t.Errorf("%v of %d counts, want %v of %d", f.Steps(), f.Left(), again.Steps(), again.Left())
				}
			}
			if diff := cmp.Diff(test.after, content(t, path)); diff != "" {
				t.Errorf("file (-want +got):\n%s", diff)
			}
		})
	}
}

// A file that has got other rights, or cannot be written any more, is as it was, and so is what counts.
func TestUseRefused(t *testing.T) {
	t.Parallel()
	path := file(t, " 1,2\n 3,4\n")
	f := open(t, path)
	check(t, os.Chmod(path, 0o602))
	refused(t, f.Use(), path, `the sequences in "PATH" cannot be used: others than its owner can write it (mode 0602, want 0600)`)
	check(t, os.Chmod(path, 0o600))
	check(t, os.Rename(path, path+".away"))
	refused(t, f.Use(), path, "failed to open the sequences: open PATH: no such file or directory")
	check(t, os.Rename(path+".away", path))
	if sequence.Format(f.Steps()) != "1,2" || f.Left() != 2 {
		t.Errorf("%v of %d counts, want 1,2 of 2", f.Steps(), f.Left())
	}
	check(t, f.Use())
	if diff := cmp.Diff("#1,2\n 3,4\n", content(t, path)); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
}

// A failing is a disk that fails as told.
type failing struct {
	text               []byte
	write, sync, again error
}

var _ disk = (*failing)(nil)

func (d *failing) WriteAt(b []byte, at int64) (int, error) {
	err := d.write
	if err == nil {
		copy(d.text[at:], b)
	}
	d.write = d.again
	return len(b), err
}

func (d *failing) Sync() error { return d.sync }

func TestMarkOnABadDisk(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		disk      failing
		text, err string
	}{
		"well":                {failing{}, " 1\n#2\n", ""},
		"full":                {failing{write: syscall.ENOSPC}, " 1\n 2\n", "no space left on device"},
		"not safe":            {failing{sync: syscall.EIO}, " 1\n 2\n", "input/output error"},
		"not even taken back": {failing{sync: syscall.EIO, again: syscall.EROFS}, " 1\n#2\n", "input/output error, and the mark could not be taken back: read-only file system"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := test.disk
			d.text = []byte(" 1\n 2\n")
			lines, err := unused("x", d.text)
			check(t, err)
			if err := mark(&d, lines[1]); err == nil != (test.err == "") || err != nil && err.Error() != test.err {
				t.Errorf("error %v, want %q", err, test.err)
			}
			if diff := cmp.Diff(test.text, string(d.text)); diff != "" {
				t.Errorf("file (-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever is in a file, each use changes one byte of it, and what counts then is what another reader would say.
func FuzzFile(f *testing.F) {
	f.Add([]byte("# mine\n\n 1,2:udp\n#3,4\n7,8\r\n"))
	f.Add([]byte("1\n2"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "f")
		check(t, os.WriteFile(path, text, 0o600))
		file, err := Open(path)
		if err != nil {
			return
		}
		for uses := 0; uses < 3 && file.Steps() != nil; uses++ {
			left := file.Left()
			check(t, file.Use())
			now, err := os.ReadFile(path)
			check(t, err)
			changed := 0
			for i := range text {
				if now[i] != text[i] {
					changed++
					if now[i] != '#' || i > 0 && text[i-1] != '\n' {
						t.Fatalf("byte %d became %q", i, now[i])
					}
				}
			}
			again, err := Open(path)
			check(t, err)
			if len(now) != len(text) || changed != 1 || again.Left() != file.Left() || file.Left() != left-1 || !cmp.Equal(again.Steps(), file.Steps()) {
				t.Fatalf("%d bytes changed, %d sequences left of %d, in %q", changed, file.Left(), left, now)
			}
			text = now
		}
	})
}
