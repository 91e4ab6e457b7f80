package cryptcbc

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// others are the ciphers that are called through an interface.
func others(t testing.TB) map[string]*Cipher {
	t.Helper()
	all := map[string]*Cipher{}
	for name, new := range map[string]func([]byte) (*Cipher, error){"DES": NewDES, "Rijndael": NewRijndael} {
		c, err := new([]byte("knock"))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = c
	}
	return all
}

func TestBlockSize(t *testing.T) {
	t.Parallel()
	got := map[string]int{"Blowfish": newCipher(t, "knock").BlockSize()}
	for name, c := range others(t) {
		got[name] = c.BlockSize()
	}
	if diff := cmp.Diff(map[string]int{"Blowfish": 8, "DES": 8, "Rijndael": 16}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOthersRefuseEmptyPassphrase(t *testing.T) {
	t.Parallel()
	for name, new := range map[string]func([]byte) (*Cipher, error){"DES": NewDES, "Rijndael": NewRijndael} {
		c, err := new(nil)
		if err == nil || c != nil {
			t.Fatalf("%s: %v, %v, want an error", name, c, err)
		}
		if diff := cmp.Diff("passphrase is empty, want at least 1 byte", err.Error()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Every length around the block boundaries, with every length of IV.
func TestOthersRoundTrip(t *testing.T) {
	t.Parallel()
	text := []byte("the quick brown fox jumps over the lazy dog")
	for name, c := range others(t) {
		size := c.BlockSize()
		for n := range 34 {
			for ivLength := 1; ivLength <= size; ivLength++ {
				iv := []byte("\xffA\x00b12\x80z\xfe0\t\r\nxyz")[:ivLength]
				ciphertext, err := c.Encrypt(iv, text[:n])
				if err != nil {
					t.Fatal(err)
				}
				if want := (n/size + 1) * size; len(ciphertext) != want {
					t.Errorf("%s, %d bytes: ciphertext of %d bytes, want %d", name, n, len(ciphertext), want)
				}
				if got, err := c.Decrypt(iv, ciphertext); err != nil || !bytes.Equal(got, text[:n]) {
					t.Errorf("%s, %d bytes, IV of %d: got %q, %v", name, n, ivLength, got, err)
				}
			}
		}
	}
}

// A payload of 7 bytes has 9 bytes of 9 behind it; what Blowfish's padding allows is not enough to tell.
func TestRijndaelPadding(t *testing.T) {
	t.Parallel()
	c, iv := others(t)["Rijndael"], []byte("0123456701234567")
	for name, test := range map[string]struct {
		block, want string
		err         error
	}{
		"nine":             {"1234567\t\t\t\t\t\t\t\t\t", "1234567", nil},
		"nine, one wrong":  {"1234567\t\t\t\x08\t\t\t\t\t", "", ErrPadding},
		"nine, only eight": {"12345678\t\t\t\t\t\t\t\t", "", ErrPadding},
		"sixteen":          {"\x10\x10\x10\x10\x10\x10\x10\x10\x10\x10\x10\x10\x10\x10\x10\x10", "", nil},
		"seventeen":        {"\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11", "", ErrPadding},
		"zero":             {"123456789012345\x00", "", ErrPadding},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ciphertext, err := c.Encrypt(iv, []byte(test.block))
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Decrypt(iv, ciphertext[:16])
			if err != test.err || string(got) != test.want {
				t.Errorf("got %q, %v, want %q, %v", got, err, test.want, test.err)
			}
		})
	}
}

func TestRijndaelRefusals(t *testing.T) {
	t.Parallel()
	c, iv := others(t)["Rijndael"], []byte("0123456701234567")
	for name, test := range map[string]struct {
		call func() ([]byte, error)
		want error // nil: one of its own
		text string
	}{
		"no IV":         {func() ([]byte, error) { return c.Encrypt(nil, nil) }, ErrIV, "wrong IV length, want 1 to 16 bytes: got 0"},
		"IV of 17":      {func() ([]byte, error) { return c.Decrypt(make([]byte, 17), make([]byte, 16)) }, ErrIV, "wrong IV length, want 1 to 16 bytes: got 17"},
		"8 bytes":       {func() ([]byte, error) { return c.Decrypt(iv, make([]byte, 8)) }, ErrLength, "wrong ciphertext length, want a multiple of 16 bytes, at least 16: got 8"},
		"nothing":       {func() ([]byte, error) { return c.Decrypt(iv, nil) }, ErrLength, "wrong ciphertext length, want a multiple of 16 bytes, at least 16: got 0"},
		"make a header": {func() ([]byte, error) { return c.EncryptRandomIV(iv, nil) }, nil, `header "RandomIV" is for ciphers with blocks of 8 bytes only`},
		"read a header": {func() ([]byte, error) { return c.DecryptRandomIV([]byte("RandomIV"), 8) }, nil, `header "RandomIV" is for ciphers with blocks of 8 bytes only`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := test.call()
			if err == nil || got != nil || (test.want != nil && !errors.Is(err, test.want)) {
				t.Fatalf("got %q, %v, want error %v", got, err, test.want)
			}
			if diff := cmp.Diff(test.text, err.Error()); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
		})
	}
}

// Run with -race: the blocks that are used again are nobody else's meanwhile.
func TestOthersConcurrently(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for name, c := range others(t) {
		for i := range 4 {
			wg.Go(func() {
				plaintext := bytes.Repeat([]byte{byte(i)}, 100)
				for range 200 {
					ciphertext, err := c.Encrypt([]byte{1}, plaintext)
					if err != nil {
						t.Error(err)
						return
					}
					if got, err := c.Decrypt([]byte{1}, ciphertext); err != nil || !bytes.Equal(got, plaintext) {
						t.Errorf("%s: got %q, %v", name, got, err)
					}
				}
			})
		}
	}
	wg.Wait()
}

// Not parallel: AllocsPerRun counts the whole program's allocations.
func TestOthersAllocNothing(t *testing.T) {
	for name, c := range others(t) {
		iv, noise := make([]byte, c.BlockSize()), make([]byte, c.BlockSize())
		if _, err := c.Decrypt(iv, noise); err != ErrPadding {
			t.Fatalf("%s: a block of zeros decrypts: %v", name, err)
		}
		allocs := testing.AllocsPerRun(1000, func() {
			var buffer [maxBlock]byte
			if _, err := c.AppendDecrypt(buffer[:0], iv, noise); err != ErrPadding {
				t.Fatalf("%s: error %v, want %v", name, err, ErrPadding)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations, want 0", name, allocs)
		}
	}
}
