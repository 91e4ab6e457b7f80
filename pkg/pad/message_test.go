package pad

import (
	"bytes"
	"encoding/hex"
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// windows is how many random messages TestChance tries.
var windows = flag.Int("windows", 20_000, "how many random messages to try")

func newSender(t testing.TB, path string) *Sender {
	t.Helper()
	s, err := OpenSender(path, Options{})
	check(t, err)
	return s
}

func newReader(t testing.TB, path string, lookAhead int) *Receiver {
	t.Helper()
	r, err := OpenReader(path, t.TempDir(), Options{LookAhead: lookAhead})
	check(t, err)
	return r
}

func seal(t testing.TB, s *Sender) []byte {
	t.Helper()
	message, err := s.Seal(payload)
	check(t, err)
	return message[:]
}

// The messages of text(3), made with Perl's Digest::SHA; openssl dgst -mac HMAC gives the first one's tag as well.
func TestVectors(t *testing.T) {
	t.Parallel()
	path := knownPad(t, 3)
	s, r := newSender(t, path), newReader(t, path, 3)
	for place, want := range map[int]string{0: "8d6ddc190929c4b4c3f0083f477485", 2: "ab4bfe3b5747a6a1fd8a7e8d5b9662"} {
		message := s.pad.sealer(place).seal(payload)
		if diff := cmp.Diff(want, hex.EncodeToString(message[:])); diff != "" {
			t.Errorf("knock %d (-want +got):\n%s", place, diff)
		}
		got, at, err := r.Open(message[:])
		if err != nil || got != payload || at != place {
			t.Errorf("knock %d opens as %v, place %d, %v", place, got, at, err)
		}
	}
	if diff := cmp.Diff("8d6ddc190929c4b4c3f0083f477485", hex.EncodeToString(seal(t, s))); diff != "" {
		t.Errorf("first knock (-want +got):\n%s", diff)
	}
}

// One bit anywhere, or two, and nothing opens.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	path := newPad(t, 3)
	message, r := seal(t, newSender(t, path)), newReader(t, path, 3)
	for i := range 8 * Length {
		for j := i; j < 8*Length; j++ {
			changed := bytes.Clone(message)
			changed[i/8] ^= 1 << (i % 8)
			if j != i {
				changed[j/8] ^= 1 << (j % 8)
			}
			if got, place, err := r.Open(changed); err != ErrNone || got != [7]byte{} || place != 0 {
				t.Fatalf("bits %d and %d flipped: %v, place %d, %v", i, j, got, place, err)
			}
		}
	}
	if got, _, err := r.Open(message); err != nil || got != payload {
		t.Errorf("unchanged: %v, %v", got, err)
	}
}

// The tag is of one place, even where a pad repeats itself.
func TestPlaceIsAuthentic(t *testing.T) {
	t.Parallel()
	p := pad{text: make([]byte, 2*PerKnock)}
	a, b := p.sealer(0).seal(payload), p.sealer(1).seal(payload)
	if bytes.Equal(a[7:], b[7:]) || !bytes.Equal(a[:7], b[:7]) {
		t.Errorf("messages %x and %x, want them to differ in the tag", a, b)
	}
}

func TestOpenOtherLengths(t *testing.T) {
	t.Parallel()
	path := newPad(t, 3)
	message, r := seal(t, newSender(t, path)), newReader(t, path, 3)
	for _, m := range [][]byte{nil, message[:7], message[:14], append(bytes.Clone(message), 0)} {
		if got, _, err := r.Open(m); err != ErrNone || got != [7]byte{} {
			t.Errorf("%d bytes: %v, %v, want %v", len(m), got, err, ErrNone)
		}
	}
}

func TestOtherPad(t *testing.T) {
	t.Parallel()
	r := newReader(t, newPad(t, 40), 0)
	s := newSender(t, newPad(t, 40))
	for range 40 {
		if got, _, err := r.Open(seal(t, s)); err != ErrNone {
			t.Errorf("another pad's message: %v, %v", got, err)
		}
	}
}

// Random messages open nothing: go test -run Chance ./pkg/pad -args -windows 10000000
func TestChance(t *testing.T) {
	t.Parallel()
	r := newReader(t, newPad(t, 40), 0)
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	message := make([]byte, Length)
	for range *windows {
		for i := range message {
			message[i] = byte(random.Uint32())
		}
		if got, place, err := r.Open(message); err != ErrNone {
			t.Fatalf("%x opens as %v, place %d, %v", message, got, place, err)
		}
	}
}

// Not parallel: AllocsPerRun counts the whole program's allocations.
func TestFailingOpenAllocatesNothing(t *testing.T) {
	r, message := newReader(t, newPad(t, 40), 0), make([]byte, Length)
	allocs := testing.AllocsPerRun(100, func() {
		if _, _, err := r.Open(message); err != ErrNone {
			t.Fatalf("error %v, want %v", err, ErrNone)
		}
		if _, _, err := r.Open(message[:8]); err != ErrNone {
			t.Fatalf("error %v, want %v", err, ErrNone)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}

// What opens is what the pad makes of it at that place, and nothing panics.
func FuzzOpen(f *testing.F) {
	path := knownPad(f, 5)
	r, s := newReader(f, path, 4), newSender(f, path)
	for place := range 5 {
		message := s.pad.sealer(place).seal(payload)
		f.Add(message[:])
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, message []byte) {
		got, place, err := r.Open(message)
		if err != nil {
			if err != ErrNone || got != [7]byte{} || place != 0 {
				t.Fatalf("%v, place %d beside error %v", got, place, err)
			}
			return
		}
		if again := s.pad.sealer(place).seal(got); !bytes.Equal(again[:], message) || place > 3 {
			t.Fatalf("%x opens as %v at %d, which seals to %x", message, got, place, again)
		}
	})
}

func BenchmarkFailingOpen(b *testing.B) {
	path := newPad(b, MaxLookAhead)
	for name, lookAhead := range map[string]int{"32": 32, "1024": MaxLookAhead} {
		b.Run(name, func(b *testing.B) {
			r, message := newReader(b, path, lookAhead), make([]byte, Length)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := r.Open(message); err != ErrNone {
					b.Fatal(err)
				}
			}
		})
	}
}
