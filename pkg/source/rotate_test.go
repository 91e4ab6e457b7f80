package source

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFollowRenamed(t *testing.T) {
	t.Parallel()
	r := newRig(t, "old\n")
	write(t, r.path, "1\n")
	r.want("1")
	// All at once: the old file must be read to its end before the new one.
	write(t, r.path, "2\n")
	check(t, os.Rename(r.path, r.path+".1"))
	write(t, r.path+".1", "3\nhalf")
	write(t, r.path, "4\n")
	r.want("1", "2", "3", "4")
	// Late lines, and the end of a half one.
	write(t, r.path+".1", " done\n", "late\n")
	r.want("1", "2", "3", "4", "half done", "late")
	write(t, r.path, "5\n")
	r.want("1", "2", "3", "4", "half done", "late", "5")
}

func TestFollowRenamedAndCreatedLater(t *testing.T) {
	t.Parallel()
	r := newRig(t, "old\n")
	check(t, os.Rename(r.path, r.path+".1"))
	write(t, r.path+".1", "1\n")
	r.want("1")
	r.wantReport("log is not readable")
	write(t, r.path+".1", "2\n")
	r.want("1", "2")
	write(t, r.path, "3\n")
	r.want("1", "2", "3")
	write(t, r.path+".1", "4\n")
	r.want("1", "2", "3", "4")
}

// TestFollowManyRotations: two renamed files are read on, a third is not, and
// a file that stood still is let go.
func TestFollowManyRotations(t *testing.T) {
	t.Parallel()
	r := newRig(t, "old\n")
	var want []string
	for i := range 5 {
		line := fmt.Sprint("log ", i)
		write(t, r.path, line+"\n")
		want = append(want, line)
		r.want(want...)
		check(t, os.Rename(r.path, fmt.Sprint(r.path, ".", i)))
	}
	write(t, r.path, "now\n")
	want = append(want, "now")
	r.want(want...)
	for i := range 5 {
		write(t, fmt.Sprint(r.path, ".", i), fmt.Sprint("late ", i, "\n"))
		if i >= 3 {
			want = append(want, fmt.Sprint("late ", i))
			r.want(want...)
		}
	}
	if n := openFiles(t, filepath.Dir(r.path)); n != 3 {
		t.Errorf("%d files are open, want 3", n)
	}
}

func TestFollowLetsOldFilesGo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kern.log")
	lines, text := stamped("1", 5)
	write(t, path, "old\n")
	r := newRigAt(t, path, func(f *Follower) { f.lateFor = 100 * time.Millisecond })
	write(t, path, text)
	r.want(lines...)
	check(t, os.Rename(path, path+".1"))
	write(t, path, "new\n")
	if !eventually(func() bool { return slices.Contains(r.got(), "new") && openFiles(t, filepath.Dir(path)) == 1 }) {
		t.Fatal("the renamed file stays open")
	}
	// It is remembered all the same.
	write(t, path+".1", "late\n")
	check(t, os.Rename(path+".1", path))
	write(t, path, "end\n")
	r.want(append(lines, "new", "late", "end")...)
}

// openFiles counts this process's open files below dir.
func openFiles(t *testing.T, dir string) (n int) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	check(t, err)
	for _, fd := range fds {
		if name, err := os.Readlink(fd); err == nil && strings.HasPrefix(name, dir+"/") {
			n++
		}
	}
	return n
}

func TestFollowTruncated(t *testing.T) {
	t.Parallel()
	old, oldText := stamped("old", 50)
	fresh, freshText := stamped("fresh", 3)
	long, longText := stamped("long", 200)
	end := "the end"
	tests := map[string]struct {
		truncate func(t *testing.T, path string)
		want     []string
	}{
		"and seen empty": {func(t *testing.T, path string) {
			check(t, os.Truncate(path, 0))
			stay(2 * lookEvery)
			write(t, path, freshText)
		}, fresh},
		"and written to at once": {func(t *testing.T, path string) {
			check(t, os.Truncate(path, 0))
			write(t, path, freshText)
		}, fresh},
		"and grown beyond the old place at once": {func(t *testing.T, path string) {
			// One system call: no look can fall between.
			overwrite(t, path, longText)
		}, long},
		"leaving a hole": {func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			check(t, err)
			defer f.Close()
			place, err := f.Seek(0, 2)
			check(t, err)
			check(t, f.Truncate(0))
			_, err = f.WriteAt([]byte(freshText), place)
			check(t, err)
		}, fresh},
		"leaving a hole far longer than any buffer": {func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			check(t, err)
			defer f.Close()
			check(t, f.Truncate(0))
			_, err = f.WriteAt([]byte(freshText), 50<<30+7)
			check(t, err)
		}, fresh},
		"and restored in place": {func(t *testing.T, path string) {
			b, err := os.ReadFile(path)
			check(t, err)
			check(t, os.Truncate(path, 0))
			stay(2 * lookEvery)
			write(t, path, string(b)+freshText)
		}, fresh},
		"and restored in place bit by bit": {func(t *testing.T, path string) {
			b, err := os.ReadFile(path)
			check(t, err)
			check(t, os.Truncate(path, 0))
			stay(2 * lookEvery)
			for len(b) > 0 {
				n := min(len(b), 999)
				write(t, path, string(b[:n]))
				b = b[n:]
				stay(20 * time.Millisecond)
			}
			write(t, path, freshText)
		}, fresh},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "before\n")
			write(t, r.path, oldText)
			r.want(old...)
			tt.truncate(t, r.path)
			want := append(slices.Clone(old), tt.want...)
			r.want(want...)
			r.wantReport("log truncated")
			write(t, r.path, end+"\n")
			r.want(append(want, end)...)
		})
	}
}

// overwrite puts text over the file's content, which must be shorter: to a
// reader as if the file had shrunk and grown between two looks.
func overwrite(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	check(t, err)
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Size() >= int64(len(text)) {
		t.Fatalf("the new text must be longer than the old (%v)", err)
	}
	_, err = f.WriteAt([]byte(text), 0)
	check(t, err)
}

// TestFollowRestored: a file that was away comes back in some way, and nothing
// of it is delivered again.
func TestFollowRestored(t *testing.T) {
	t.Parallel()
	tests := map[string]func(t *testing.T, path string){
		"replaced by a new file": func(t *testing.T, path string) {
			write(t, path+".new", "X 1\n")
			check(t, os.Rename(path+".new", path))
		},
		"by rename": func(t *testing.T, path string) {
			check(t, os.Rename(path, path+".1"))
			stay(2 * lookEvery)
			check(t, os.Rename(path+".1", path))
			write(t, path, "X 1\n")
		},
		"by rename over a new log": func(t *testing.T, path string) {
			check(t, os.Rename(path, path+".1"))
			write(t, path, "X 1\n")
			stay(2 * lookEvery)
			check(t, os.Rename(path+".1", path))
		},
		"by a finished copy": func(t *testing.T, path string) {
			check(t, os.Rename(path, path+".1"))
			b, err := os.ReadFile(path + ".1")
			check(t, err)
			write(t, path+".new", string(b), "X 1\n")
			check(t, os.Rename(path+".new", path))
		},
		"by a copy with its head cut off": func(t *testing.T, path string) {
			b, err := os.ReadFile(path)
			check(t, err)
			write(t, path+".new", string(b[len(b)/2:]), "X 1\n")
			check(t, os.Rename(path+".new", path))
		},
		"by a slow copy": func(t *testing.T, path string) {
			check(t, os.Rename(path, path+".1"))
			b, err := os.ReadFile(path + ".1")
			check(t, err)
			write(t, path)
			stay(2 * lookEvery)
			for len(b) > 0 {
				n := min(len(b), 1000)
				write(t, path, string(b[:n]))
				b = b[n:]
				stay(20 * time.Millisecond)
			}
			write(t, path, "X 1\n")
		},
		"by an older copy": func(t *testing.T, path string) {
			b, err := os.ReadFile(path)
			check(t, err)
			write(t, path+".new", string(b[:len(b)/2]))
			check(t, os.Rename(path+".new", path))
			// Longer than it takes to see that it is finished.
			stay(settled + 3*lookEvery)
			write(t, path, "\nX 1\n")
		},
	}
	for name, restore := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "before\n")
			lines, text := stamped("old", 100)
			write(t, r.path, text)
			r.want(lines...)
			restore(t, r.path)
			want := append(slices.Clone(lines), "X 1")
			r.want(want...)
			write(t, r.path, "X 2\n")
			r.want(append(want, "X 2")...)
		})
	}
}

// TestFollowRandomRotations: whatever renames happen, each line comes once and
// in order. The writer waits before a rename until its last line has come: a
// file that nobody could see is no loss of the follower's.
func TestFollowRandomRotations(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "old\n")
			want := rotateAtRandom(t, r, rand.New(rand.NewPCG(seed, 2)))
			if !eventually(func() bool { return len(r.got()) >= len(want) }) {
				t.Errorf("%d lines came, want %d", len(r.got()), len(want))
			}
			if diff := cmp.Diff(want, r.got()); diff != "" {
				t.Fatalf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

// rotateAtRandom writes numbered lines, now and then in two halves, and
// renames the log meanwhile. It returns the lines.
func rotateAtRandom(t *testing.T, r *rig, rnd *rand.Rand) (lines []string) {
	t.Helper()
	f, err := os.OpenFile(r.path, os.O_APPEND|os.O_WRONLY, 0)
	check(t, err)
	put := func(n int) {
		for range n {
			line := fmt.Sprintf("line %d %s", len(lines), strings.Repeat("x", rnd.IntN(300)))
			lines = append(lines, line)
			cut := rnd.IntN(len(line) + 1)
			_, err := f.WriteString(line[:cut])
			check(t, err)
			_, err = f.WriteString(line[cut:] + "\n")
			check(t, err)
		}
	}
	seen := func() {
		if !eventually(func() bool { return len(r.got()) >= len(lines) }) {
			t.Fatalf("%d lines came of %d", len(r.got()), len(lines))
		}
	}
	reopen := func() {
		f.Close()
		f, err = os.OpenFile(r.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		check(t, err)
	}
	defer func() { f.Close() }()
	for range 12 {
		put(1 + rnd.IntN(200))
		seen()
		check(t, os.Rename(r.path, r.path+".1"))
		put(rnd.IntN(20)) // late lines
		switch rnd.IntN(3) {
		case 0: // back at once
			check(t, os.Rename(r.path+".1", r.path))
		case 1: // a new log
			reopen()
		case 2: // a new log for a while, then the old one again
			reopen()
			put(1 + rnd.IntN(20))
			seen()
			check(t, os.Rename(r.path, r.path+".2"))
			check(t, os.Rename(r.path+".1", r.path))
			put(rnd.IntN(20))
			reopen()
		}
		put(rnd.IntN(20))
	}
	return lines
}

// TestFollowTruncatedInsideALine: what follows a truncation may be the rest of
// a line whose beginning was cut away, and that is not a line.
func TestFollowTruncatedInsideALine(t *testing.T) {
	t.Parallel()
	lines, text := stamped("old", 3)
	rest := "kernel: forged in a user name from 192.0.2.1\n"
	for before, read := range map[string][]string{"": nil, text: lines} {
		for _, half := range []string{"sshd: Invalid user ", strings.Repeat("x", MaxLine+1), strings.Repeat("y", 2*bufferSize)} {
			for name, truncate := range map[string]func(t *testing.T, path string){
				"seen empty": func(t *testing.T, path string) {
					check(t, os.Truncate(path, 0))
					stay(2 * lookEvery)
					write(t, path, rest)
				},
				"grown at once": func(t *testing.T, path string) {
					overwrite(t, path, rest+strings.Repeat("z", len(before)+len(half))+"\n")
				},
			} {
				t.Run(fmt.Sprintf("%s/after %d lines/%d bytes of it", name, len(read), len(half)), func(t *testing.T) {
					t.Parallel()
					r := newRigAt(t, filepath.Join(t.TempDir(), "log"), nil)
					write(t, r.path, before+half)
					r.want(read...)
					stay(2 * lookEvery)
					truncate(t, r.path)
					r.wantReport("log truncated")
					write(t, r.path, "the end\n")
					if !eventually(func() bool { return slices.Contains(r.got(), "the end") }) {
						t.Fatal("nothing more was read")
					}
					for _, line := range r.got() {
						if line == strings.TrimSuffix(rest, "\n") {
							t.Errorf("the rest of a line was taken for a line")
						}
					}
				})
			}
		}
	}
}
