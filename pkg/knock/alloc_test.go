package knock

import (
	"slices"
	"testing"
)

// noise is what the daemon asks Open about nearly always: windows that are no
// knock. Here are all the ways of not being one, and a real knock.
func noise(t testing.TB) map[string]struct {
	codec *Codec
	ports []uint16
	want  error
} {
	t.Helper()
	plain, sent := newPlain(t), newSent(t)
	sealed, err := sent.Seal(publishedPayload)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]struct {
		codec *Codec
		ports []uint16
		want  error
	}{
		"none/knock":        {plain, published, nil},
		"none/padding":      {plain, forge(t, 1, 2, 3, 4, 5, 6, 7, 0), ErrPadding},
		"none/payload":      {plain, forge(t, 1, 2, 3, 4, 5, 6), ErrPayload},
		"none/checksum":     {plain, forge(t, 1, 2, 3, 4, 5, 6, 7), ErrChecksum},
		"randomiv/knock":    {sent, sealed, nil},
		"randomiv/header":   {sent, with(sealed, 0, 745), ErrHeader},
		"randomiv/padding":  {sent, with(sealed, 15, 745+((sealed[15]-745)^1)), ErrPadding},
		"randomiv/checksum": {sent, with(sealed, 8, 745+((sealed[8]-745)^1)), ErrChecksum},

		"DES/padding":       {newCodec(t, Options{Passphrase: []byte("knock"), Cipher: CipherDES}), published, ErrPadding},
		"Rijndael/padding":  {newCodec(t, Options{Passphrase: []byte("knock"), Cipher: CipherRijndael}), slices.Concat(published, published), ErrPadding},
		"no cipher/padding": {newClear(t), published, ErrPadding},
	}
}

// Not parallel: AllocsPerRun counts the whole program's allocations.
func TestOpenAllocatesNothing(t *testing.T) {
	for name, n := range noise(t) {
		allocs := testing.AllocsPerRun(1000, func() {
			if _, err := n.codec.Open(n.ports); err != n.want {
				t.Fatalf("%s: error %v, want %v", name, err, n.want)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations, want 0", name, allocs)
		}
	}
}

// Not parallel: AllocsPerRun counts the whole program's allocations.
func TestBlockAllocatesNothing(t *testing.T) {
	plain := newPlain(t)
	allocs := testing.AllocsPerRun(1000, func() {
		if block := plain.Block(published); block[0] != 221 {
			t.Fatalf("block %v, want one that begins with 221", block)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}

func BenchmarkOpen(b *testing.B) {
	for name, n := range noise(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := n.codec.Open(n.ports); err != n.want {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	for name, c := range map[string]*Codec{"none": newPlain(b), "randomiv": newSent(b)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Seal(publishedPayload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
