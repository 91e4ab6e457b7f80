package spent

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// childDir names, in the environment of a process that is to be killed, the directory of its book.
const childDir = "KNOCK_TEST_SPENT_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := useForEver(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func numbered(n int) [8]byte {
	var block [8]byte
	binary.BigEndian.PutUint64(block[:], uint64(n))
	return block
}

// useForEver uses block after block and says so as soon as the book has.
func useForEver(dir string) error {
	b, err := Open(dir, "knock", Options{Max: MaxBlocks})
	if err != nil {
		return err
	}
	for n := b.Len(); ; n++ {
		if err := b.Use(numbered(n)); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// Killed in the middle of whatever it does, a process loses nothing that it has acknowledged.
func TestKill(t *testing.T) {
	t.Parallel()
	dir, acknowledged := t.TempDir(), -1
	for range 10 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		check(t, err)
		check(t, cmd.Start())
		lines, start := bufio.NewScanner(out), acknowledged
		for lines.Scan() { // what is in the pipe after the kill was acknowledged too
			acknowledged, err = strconv.Atoi(lines.Text())
			check(t, err)
			if acknowledged == start+30 {
				check(t, cmd.Process.Kill())
			}
		}
		if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
			t.Fatalf("the process ended with %v, want to have killed it", err)
		}
		if acknowledged < start+30 {
			t.Fatalf("%d blocks acknowledged, want 30", acknowledged-start)
		}

		b := open(t, dir)
		for n := range acknowledged + 1 {
			if !b.Has(numbered(n)) {
				t.Fatalf("block %d of %d is forgotten", n, acknowledged)
			}
		}
		if b.Len() > acknowledged+2 {
			t.Errorf("%d blocks, want at most one more than %d", b.Len(), acknowledged+1)
		}
		acknowledged = b.Len() - 1
		check(t, b.Close())
	}
}

// smallDisk gives a directory on a disk of 64 KiB, which this goroutine's thread alone can see and which goes with it.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	runtime.LockOSThread() // and never unlocked: the thread is not to be used again
	check(t, unix.Unshare(unix.CLONE_NEWNS))
	check(t, unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
	check(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=0700"))
	t.Cleanup(func() { check(t, unix.Unmount(dir, unix.MNT_DETACH)) }) // else what dir was made in cannot be removed
	return dir
}

// fill writes until there is no room left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	check(t, err)
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 1024))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v, want %v", err, syscall.ENOSPC)
	}
}

// A real disk without room: knocks are refused, the file stays whole records, and when there is room again nothing of
// what was seen is forgotten.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t)
	b, full := open(t, dir), filepath.Join(dir, "full")
	fill(t, full)
	want, n := firstLine, 0
	for ; n < 1000; n++ { // the page that the file has goes on for some records
		if err := b.Use(numbered(n)); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("Use = %v, want %v", err, syscall.ENOSPC)
			}
			break
		}
		want += fmt.Sprintf("block %016x\n", n)
	}
	if n != (4096-len(firstLine))/blockLength {
		t.Errorf("%d blocks found room, want those of one page", n)
	}
	for more := range 3 {
		if err := b.Use(numbered(n + 1 + more)); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Use = %v, want %v", err, syscall.ENOSPC)
		}
		use(t, b, numbered(n), ErrSpent)
	}
	if _, err := b.Mark("randomiv"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Mark = %v, want %v", err, syscall.ENOSPC)
	}
	text, err := os.ReadFile(bookPath(dir))
	check(t, err)
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("file, the disk being full (-want +got):\n%s", diff)
	}

	check(t, os.Remove(full))
	use(t, b, numbered(n+4), nil)
	check(t, b.Close())
	for i := range 5 {
		want += fmt.Sprintf("block %016x\n", n+i)
	}
	text, err = os.ReadFile(bookPath(dir))
	check(t, err)
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("file, there being room again (-want +got):\n%s", diff)
	}
	if got := open(t, dir).Len(); got != n+5 {
		t.Errorf("%d blocks, want %d", got, n+5)
	}
}

// A book that cannot be begun is not begun, and can be when there is room.
func TestDiskFullAtFirst(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t)
	full := filepath.Join(dir, "full")
	fill(t, full)
	if b, err := Open(dir, "knock", Options{Max: 10}); !errors.Is(err, syscall.ENOSPC) {
		b.Close()
		t.Fatalf("Open = %v, want %v", err, syscall.ENOSPC)
	} else if !strings.HasPrefix(err.Error(), "failed to make the book of used blocks") {
		t.Errorf("error %q", err)
	}
	check(t, os.Remove(full))
	if diff := cmp.Diff(map[string]string{}, listing(t, dir)); diff != "" {
		t.Errorf("files left (-want +got):\n%s", diff)
	}
	use(t, open(t, dir), numbered(1), nil)
}

// Several use the same blocks at once: each is acknowledged to one. Run with -race.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	const blocks, users = 30, 4
	taken := make(chan int, blocks*users)
	for range users {
		go func() {
			for n := range blocks {
				switch err := b.Use(numbered(n)); err {
				case nil:
					taken <- n
				case ErrSpent:
					taken <- -1
				default:
					t.Error(err)
					taken <- -1
				}
				_ = b.Has(numbered(n)) && b.Len() > 0
			}
		}()
	}
	got := map[int]int{}
	for range blocks * users {
		got[<-taken]++
	}
	want := map[int]int{-1: blocks * (users - 1)}
	for n := range blocks {
		want[n] = 1
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("how often each was acknowledged (-want +got):\n%s", diff)
	}
}
