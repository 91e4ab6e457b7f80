package cryptcbc

import (
	"bytes"
	"testing"
)

// What is encrypted decrypts to itself, in both forms, which agree.
func FuzzEncryptDecrypt(f *testing.F) {
	f.Add([]byte("knock"), []byte("01234567"), []byte("\x8eg\xcd\x01\x16\x0f\xe9"))
	f.Add([]byte{0}, []byte{0}, []byte{})
	f.Add([]byte("\xff"), []byte("9137"), []byte("eight is"))
	f.Fuzz(func(t *testing.T, passphrase, iv, plaintext []byte) {
		c, err := New(passphrase)
		if (err != nil) != (len(passphrase) == 0) {
			t.Fatalf("New(%q): %v", passphrase, err)
		}
		if err != nil {
			return
		}
		ciphertext, err := c.Encrypt(iv, plaintext)
		if (err != nil) != (len(iv) < 1 || len(iv) > 8) {
			t.Fatalf("Encrypt with IV %q: %v", iv, err)
		}
		if err != nil {
			return
		}
		message, err := c.EncryptRandomIV(iv, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		if want := "RandomIV" + string(iv) + string(ciphertext); string(message) != want {
			t.Fatalf("message %q, want %q", message, want)
		}
		if got, err := c.Decrypt(iv, ciphertext); err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("Decrypt = %q, %v, want %q", got, err, plaintext)
		}
		if got, err := c.DecryptRandomIV(message, len(iv)); err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("DecryptRandomIV = %q, %v, want %q", got, err, plaintext)
		}
	})
}

// What is accepted encrypts to the same message again, and nothing panics.
func FuzzDecryptRandomIV(f *testing.F) {
	c := newCipher(f, "knock")
	for _, iv := range []string{"9", "9137", "64999848"} {
		for _, plaintext := range []string{"", "\x8eg\xcd\x01\x16\x05\xdf", "more than a block"} {
			message, err := c.EncryptRandomIV([]byte(iv), []byte(plaintext))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(message, len(iv))
		}
	}
	f.Add([]byte("RandomIV"), 8)
	f.Fuzz(func(t *testing.T, message []byte, ivLength int) {
		plaintext, err := c.DecryptRandomIV(message, ivLength)
		if err != nil {
			if plaintext != nil {
				t.Fatalf("plaintext %q beside error %v", plaintext, err)
			}
			return
		}
		again, err := c.EncryptRandomIV(message[8:8+ivLength], plaintext)
		if err != nil || !bytes.Equal(again, message) {
			t.Fatalf("encrypted again: %q, %v, want %q", again, err, message)
		}
	})
}

// What DES or Rijndael accepts encrypts to the same ciphertext again, and nothing panics.
func FuzzDecryptOthers(f *testing.F) {
	ciphers := others(f)
	for _, iv := range []string{"0", "01234567", "0123456701234567"} {
		f.Add(true, []byte(iv), []byte("more than one block of 16"))
		f.Add(false, []byte(iv), []byte{})
	}
	f.Fuzz(func(t *testing.T, wide bool, iv, text []byte) {
		c := ciphers["DES"]
		if wide {
			c = ciphers["Rijndael"]
		}
		plaintext, err := c.Decrypt(iv, text)
		if err == nil {
			if again, err := c.Encrypt(iv, plaintext); err != nil || !bytes.Equal(again, text) {
				t.Fatalf("encrypted again: %x, %v, want %x", again, err, text)
			}
		}
		ciphertext, err := c.Encrypt(iv, text)
		if (err != nil) != (len(iv) < 1 || len(iv) > c.BlockSize()) {
			t.Fatalf("Encrypt with IV %q: %v", iv, err)
		}
		if err != nil {
			return
		}
		if got, err := c.Decrypt(iv, ciphertext); err != nil || !bytes.Equal(got, text) {
			t.Fatalf("Decrypt = %q, %v, want %q", got, err, text)
		}
	})
}
