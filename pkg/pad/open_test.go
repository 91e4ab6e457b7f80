package pad

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// state is what of a Receiver, and of its file, decides what opens.
type state struct {
	Next, LookAhead int
	Window          []int // the places
	Unsaved         bool
	File            string
}

func stateOf(t *testing.T, r *Receiver) state {
	t.Helper()
	file, err := os.ReadFile(r.place.path)
	check(t, err)
	s := state{Next: r.next, LookAhead: r.lookAhead, Unsaved: r.unsaved, File: string(file)}
	for _, one := range r.window {
		s.Window = append(s.Window, one.place)
	}
	return s
}

// Open may be asked about anything, as often as one likes: it changes nothing, on the disk or off it, and what it says
// of one message does not depend on those before.
func TestOpenChangesNothing(t *testing.T) {
	t.Parallel()
	path := newPad(t, 40)
	messages := sealAll(t, path)
	r := receive(t, path, filepath.Dir(path), 10)
	take(t, r, messages[4], 4)
	want, random, opened := stateOf(t, r), rand.New(rand.NewPCG(1, 2)), 0
	for range 3000 {
		n := random.IntN(len(messages))
		message := slices.Clone(messages[n])
		damaged := random.IntN(3) == 0
		if damaged {
			message[random.IntN(Length)] ^= 1 << random.IntN(8)
		}
		got, place, err := r.Open(message)
		if damaged || n < 5 || n >= 15 {
			if err != ErrNone {
				t.Fatalf("message %d, damaged %t: %v, place %d, %v, want %v", n, damaged, got, place, err, ErrNone)
			}
			continue
		}
		if got != payload || place != n || err != nil {
			t.Fatalf("message %d: %v, place %d, %v", n, got, place, err)
		}
		opened++
	}
	if diff := cmp.Diff(want, stateOf(t, r)); diff != "" || opened < 100 {
		t.Errorf("%d opened (-before +after)\n%s", opened, diff)
	}
	take(t, r, messages[5], 5)
}
