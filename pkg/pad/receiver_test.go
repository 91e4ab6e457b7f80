package pad

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func receive(t testing.TB, path, dir string, lookAhead int) *Receiver {
	t.Helper()
	r, err := OpenReceiver(path, dir, Options{LookAhead: lookAhead})
	check(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

// take opens and uses a message.
func take(t testing.TB, r *Receiver, message []byte, wantPlace int) {
	t.Helper()
	got, place, err := r.Open(message)
	if err != nil || got != payload || place != wantPlace {
		t.Fatalf("Open = %v, %d, %v, want %v, %d", got, place, err, payload, wantPlace)
	}
	if err := r.Use(place); err != nil {
		t.Fatalf("Use(%d) = %v", place, err)
	}
}

func refuse(t testing.TB, r *Receiver, message []byte) {
	t.Helper()
	if got, place, err := r.Open(message); err != ErrNone {
		t.Fatalf("Open = %v, %d, %v, want %v", got, place, err, ErrNone)
	}
}

// sealAll gives every message of a pad.
func sealAll(t testing.TB, path string) (messages [][]byte) {
	t.Helper()
	s := newSender(t, path)
	for s.Left() > 0 {
		messages = append(messages, seal(t, s))
	}
	return messages
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	path := newPad(t, 40)
	s, r := newSender(t, path), receive(t, path, t.TempDir(), 0)
	for k := range 40 {
		if s.Left() != 40-k || r.Left() != 40-k {
			t.Errorf("before knock %d: %d and %d left, want %d", k, s.Left(), r.Left(), 40-k)
		}
		take(t, r, seal(t, s), k)
	}
	if s.Left() != 0 || r.Left() != 0 {
		t.Errorf("%d and %d left, want none", s.Left(), r.Left())
	}
	if message, err := s.Seal(payload); err != ErrUsedUp || message != [Length]byte{} {
		t.Errorf("Seal = %x, %v, want %v", message, err, ErrUsedUp)
	}
}

// Lost knocks do no harm up to the look-ahead, and one more locks the client out.
func TestLookAhead(t *testing.T) {
	t.Parallel()
	for _, lookAhead := range []int{1, 2, 32, 1024} {
		t.Run(fmt.Sprint(lookAhead), func(t *testing.T) {
			t.Parallel()
			path := newPad(t, 2*lookAhead+1)
			p, err := open(path, false)
			check(t, err)
			message := func(place int) []byte {
				m := p.sealer(place).seal(payload)
				return m[:]
			}
			r := receive(t, path, t.TempDir(), lookAhead)
			refuse(t, r, message(lookAhead))
			take(t, r, message(lookAhead-1), lookAhead-1)
			for place := range lookAhead { // none of those that it went past
				refuse(t, r, message(place))
			}
			refuse(t, r, message(2*lookAhead))
			take(t, r, message(2*lookAhead-1), 2*lookAhead-1)
			take(t, r, message(2*lookAhead), 2*lookAhead) // the last of the pad
			refuse(t, r, message(2*lookAhead))
		})
	}
}

// Nothing opens twice, over as many starts as there are.
func TestReplay(t *testing.T) {
	t.Parallel()
	path, dir := newPad(t, 10), t.TempDir()
	messages := sealAll(t, path)
	for k, message := range messages {
		r := receive(t, path, dir, 0)
		for _, old := range messages[:k] {
			refuse(t, r, old)
		}
		take(t, r, message, k)
		for _, old := range messages[:k+1] {
			refuse(t, r, old)
		}
		check(t, r.Close())
	}
}

func TestUseRefusals(t *testing.T) {
	t.Parallel()
	path := newPad(t, 10)
	messages := sealAll(t, path)
	r := receive(t, path, t.TempDir(), 4)
	for _, m := range messages[:3] { // opened, all of them, before the first is used
		if _, _, err := r.Open(m); err != nil {
			t.Fatal(err)
		}
	}
	check(t, r.Use(1))
	for _, place := range []int{0, 1, -1} {
		if err := r.Use(place); err != ErrSpent {
			t.Errorf("Use(%d) = %v, want %v", place, err, ErrSpent)
		}
	}
	checkError(t, r.Use(6), "", "place 6 of the one-time pad is not one of the next 4")
	check(t, r.Use(2))
	check(t, r.Close())
	refuse(t, r, messages[3])
	checkError(t, r.Use(3), "", "place 3 of the one-time pad is not one of the next 0")
	check(t, r.Close())
}

func TestLookAheadRange(t *testing.T) {
	t.Parallel()
	path, dir := newPad(t, 3), t.TempDir()
	for _, n := range []int{-1, 1025} {
		_, err := OpenReceiver(path, dir, Options{LookAhead: n})
		checkError(t, err, dir, fmt.Sprintf("%d places of the one-time pad cannot be tried, want 1 to 1024", n))
		_, err = OpenReader(path, dir, Options{LookAhead: n})
		checkError(t, err, dir, fmt.Sprintf("%d places of the one-time pad cannot be tried, want 1 to 1024", n))
	}
	if r := newReader(t, path, 0); r.lookAhead != 32 {
		t.Errorf("%d places are tried by default, want 32", r.lookAhead)
	}
}

// The files of both ends, byte for byte. Their checksums were made with Perl's Digest::SHA.
func TestFiles(t *testing.T) {
	t.Parallel()
	path, dir := knownPad(t, 3), t.TempDir()
	s, r := newSender(t, path), receive(t, path, dir, 0)
	seal(t, s)
	take(t, r, seal(t, s), 1)
	const line = "knock-pad-place 1 867b32635b088696679312aa02f4aa845828dfe86f339c411824f9eceb2863f8 2 032ff70b88015017\n"
	want := map[string]string{"knock.pad": string(text(3)), "knock.pad.place-867b32635b088696": line, "knock.pad.place-867b32635b088696.lock": ""}
	if diff := cmp.Diff(want, listing(t, filepath.Dir(path))); diff != "" {
		t.Errorf("beside the pad (-want +got):\n%s", diff)
	}
	want = map[string]string{"pad-867b32635b088696": line, "pad-867b32635b088696.lock": ""}
	if diff := cmp.Diff(want, listing(t, dir)); diff != "" {
		t.Errorf("state directory (-want +got):\n%s", diff)
	}
	for _, file := range []string{path + ".place-867b32635b088696", filepath.Join(dir, "pad-867b32635b088696")} {
		if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: mode %v, %v, want 0600", file, info.Mode(), err)
		}
	}
}

// Another pad begins at its beginning, and the old one, when it comes back, where it was.
func TestTwoPadsInTurn(t *testing.T) {
	t.Parallel()
	home, dir := t.TempDir(), t.TempDir()
	path, kept := filepath.Join(home, "pad"), filepath.Join(home, "kept")
	check(t, Make(path, 5))
	old := receive(t, path, dir, 0)
	take(t, old, seal(t, newSender(t, path)), 0)
	take(t, old, seal(t, newSender(t, path)), 1)
	check(t, old.Close())
	check(t, os.Rename(path, kept))

	check(t, Make(path, 5))
	r := receive(t, path, dir, 0)
	take(t, r, seal(t, newSender(t, path)), 0)

	check(t, os.Rename(kept, path))
	take(t, receive(t, path, dir, 0), seal(t, newSender(t, path)), 2)
}

func TestReaderChangesNothing(t *testing.T) {
	t.Parallel()
	path, dir := newPad(t, 5), t.TempDir()
	r, err := OpenReader(path, dir, Options{})
	check(t, err)
	messages := sealAll(t, path)
	take(t, r, messages[1], 1)
	refuse(t, r, messages[0])
	check(t, r.Close())
	if diff := cmp.Diff(map[string]string{}, listing(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}

	daemon := receive(t, path, dir, 0)
	take(t, daemon, messages[2], 2)
	before := listing(t, dir)
	r, err = OpenReader(path, dir, Options{}) // beside a daemon at work
	check(t, err)
	refuse(t, r, messages[2])
	take(t, r, messages[3], 3)
	check(t, r.Close())
	if diff := cmp.Diff(before, listing(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	take(t, daemon, messages[3], 3)
}

func TestIs(t *testing.T) {
	t.Parallel()
	path, other := newPad(t, 5), newPad(t, 5)
	moved := write(t, filepath.Join(t.TempDir(), "moved"), []byte(listing(t, filepath.Dir(path))["knock.pad"]), 0o600)
	short := write(t, filepath.Join(t.TempDir(), "short"), []byte("short"), 0o600)
	r := receive(t, path, t.TempDir(), 0)
	for path, want := range map[string]bool{path: true, moved: true, other: false} {
		if got, err := r.Is(path); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", path, got, err, want)
		}
	}
	for _, path := range []string{path + "x", short} {
		if is, err := r.Is(path); err == nil || is {
			t.Errorf("%s: %v, %v, want an error", path, is, err)
		}
	}
}

// A full disk: what cannot be written down is refused, stays used, and is written when there is room.
func TestUseDiskFull(t *testing.T) {
	t.Parallel()
	path, dir := newPad(t, 10), smallDisk(t)
	messages := sealAll(t, path)
	r := receive(t, path, dir, 0)
	take(t, r, messages[0], 0)
	before, full := listing(t, dir), filepath.Join(dir, "full")
	fillDisk(t, full)
	_, place, err := r.Open(messages[1])
	check(t, err)
	err = r.Use(place)
	if !errors.Is(err, unix.ENOSPC) || !strings.HasPrefix(err.Error(), "failed to write down the place in the one-time pad: ") {
		t.Errorf("Use = %v, want %v", err, unix.ENOSPC)
	}
	refuse(t, r, messages[1])
	if err := r.Use(place); err != ErrSpent {
		t.Errorf("Use again = %v, want %v", err, ErrSpent)
	}
	check(t, os.Remove(full))
	name := filepath.Base(r.place.path)
	if diff := cmp.Diff(before[name], listing(t, dir)[name]); diff != "" {
		t.Errorf("place, the disk being full (-want +got):\n%s", diff)
	}
	check(t, r.Close()) // it has room again
	r = receive(t, path, dir, 0)
	refuse(t, r, messages[1])
	take(t, r, messages[2], 2)
}

// Several take the same messages at once: each opens once. Run with -race.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	path := newPad(t, 20)
	messages := sealAll(t, path)
	r := receive(t, path, t.TempDir(), 0)
	var mu sync.Mutex
	taken := map[int]int{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, m := range messages {
				_, place, err := r.Open(m)
				if err != nil {
					continue
				}
				if err := r.Use(place); err == nil {
					mu.Lock()
					taken[place]++
					mu.Unlock()
				} else if err != ErrSpent {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for place, n := range taken {
		if n != 1 {
			t.Errorf("place %d was used %d times", place, n)
		}
	}
	if taken[19] != 1 || r.Left() != 0 {
		t.Errorf("the last place was used %d times, %d left", taken[19], r.Left())
	}
}
