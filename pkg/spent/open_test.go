package spent

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func open(t testing.TB, dir string) *Book {
	t.Helper()
	b, err := Open(dir, "knock", Options{Max: 1000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// bookPath is where open keeps its book. The name is part of the format: another would forget all there is.
func bookPath(dir string) string { return filepath.Join(dir, "blocks-b07a6bec35c76d63") }

// put makes the file that open will find.
func put(t testing.TB, dir, text string) {
	t.Helper()
	if err := os.WriteFile(bookPath(dir), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func use(t testing.TB, b *Book, block [8]byte, want error) {
	t.Helper()
	if err := b.Use(block); err != want {
		t.Errorf("Use of %x: %v, want %v", block, err, want)
	}
}

// listing gives the names in dir, each with its mode and contents.
func listing(t testing.TB, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = info.Mode().String() + " " + string(text)
	}
	return files
}

// A life: the file as a whole, and what is known of it.
func TestBook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, two := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, [8]byte{0xff, 7: 0xab}
	b := open(t, dir)
	if diff := cmp.Diff(map[string]string{"blocks-b07a6bec35c76d63": "-rw------- " + firstLine}, listing(t, dir)); diff != "" {
		t.Fatalf("new (-want +got):\n%s", diff)
	}
	use(t, b, one, nil)
	use(t, b, one, ErrSpent)
	use(t, b, two, nil)
	if _, err := b.Mark("randomiv"); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	want := map[string]string{"blocks-b07a6bec35c76d63": "-rw------- " + firstLine +
		"block 0102030405060708\nblock ff000000000000ab\nheader randomiv\n"}
	if diff := cmp.Diff(want, listing(t, dir)); diff != "" {
		t.Errorf("used (-want +got):\n%s", diff)
	}

	b = open(t, dir)
	use(t, b, one, ErrSpent)
	use(t, b, two, ErrSpent)
	if !b.Has(one) || b.Has([8]byte{}) || b.Len() != 2 || b.Cut() != 0 {
		t.Errorf("has one: %v, zero: %v, length %d, cut %d", b.Has(one), b.Has([8]byte{}), b.Len(), b.Cut())
	}
	use(t, b, [8]byte{}, nil)
	if diff := cmp.Diff(want["blocks-b07a6bec35c76d63"]+"block 0000000000000000\n", listing(t, dir)["blocks-b07a6bec35c76d63"]); diff != "" {
		t.Errorf("used again (-want +got):\n%s", diff)
	}
}

func TestMark(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, test := range []struct {
		header string
		want   []string
	}{
		{"none", nil}, {"none", nil}, {"randomiv", []string{"none"}}, {"none", []string{"randomiv"}},
		{"a1", []string{"none", "randomiv"}}, {"randomiv", []string{"none", "a1"}},
	} {
		b := open(t, dir)
		got, err := b.Mark(test.header)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("others than %s (-want +got):\n%s", test.header, diff)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"blocks-b07a6bec35c76d63": "-rw------- " + firstLine + "header none\nheader randomiv\nheader a1\n"}
	if diff := cmp.Diff(want, listing(t, dir)); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
}

func TestMarkRefusals(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	for header, want := range map[string]string{
		"":                  `header setting "" is not 1 to 16 of a-z and 0-9`,
		"none\nblock 0":     `header setting "none\nblock 0" is not 1 to 16 of a-z and 0-9`,
		"None":              `header setting "None" is not 1 to 16 of a-z and 0-9`,
		"abcdefghijklmnopq": `header setting "abcdefghijklmnopq" is not 1 to 16 of a-z and 0-9`,
	} {
		if _, err := b.Mark(header); err == nil || err.Error() != want {
			t.Errorf("Mark = %v, want %s", err, want)
		}
	}
	for _, header := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "a"} {
		if _, err := b.Mark(header); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.Mark("i"); err == nil {
		t.Error("a ninth header setting is taken, and would not be read again")
	}
}

// Each key has its own book, and a key that comes back finds what it left.
func TestKeys(t *testing.T) {
	t.Parallel()
	dir, block := t.TempDir(), [8]byte{1}
	for _, key := range []string{"old", "new", "knock"} {
		b, err := Open(dir, key, Options{Max: 10})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		use(t, b, block, nil)
	}
	if got := len(listing(t, dir)); got != 3 {
		t.Errorf("%d files, want 3", got)
	}
	use(t, open(t, t.TempDir()), block, nil)
	b, err := Open(dir, "old", Options{Max: 10})
	if err == nil {
		b.Close()
		t.Fatal("a book is open twice")
	}
	if !strings.HasSuffix(err.Error(), ": it is in use already") {
		t.Errorf("error %q, want that it is in use already", err)
	}
}

func TestFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b, err := Open(dir, "knock", Options{Max: 2})
	if err != nil {
		t.Fatal(err)
	}
	use(t, b, [8]byte{1}, nil)
	use(t, b, [8]byte{2}, nil)
	use(t, b, [8]byte{3}, ErrFull)
	use(t, b, [8]byte{3}, ErrFull)
	use(t, b, [8]byte{1}, ErrSpent)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	// Less room than there are blocks: none is forgotten.
	b, err = Open(dir, "knock", Options{Max: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	use(t, b, [8]byte{1}, ErrSpent)
	use(t, b, [8]byte{2}, ErrSpent)
	use(t, b, [8]byte{3}, ErrFull)
}

// Who loses the race to begin a book leaves the winner's alone.
func TestCreateTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, firstLine+recordA)
	check(t, create(bookPath(dir)))
	want := map[string]string{"blocks-b07a6bec35c76d63": "-rw------- " + firstLine + recordA}
	if diff := cmp.Diff(want, listing(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// A torn tail goes, and the next record takes its place.
func TestTornTail(t *testing.T) {
	t.Parallel()
	for name, tail := range map[string]string{
		"half a block": "block 0123", "no newline": "block 0123456789abcdef", "half a header": "header no",
		"zeros": strings.Repeat("\x00", 4096), "garbage": "\xff\xfe\n\n\x01",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			put(t, dir, firstLine+recordB+tail)
			b := open(t, dir)
			if b.Cut() != int64(len(tail)) {
				t.Errorf("cut %d bytes, want %d", b.Cut(), len(tail))
			}
			use(t, b, [8]byte{1}, nil)
			want := map[string]string{"blocks-b07a6bec35c76d63": "-rw------- " + firstLine + recordB + "block 0100000000000000\n"}
			if diff := cmp.Diff(want, listing(t, dir)); diff != "" {
				t.Errorf("file (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOpenRefusals(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare func(t *testing.T, dir string)
		want    string // with DIR for the directory
	}{
		"damage": {func(t *testing.T, dir string) { put(t, dir, firstLine+"x\n"+recordA) },
			`failed to read the book of used blocks "DIR/blocks-b07a6bec35c76d63": line 2 is damaged, and records follow; restore it from a backup, or use a new key`},
		"empty": {func(t *testing.T, dir string) { put(t, dir, "") },
			`failed to read the book of used blocks "DIR/blocks-b07a6bec35c76d63": line 1 is "", want "knock-blocks 1\n": not a book, damaged, or of a newer version; restore it from a backup, or use a new key`},
		"link": {func(t *testing.T, dir string) { check(t, os.Symlink("elsewhere", bookPath(dir))) },
			`failed to open the book of used blocks "DIR/blocks-b07a6bec35c76d63": it is a symbolic link`},
		"pipe": {func(t *testing.T, dir string) { check(t, syscall.Mkfifo(bookPath(dir), 0o600)) },
			`failed to open the book of used blocks "DIR/blocks-b07a6bec35c76d63": it is not a regular file`},
		"directory": {func(t *testing.T, dir string) { check(t, os.Mkdir(bookPath(dir), 0o700)) },
			`failed to open the book of used blocks "DIR/blocks-b07a6bec35c76d63": open DIR/blocks-b07a6bec35c76d63: is a directory`},
		"somebody else's": {func(t *testing.T, dir string) {
			put(t, dir, firstLine)
			check(t, os.Chown(bookPath(dir), 65534, 65534))
		},
			`failed to open the book of used blocks "DIR/blocks-b07a6bec35c76d63": it belongs to user 65534, who can make it forget`},
		"no directory": {func(t *testing.T, dir string) { check(t, os.Remove(dir)) },
			`failed to make the book of used blocks "DIR/blocks-b07a6bec35c76d63": open DIR/blocks-b07a6bec35c76d63.new-N: no such file or directory`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "state")
			check(t, os.Mkdir(dir, 0o700))
			test.prepare(t, dir)
			b, err := Open(dir, "knock", Options{Max: 10})
			if err == nil {
				b.Close()
				t.Fatal("no error")
			}
			got := strings.ReplaceAll(err.Error(), dir, "DIR")
			got = regexp.MustCompile(`new-\d+`).ReplaceAllString(got, "new-N")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, max := range []int{-1, 0, MaxBlocks + 1} {
		dir := t.TempDir()
		if b, err := Open(dir, "knock", Options{Max: max}); err == nil {
			b.Close()
			t.Errorf("Max %d is taken", max)
		}
		if diff := cmp.Diff(map[string]string{}, listing(t, dir)); diff != "" {
			t.Errorf("Max %d: files (-want +got):\n%s", max, diff)
		}
	}
}

// A file that others can read becomes ours alone.
func TestMode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, firstLine+recordA)
	check(t, os.Chmod(bookPath(dir), 0o666))
	open(t, dir)
	want := map[string]string{"blocks-b07a6bec35c76d63": "-rw------- " + firstLine + recordA}
	if diff := cmp.Diff(want, listing(t, dir)); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
}
