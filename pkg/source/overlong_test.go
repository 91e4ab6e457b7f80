package source

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// A line that would count if it stood alone.
const forged = "Nov 20 11:22:33 host kernel: [12345.678901] DENY IN=eth0 SRC=192.0.2.1 DPT=966 SYN"

// TestFollowForgery pads a forged line so that each cut a reader could make
// falls just before it.
func TestFollowForgery(t *testing.T) {
	t.Parallel()
	r := newRig(t, "old\n")
	var want []string
	for _, size := range []int{MaxLine, 2 * MaxLine, 4096, 32 << 10, bufferSize, bufferSize - printSize, 2 * bufferSize, BlockSize} {
		for pad := size - 3; pad <= size+3; pad++ {
			line := strings.Repeat("x", pad) + forged
			write(t, r.path, line[:pad], line[pad:], "\n", "ok\n")
			if len(line) <= MaxLine {
				want = append(want, line)
			}
			want = append(want, "ok")
		}
	}
	r.want(want...)
	r.wantReport("overlong line dropped")
}

func TestFollowLongestLine(t *testing.T) {
	t.Parallel()
	r := newRig(t, "old\n")
	longest := strings.Repeat("x", MaxLine)
	write(t, r.path, longest+"\n", longest+"y\n", longest, "\n", longest, "z", "\n", "end\n")
	r.want(longest, longest, "end")
}

// TestFollowOverlongAcrossRotation: what ends an overlong line is its newline
// in its own file, and the next file's first line is whole.
func TestFollowOverlongAcrossRotation(t *testing.T) {
	t.Parallel()
	r := newRig(t, "old\n")
	write(t, r.path, strings.Repeat("x", 3*MaxLine))
	r.wantReport("overlong line dropped")
	check(t, os.Rename(r.path, r.path+".1"))
	write(t, r.path, "new\n")
	r.want("new")
	write(t, r.path+".1", forged+"\nlate\n")
	r.want("new", "late")
	check(t, os.Rename(r.path+".1", r.path))
	write(t, r.path, "end\n")
	r.want("new", "late", "end")
}

// TestOverlongMemory and TestNothingLeft are not parallel: they measure the
// whole process.
func TestOverlongMemory(t *testing.T) {
	r := newRig(t, "old\n")
	write(t, r.path, "1\n")
	r.want("1")
	piece := strings.Repeat("x", 1<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := os.OpenFile(r.path, os.O_APPEND|os.O_WRONLY, 0)
	check(t, err)
	defer f.Close()
	for range 200 {
		_, err := f.WriteString(piece)
		check(t, err)
	}
	_, err = f.WriteString(forged + "\n2\n")
	check(t, err)
	r.want("1", "2")
	runtime.ReadMemStats(&after)
	// All that was allocated, whether or not it was freed again.
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
		t.Errorf("a line of 200 MB allocated %d bytes, want less than 8 MiB", n)
	}
}

func TestNothingLeft(t *testing.T) {
	// The first use starts tail's watcher, which stays.
	newRig(t, "old\n").stop()
	before := runtime.NumGoroutine()
	r := newRig(t, "old\n")
	write(t, r.path, "1\n")
	r.want("1")
	check(t, os.Rename(r.path, r.path+".1"))
	write(t, r.path, "2\n")
	r.want("1", "2")
	r.stop()
	dir := r.path[:strings.LastIndex(r.path, "/")]
	if n := openFiles(t, dir); n != 0 {
		t.Errorf("%d files are open after Run, want 0", n)
	}
	if !eventually(func() bool { return runtime.NumGoroutine() <= before }) {
		stacks := make([]byte, 1<<16)
		t.Errorf("%d goroutines after Run, %d before:\n%s", runtime.NumGoroutine(), before,
			stacks[:runtime.Stack(stacks, true)])
	}
	write(t, r.path, "3\n")
	if got := r.got(); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("lines after Run: %q", got)
	}
}
