package cryptcbc

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func newCipher(t testing.TB, passphrase string) *Cipher {
	t.Helper()
	c, err := New([]byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNewRefusesEmptyPassphrase(t *testing.T) {
	t.Parallel()
	for name, passphrase := range map[string][]byte{"nil": nil, "empty": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := New(passphrase)
			if err == nil || c != nil {
				t.Fatalf("New = %v, %v, want an error", c, err)
			}
			if diff := cmp.Diff("passphrase is empty, want at least 1 byte", err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// Every length around the block boundaries, with every length of IV.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	c := newCipher(t, "knock")
	text := []byte("the quick brown fox jumps over the lazy dog")
	for n := range 34 {
		for ivLength := 1; ivLength <= BlockSize; ivLength++ {
			iv, plaintext := []byte("\xffA\x00b12\x80z")[:ivLength], text[:n]
			message, err := c.EncryptRandomIV(iv, plaintext)
			if err != nil {
				t.Fatal(err)
			}
			if want := 8 + ivLength + (n/8+1)*8; len(message) != want {
				t.Errorf("%d bytes, IV of %d: message of %d bytes, want %d", n, ivLength, len(message), want)
			}
			got, err := c.DecryptRandomIV(message, ivLength)
			if err != nil || !bytes.Equal(got, plaintext) {
				t.Errorf("%d bytes, IV of %d: got %q, %v, want %q", n, ivLength, got, err, plaintext)
			}
		}
	}
}

// A short IV touches the first n bytes of the first block and nothing else.
func TestShortIVIsZeroFilled(t *testing.T) {
	t.Parallel()
	c := newCipher(t, "knock")
	plaintext := []byte("two blocks and more")
	for n := 1; n < BlockSize; n++ {
		short := []byte("91378264")[:n]
		filled := append(bytes.Clone(short), make([]byte, BlockSize-n)...)
		got, err := c.Encrypt(short, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		want, err := c.Encrypt(filled, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("IV %q (-want +got):\n%s", short, diff)
		}
	}
}

// rawBlock returns the one block of ciphertext that decrypts to exactly plain,
// whatever padding plain ends in: the padding of Encrypt is cut off with its block.
func rawBlock(t testing.TB, c *Cipher, iv []byte, plain string) []byte {
	t.Helper()
	if len(plain) != BlockSize {
		t.Fatalf("%q is %d bytes, want %d", plain, len(plain), BlockSize)
	}
	ciphertext, err := c.Encrypt(iv, []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	return ciphertext[:BlockSize]
}

func TestDecryptPadding(t *testing.T) {
	t.Parallel()
	c, iv := newCipher(t, "knock"), []byte("01234567")
	for name, test := range map[string]struct {
		block, want string
		err         error
	}{
		"one":                {"1234567\x01", "1234567", nil},
		"one after a one":    {"123456\x01\x01", "123456\x01", nil},
		"two":                {"123456\x02\x02", "123456", nil},
		"seven":              {"1\x07\x07\x07\x07\x07\x07\x07", "1", nil},
		"nothing but":        {"\x08\x08\x08\x08\x08\x08\x08\x08", "", nil},
		"zero":               {"1234567\x00", "", ErrPadding},
		"nine":               {"\t\t\t\t\t\t\t\t", "", ErrPadding},
		"255":                {"1234567\xff", "", ErrPadding},
		"two, one of them":   {"1234567\x02", "", ErrPadding},
		"eight, first wrong": {"1\x08\x08\x08\x08\x08\x08\x08", "", ErrPadding},
		"four, third wrong":  {"1234\x04\x03\x04\x04", "", ErrPadding},
		"text":               {"12345678", "", ErrPadding},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := c.Decrypt(iv, rawBlock(t, c, iv, test.block))
			if err != test.err { // bare, so that it costs nothing
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if string(got) != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	c, iv := newCipher(t, "knock"), []byte("01234567")
	good, err := c.EncryptRandomIV(iv, []byte("payload"))
	if err != nil {
		t.Fatal(err)
	}
	type call = func() ([]byte, error)
	decrypt := func(iv, ciphertext []byte) call {
		return func() ([]byte, error) { return c.Decrypt(iv, ciphertext) }
	}
	open := func(message []byte, ivLength int) call {
		return func() ([]byte, error) { return c.DecryptRandomIV(message, ivLength) }
	}
	changed := func(i int) []byte {
		message := bytes.Clone(good)
		message[i] ^= 1
		return message
	}
	for name, test := range map[string]struct {
		call call
		want error
		text string
	}{
		"encrypt, no IV":        {func() ([]byte, error) { return c.Encrypt(nil, nil) }, ErrIV, "wrong IV length, want 1 to 8 bytes: got 0"},
		"encrypt, IV of 9":      {func() ([]byte, error) { return c.Encrypt(make([]byte, 9), nil) }, ErrIV, "wrong IV length, want 1 to 8 bytes: got 9"},
		"header, no IV":         {func() ([]byte, error) { return c.EncryptRandomIV(nil, nil) }, ErrIV, "wrong IV length, want 1 to 8 bytes: got 0"},
		"header, IV of 9":       {func() ([]byte, error) { return c.EncryptRandomIV(make([]byte, 9), nil) }, ErrIV, "wrong IV length, want 1 to 8 bytes: got 9"},
		"decrypt, no IV":        {decrypt(nil, good[16:]), ErrIV, "wrong IV length, want 1 to 8 bytes: got 0"},
		"decrypt, IV of 9":      {decrypt(make([]byte, 9), good[16:]), ErrIV, "wrong IV length, want 1 to 8 bytes: got 9"},
		"decrypt, nothing":      {decrypt(iv, nil), ErrLength, "wrong ciphertext length, want a multiple of 8 bytes, at least 8: got 0"},
		"decrypt, 7 bytes":      {decrypt(iv, good[16:23]), ErrLength, "wrong ciphertext length, want a multiple of 8 bytes, at least 8: got 7"},
		"decrypt, 9 bytes":      {decrypt(iv, good[15:]), ErrLength, "wrong ciphertext length, want a multiple of 8 bytes, at least 8: got 9"},
		"open, IV length 0":     {open(good, 0), ErrIV, "wrong IV length, want 1 to 8 bytes: got 0"},
		"open, IV length 9":     {open(good, 9), ErrIV, "wrong IV length, want 1 to 8 bytes: got 9"},
		"open, IV length -1":    {open(good, -1), ErrIV, "wrong IV length, want 1 to 8 bytes: got -1"},
		"open, other IV length": {open(good, 4), ErrLength, "wrong ciphertext length, want a multiple of 8 bytes, at least 8: got 12"},
		"open, nothing":         {open(nil, 8), ErrHeader, `wrong header, want "RandomIV": got ""`},
		"open, half a header":   {open(good[:4], 8), ErrHeader, `wrong header, want "RandomIV": got "Rand"`},
		"open, other header":    {open(changed(7), 8), ErrHeader, `wrong header, want "RandomIV": got "RandomIW"`},
		"open, half an IV":      {open(good[:12], 8), ErrLength, "wrong ciphertext length, want a multiple of 8 bytes, at least 8: the message ends within its IV, 4 bytes after the header"},
		"open, no ciphertext":   {open(good[:16], 8), ErrLength, "wrong ciphertext length, want a multiple of 8 bytes, at least 8: got 0"},
		"open, cut":             {open(good[:23], 8), ErrLength, "wrong ciphertext length, want a multiple of 8 bytes, at least 8: got 7"},
		"open, IV bit, padding": {open(changed(15), 8), ErrPadding, "wrong padding: other passphrase or IV, or not a ciphertext"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := test.call()
			if !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			if got != nil {
				t.Errorf("got %q beside the error, want nothing", got)
			}
			if diff := cmp.Diff(test.text, err.Error()); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAppendDecryptKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	c, iv := newCipher(t, "knock"), []byte("01234567")
	ciphertext, err := c.Encrypt(iv, []byte("more than one block"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.AppendDecrypt([]byte("before "), iv, ciphertext)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("before more than one block", string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAppendDecryptAllocatesNothing(t *testing.T) {
	c, iv := newCipher(t, "knock"), []byte("01234567")
	good, bad := rawBlock(t, c, iv, "1234567\x01"), rawBlock(t, c, iv, "12345678")
	for name, test := range map[string]struct {
		ciphertext []byte
		want       error
	}{"accepted": {good, nil}, "refused": {bad, ErrPadding}} {
		allocs := testing.AllocsPerRun(1000, func() {
			var buffer [BlockSize]byte
			if _, err := c.AppendDecrypt(buffer[:0], iv, test.ciphertext); err != test.want {
				t.Fatalf("%s: error %v, want %v", name, err, test.want)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations, want 0", name, allocs)
		}
	}
}

func BenchmarkAppendDecrypt(b *testing.B) {
	c, iv := newCipher(b, "knock"), []byte("01234567")
	block := rawBlock(b, c, iv, "12345678")
	b.ReportAllocs()
	b.SetBytes(BlockSize)
	for b.Loop() {
		var buffer [BlockSize]byte
		if _, err := c.AppendDecrypt(buffer[:0], iv, block); err != ErrPadding {
			b.Fatal(err)
		}
	}
}
