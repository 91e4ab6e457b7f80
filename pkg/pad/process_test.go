package pad

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// These, in the environment of a process that is to be killed, say what it is to do.
const (
	childSends    = "KNOCK_TEST_PAD_SENDS"    // a pad: make message after message
	childReceives = "KNOCK_TEST_PAD_RECEIVES" // a pad: take all its messages, from the first one
	childState    = "KNOCK_TEST_PAD_STATE"    // the state directory
)

func TestMain(m *testing.M) {
	var err error
	switch {
	case os.Getenv(childSends) != "":
		err = sendForEver(os.Getenv(childSends))
	case os.Getenv(childReceives) != "":
		err = receiveForEver(os.Getenv(childReceives), os.Getenv(childState))
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// await waits for a byte on standard input, or its end, so that the one who kills is not left behind.
func await() { os.Stdin.Read(make([]byte, 1)) }

// sendForEver prints each message that it may send.
func sendForEver(path string) error {
	s, err := OpenSender(path, Options{})
	for err == nil {
		await()
		var message [Length]byte
		if message, err = s.Seal(payload); err == nil {
			fmt.Printf("%x\n", message)
		}
	}
	if errors.Is(err, ErrUsedUp) {
		return nil
	}
	return err
}

// receiveForEver is sent every message again each time it starts, and prints which it heeds.
func receiveForEver(path, dir string) error {
	p, err := open(path, false)
	if err != nil {
		return err
	}
	r, err := OpenReceiver(path, dir, Options{})
	if err != nil {
		return err
	}
	for place := range p.knocks() {
		message := p.sealer(place).seal(payload)
		_, at, err := r.Open(message[:])
		if err != nil {
			continue
		}
		await()
		if err := r.Use(at); err != nil {
			return err
		}
		fmt.Printf("%x\n", message)
	}
	return nil
}

// start starts this program anew with more in its environment.
func start(t *testing.T, in io.Reader, env ...string) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stderr = in, os.Stderr
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	return cmd, out
}

// startPaced starts it so that it does one thing for each byte it is given.
func startPaced(t *testing.T, env ...string) (*exec.Cmd, io.Reader, io.WriteCloser) {
	t.Helper()
	in, pace, err := os.Pipe()
	check(t, err)
	defer in.Close()
	cmd, out := start(t, in, env...)
	return cmd, out, pace
}

// places maps each message of a pad to its place.
func places(t *testing.T, path string) map[string]int {
	t.Helper()
	p, err := open(path, false)
	check(t, err)
	all := map[string]int{}
	for place := range p.knocks() {
		message := p.sealer(place).seal(payload)
		all[hex.EncodeToString(message[:])] = place
	}
	return all
}

// Killed in the middle of whatever it does, an end never uses a place twice. Both are killed after some knocks, on
// their way to the next, until the pad is used up.
func TestKill(t *testing.T) {
	t.Parallel()
	for name, env := range map[string]func(path, dir string) []string{
		"sender":   func(path, dir string) []string { return []string{childSends + "=" + path} },
		"receiver": func(path, dir string) []string { return []string{childReceives + "=" + path, childState + "=" + dir} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, dir := newPad(t, 200), t.TempDir()
			all, last, kills := places(t, path), -1, 0
			for {
				cmd, out, pace := startPaced(t, env(path, dir)...)
				pace.Write([]byte{0}) // an error is that it has ended, which is seen below
				lines, n := bufio.NewScanner(out), 0
				for ; lines.Scan(); n++ { // what is in the pipe after the kill was acknowledged too
					place, ok := all[lines.Text()]
					if !ok || place <= last {
						t.Fatalf("message %q of place %d (%v) after that of place %d", lines.Text(), place, ok, last)
					}
					last = place
					pace.Write([]byte{0})
					if n == 5+kills%7 {
						check(t, cmd.Process.Kill())
					}
				}
				check(t, pace.Close())
				err := cmd.Wait()
				if err == nil {
					break // the pad is used up
				}
				if kills++; err.Error() != "signal: killed" {
					t.Fatalf("the process ended with %v, want to have killed it", err)
				}
			}
			if kills < 15 || last < 198 {
				t.Errorf("killed %d times, last place %d, want more", kills, last)
			}
			t.Logf("killed %d times", kills)
		})
	}
}

// Two clients at once share the pad: each place is one's.
func TestTwoClients(t *testing.T) {
	t.Parallel()
	path := newPad(t, 60)
	all, seen := places(t, path), map[int]int{}
	var clients []*exec.Cmd
	var outs []io.Reader
	for range 3 {
		cmd, out := start(t, nil, childSends+"="+path)
		clients, outs = append(clients, cmd), append(outs, out)
	}
	for i, out := range outs {
		text, err := io.ReadAll(out)
		check(t, err)
		check(t, clients[i].Wait())
		for _, line := range strings.Fields(string(text)) {
			place, ok := all[line]
			if !ok {
				t.Errorf("message %q is of no place", line)
			}
			seen[place]++
		}
	}
	want := map[int]int{}
	for place := range 60 {
		want[place] = 1
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("how often each place was used (-want +got):\n%s", diff)
	}
}

// Two ends with the same pad in one process.
func TestTwoReceivers(t *testing.T) {
	t.Parallel()
	path, dir := newPad(t, 3), t.TempDir()
	r := receive(t, path, dir, 0)
	_, err := OpenReceiver(path, dir, Options{})
	checkError(t, err, r.place.path, `the one-time pad is in use: another client or daemon holds "DIR.lock"`)
	check(t, r.Close())
	receive(t, path, dir, 0)
}

// Somebody removes the place while the client runs: it goes on, and not back.
func TestPlaceRemoved(t *testing.T) {
	t.Parallel()
	path := newPad(t, 3)
	s, all := newSender(t, path), places(t, path)
	for want := range 3 {
		if got := all[hex.EncodeToString(seal(t, s))]; got != want {
			t.Errorf("place %d, want %d", got, want)
		}
		check(t, os.Remove(s.place.path))
	}
}

// A client that cannot write its place sends nothing.
func TestSealDiskFull(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t)
	path, full := filepath.Join(dir, "pad"), filepath.Join(dir, "full")
	check(t, Make(path, 10))
	s, all := newSender(t, path), places(t, path)
	seal(t, s)
	fillDisk(t, full)
	for range 3 {
		if message, err := s.Seal(payload); !errors.Is(err, unix.ENOSPC) || message != [Length]byte{} {
			t.Errorf("Seal = %x, %v, want %v", message, err, unix.ENOSPC)
		}
	}
	check(t, os.Remove(full))
	if got := all[hex.EncodeToString(seal(t, newSender(t, path)))]; got != 1 {
		t.Errorf("place %d, want 1", got)
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

// fillDisk writes until there is no room left.
func fillDisk(t *testing.T, path string) {
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
