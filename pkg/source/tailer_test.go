package source

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTailerReadError: a file that fails while it is open, as one on a lost
// network file system does, is opened anew and read on where it was left.
func TestTailerReadError(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kern.log")
	write(t, path, "old\n")
	var got, reports []string
	f := NewFollower(path, Options{Report: func(msg string, err error) { reports = append(reports, msg) }})
	tl := newTailer(f, func(line []byte) { got = append(got, string(line)) })
	defer tl.close()
	check(t, tl.begin())
	tl.pass(context.Background())
	write(t, path, "1\n")
	tl.pass(context.Background())

	// A directory can be opened and have a size, but not be read.
	dir, err := os.Open(t.TempDir())
	check(t, err)
	defer dir.Close()
	check(t, os.WriteFile(filepath.Join(dir.Name(), "x"), nil, 0o644))
	check(t, syscall.Dup3(int(dir.Fd()), tl.files[0].fd, syscall.O_CLOEXEC))
	write(t, path, "2\n")
	tl.pass(context.Background())
	if len(tl.files) != 0 {
		t.Errorf("the failing file is still open")
	}
	tl.pass(context.Background())
	write(t, path, "3\n")
	tl.pass(context.Background())
	if diff := cmp.Diff([]string{"1", "2", "3"}, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string(nil), reports); diff != "" {
		t.Errorf("a failure mended at once was reported (-want +got):\n%s", diff)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	var m memory
	for i := range 20 {
		m.add(mark{id: id{ino: uint64(i)}, offset: int64(i)})
	}
	var offsets []int64
	for _, k := range m {
		offsets = append(offsets, k.offset)
	}
	if diff := cmp.Diff([]int64{19, 18, 17, 16, 15, 14, 13, 12}, offsets); diff != "" {
		t.Errorf("remembered (-want +got):\n%s", diff)
	}
}

// TestSearchAcrossBuffers: the content looked for may lie on the edge of what
// is read at once.
func TestSearchAcrossBuffers(t *testing.T) {
	t.Parallel()
	_, known := stamped("known", 9)
	print := known[len(known)-printSize:]
	buf := make([]byte, 4096)
	for start := len(buf) - printSize - 2; start <= len(buf)+2; start++ {
		path := filepath.Join(t.TempDir(), "kern.log")
		pad := strings.Repeat("x", start-1) + "\n"
		write(t, path, pad+print+pad)
		f, err := open(path)
		check(t, err)
		m := memory{{offset: 1, print: []byte(print)}}
		found, ok, err := m.search(context.Background(), f, buf, int64(2*len(pad)+len(print)))
		f.close()
		if err != nil || !ok || found.offset != int64(start+len(print)) {
			t.Fatalf("at %d: found %d, %v, %v; want %d", start, found.offset, ok, err, start+len(print))
		}
	}
}
