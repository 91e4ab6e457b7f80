package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// begin runs a Runner with real processes, and gives what ends it.
func begin(t testing.TB, o Options) (*Runner, func() error) {
	t.Helper()
	r := New(o)
	check(t, r.Start(t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return r, func() error {
		cancel()
		return <-done
	}
}

// lines gives the lines of a file that is perhaps not there.
func lines(t testing.TB, path string) (list []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(b)) {
		list = append(list, strings.TrimSuffix(l, "\n"))
	}
	return list
}

// balance checks what the commands of doors have written: each address is let in only when it is out, and is out in
// the end. Who is out may be let out again.
func balance(t testing.TB, said []string) (starts int) {
	t.Helper()
	open := make(map[string]int)
	for _, l := range said {
		verb, ip, _ := strings.Cut(l, " ")
		switch {
		case verb == "start":
			if starts++; open[ip] != 0 {
				t.Errorf("%s is let in twice", ip)
			}
			open[ip] = 1
		case verb == "stop":
			open[ip] = 0
		default:
			t.Errorf("line %q", l)
		}
	}
	for ip, n := range open {
		if n != 0 {
			t.Errorf("%s is not let out", ip)
		}
	}
	return starts
}

// door is a job whose commands write who they are for into a file.
func door(t testing.TB, n int, said string, wait time.Duration) Job {
	t.Helper()
	return Job{
		Name: "door", Src: addr(n), Wait: wait,
		Start: parse(t, "echo start %IP% >>"+said), Stop: parse(t, "echo stop %IP% >>"+said),
	}
}

// A thousand who come at once are all let in, and let out.
func TestThousand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	said, journal := filepath.Join(dir, "said"), filepath.Join(dir, "commands")
	kinds := make(map[string]int)
	r, end := begin(t, Options{Journal: journal, Report: func(e Event) { kinds[e.Kind]++ }})
	for n := range 1000 {
		check(t, r.Do(door(t, n, said, 10*time.Millisecond)))
	}
	waitFor(t, "all commands", func() bool { return len(lines(t, said)) == 2000 })
	check(t, end())
	if n := balance(t, lines(t, said)); n != 1000 {
		t.Errorf("%d were let in", n)
	}
	if diff := cmp.Diff(map[string]int{Started: 1000, Stopped: 1000}, kinds); diff != "" {
		t.Errorf("events (-want +got)\n%s", diff)
	}
	j, _, err := fileOf(journal).Load()
	if err != nil || len(j.Stops) > 0 {
		t.Errorf("the journal holds %v, %v", j.Stops, err)
	}
}

// Whoever hangs is killed at last, and holds nobody up before.
func TestHangingProcesses(t *testing.T) {
	t.Parallel()
	said := filepath.Join(t.TempDir(), "said")
	events := make(chan Event, 100)
	r, end := begin(t, Options{Limit: 4 * time.Second, Report: func(e Event) { events <- e }})
	for n := range 20 {
		check(t, r.Do(Job{Name: "hang", Src: addr(n), Start: parse(t, "sleep 1000")}))
	}
	j := door(t, 1, said, 0)
	check(t, r.Do(j))
	waitFor(t, "the door's commands", func() bool { return len(lines(t, said)) == 2 })
	got := map[string]int{}
	for range 22 {
		e := <-events
		got[fmt.Sprint(e.Kind, " ", e.Command, " ", e.Err)]++
	}
	want := map[string]int{
		"started echo start 192.0.0.1 >>" + said + " <nil>": 1,
		"stopped echo stop 192.0.0.1 >>" + said + " <nil>":  1,
		"start failed sleep 1000 killed: no end after 4s":   20,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got)\n%s", diff)
	}
	check(t, end())
}

// A real disk without room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	runtime.LockOSThread() // and never unlocked: the thread, which alone sees the disk, is not to be used again
	check(t, unix.Unshare(unix.CLONE_NEWNS))
	check(t, unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
	check(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=0700"))
	t.Cleanup(func() { check(t, unix.Unmount(dir, unix.MNT_DETACH)) }) // else what dir was made in cannot be removed
	full := filepath.Join(dir, "full")
	check(t, os.WriteFile(full, make([]byte, 64<<10), 0o600))

	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	var r *Runner
	r = New(Options{Journal: filepath.Join(dir, "commands"), Report: func(e Event) { // called on this thread
		got = append(got, fmt.Sprint(e.Kind, " ", e.Command, " ", errors.Is(e.Err, syscall.ENOSPC)))
		switch e.Kind {
		case Refused:
			check(t, os.Remove(full))
			check(t, r.Do(Job{Name: "door", Src: addr(2), Start: parse(t, "echo %IP%"), Stop: parse(t, "true %IP%"), Wait: time.Hour}))
		case Started:
			cancel()
		}
	}})
	check(t, r.Start(ctx))
	check(t, r.Do(Job{Name: "door", Src: addr(1), Start: parse(t, "echo %IP%"), Stop: parse(t, "true %IP%")}))
	check(t, r.Run(ctx))
	want := []string{"refused echo 192.0.0.1 true", "started echo 192.0.0.2 false", "stopped true 192.0.0.2 false"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got)\n%s", diff)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	check(t, err)
	if diff := cmp.Diff([]string{filepath.Join(dir, "commands")}, names); diff != "" {
		t.Errorf("files (-want +got)\n%s", diff)
	}
}

// childDir names, in the environment of a process that is to be killed, the directory that it works in.
const childDir = "KNOCK_TEST_COMMAND_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := letIn(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// letIn lets one after the other in until it is killed, each for another time.
func letIn(dir string) error {
	r := New(Options{Journal: filepath.Join(dir, "commands"), Report: func(e Event) {
		if e.Err != nil {
			fmt.Fprintln(os.Stderr, e)
		}
	}})
	if err := r.Start(context.Background()); err != nil {
		return err
	}
	said := filepath.Join(dir, "said")
	start, _ := Parse("echo start %IP% >>" + said)
	stop, _ := Parse("echo stop %IP% >>" + said)
	go func() {
		for n := 0; ; n++ {
			wait := time.Duration(n%4) * 100 * time.Millisecond
			if err := r.Do(Job{Name: "door", Src: addr(n % 50), Start: start, Stop: stop, Wait: wait}); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			time.Sleep(time.Millisecond)
		}
	}()
	return r.Run(context.Background())
}

// Killed in the middle of whatever it does, a process leaves nobody in: at the latest, the next one lets him out.
func TestCrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	said, journal := filepath.Join(dir, "said"), filepath.Join(dir, "commands")
	owed := 0
	for round := range 15 {
		before := len(lines(t, said))
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		cmd.Stderr = os.Stderr
		// In a namespace of its own for processes, what it has started dies with it, as in a systemd unit.
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
		check(t, cmd.Start())
		waitFor(t, "some work", func() bool { return len(lines(t, said)) >= before+20+7*round })
		check(t, cmd.Process.Kill())
		if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
			t.Fatalf("the process ended with %v, want to have killed it", err)
		}
		j, _, err := fileOf(journal).Load()
		check(t, err)
		owed += len(j.Stops)
	}
	if owed == 0 {
		t.Error("whenever it was killed, nothing was owed")
	}
	_, end := begin(t, Options{Journal: journal})
	check(t, end())
	starts := balance(t, lines(t, said))
	if starts < 100 {
		t.Errorf("only %d were let in", starts)
	}
	j, _, err := fileOf(journal).Load()
	if err != nil || len(j.Stops) > 0 {
		t.Errorf("the journal holds %v, %v", j.Stops, err)
	}
}
