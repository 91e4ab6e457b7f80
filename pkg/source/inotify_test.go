package source

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The limits of a user namespace that can take inotify away.
const (
	maxInstances = "max_inotify_instances"
	maxWatches   = "max_inotify_watches"
)

// TestWithoutInotify runs the other tests again where inotify cannot be had:
// everything must come, by the watchdog alone.
func TestWithoutInotify(t *testing.T) {
	t.Parallel()
	tests := []struct{ limit, run string }{
		{maxInstances, "^Test(Follow|Deaf)"},
		{maxWatches, "^Test(Follow|Deaf)"},
		{maxInstances, "^TestComesBack"},
		{maxWatches, "^TestComesBack"},
	}
	for _, tt := range tests {
		t.Run(tt.limit+" "+tt.run, func(t *testing.T) {
			t.Parallel()
			ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65536}}
			cmd := again(t, envNoInotify+"="+tt.limit, &syscall.SysProcAttr{
				Cloneflags:                 syscall.CLONE_NEWUSER,
				UidMappings:                ids,
				GidMappings:                ids,
				GidMappingsEnableSetgroups: true,
			}, "-test.run="+tt.run, "-test.v", "-test.parallel=32")
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "--- PASS: ") {
				t.Fatalf("without inotify: %v\n%s", err, out)
			}
		})
	}
}

// TestDeaf has something to show only where TestWithoutInotify runs it.
func TestDeaf(t *testing.T) {
	t.Parallel()
	r := newRig(t, "old\n")
	if os.Getenv(envNoInotify) != "" {
		r.wantReport("no inotify, polling")
	}
	for i := range 3 {
		start, line := time.Now(), fmt.Sprint(i)
		write(t, r.path, line+"\n")
		if !eventually(func() bool { return slices.Contains(r.got(), line) }) {
			t.Fatal("the line never came")
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("a line took %v, want 2s at most", took)
		}
	}
}

// TestComesBack gives inotify back where TestWithoutInotify took it.
func TestComesBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, "old\n")
	if limit := os.Getenv(envNoInotify); limit != "" {
		r.wantReport("no inotify, polling")
		check(t, setLimit(limit, "1000"))
		r.wantReport("inotify works again")
	}
	write(t, r.path, "1\n")
	r.want("1")
	if median := medianLatency(t, r, r.path); median > 100*time.Millisecond {
		t.Errorf("median latency %v, want less than 100ms", median)
	}
}

// TestLatency: the watchdog looks every 500 ms, so lines that waited for it
// would take 250 ms in the median, or more. 100 ms is far from that and far
// from the fraction of a millisecond that an event takes, so a busy machine
// does not fail it. A renamed file has the same right.
func TestLatency(t *testing.T) {
	t.Parallel()
	r := newRig(t, "old\n")
	write(t, r.path, "0\n")
	r.want("0")
	log := medianLatency(t, r, r.path)
	check(t, os.Rename(r.path, r.path+".1"))
	write(t, r.path, "new\n")
	late := medianLatency(t, r, r.path+".1")
	t.Logf("median from write to handle: log %v, renamed log %v", log, late)
	if log > 100*time.Millisecond || late > 100*time.Millisecond {
		t.Errorf("median latency %v, %v for a renamed log; want less than 100ms", log, late)
	}
}

// TestLostWatch: a watch ends with its directory, and the next directory of
// that name, which may even have the same inode number, gets a new one.
func TestLostWatch(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "dir")
	check(t, os.Mkdir(dir, 0o755))
	r := newRigAt(t, filepath.Join(dir, "kern.log"), nil)
	for i := range 3 {
		check(t, os.RemoveAll(dir))
		check(t, os.Mkdir(dir, 0o755))
		line := fmt.Sprint("log ", i)
		write(t, r.path, line+"\n")
		if !eventually(func() bool { return slices.Contains(r.got(), line) }) {
			t.Fatal("the line never came")
		}
	}
	if median := medianLatency(t, r, r.path); median > 100*time.Millisecond {
		t.Errorf("median latency %v, want less than 100ms", median)
	}
}

// medianLatency is the median time from before the write of a line to path to
// its delivery, over 20 lines.
func medianLatency(t *testing.T, r *rig, path string) time.Duration {
	t.Helper()
	var took []time.Duration
	for i := range 20 {
		line, start := fmt.Sprint(path, " ", i), time.Now()
		write(t, path, line+"\n")
		for !slices.Contains(r.got(), line) {
			if time.Since(start) > 5*time.Second {
				t.Fatal("the line never came")
			}
			time.Sleep(50 * time.Microsecond)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// TestFollowTwice: two followers of one log take each other's events, and
// still miss nothing, also when one leaves.
func TestFollowTwice(t *testing.T) {
	t.Parallel()
	a := newRig(t, "old\n")
	b := newRigAt(t, a.path, nil)
	write(t, a.path, "1\n")
	a.want("1")
	b.want("1")
	a.stop()
	write(t, a.path, "2\n")
	b.want("1", "2")
	write(t, a.path, "3\n")
	b.want("1", "2", "3")
	a.want("1")
}
