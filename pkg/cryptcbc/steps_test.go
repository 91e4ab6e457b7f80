package cryptcbc

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The digests of "knock", as md5sum tells them of it, and of the files of those before.
func TestKeyRounds(t *testing.T) {
	t.Parallel()
	var got []string
	var joined []byte
	for i, digest := range KeyRounds([]byte("knock")) {
		got = append(got, hex.EncodeToString(digest[:]))
		if i > 0 && md5.Sum(joined) != digest {
			t.Errorf("round %d is not the MD5 of those before", i+1)
		}
		joined = append(joined, digest[:]...)
	}
	want := []string{
		"4be17d184b54c2111dcb318921909b83",
		"0e427ea9613415881e5652c2e8a7d65c",
		"93121d9468b0c19805bcb1e32db90770",
		"a8a6e8381e59a0dae7370d77b0e5da7d",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if key := Key([]byte("knock")); !slices.Equal(key[:], joined[:KeySize]) {
		t.Errorf("the key %x does not begin them", key)
	}
}

// A block decrypts to the padded plaintext XORed with the IV, with each cipher.
func TestDecryptBlock(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		new    func([]byte) (*Cipher, error)
		iv     string
		padded []byte
	}{
		"Blowfish": {New, "01234567", []byte{142, 103, 205, 1, 22, 15, 233, 1}},
		"DES":      {NewDES, "01234567", []byte{142, 103, 205, 1, 22, 15, 233, 1}},
		"Rijndael": {NewRijndael, "0123456701234567", []byte{142, 103, 205, 1, 22, 15, 233, 9, 9, 9, 9, 9, 9, 9, 9, 9}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := tt.new([]byte("knock"))
			if err != nil {
				t.Fatal(err)
			}
			ciphertext, err := c.Encrypt([]byte(tt.iv), tt.padded[:7])
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.DecryptBlock(ciphertext)
			if err != nil {
				t.Fatal(err)
			}
			want := make([]byte, len(tt.padded))
			subtle.XORBytes(want, tt.padded, []byte(tt.iv))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			for _, wrong := range [][]byte{nil, ciphertext[1:], append(ciphertext, 0)} {
				if _, err := c.DecryptBlock(wrong); !errors.Is(err, ErrLength) {
					t.Errorf("%d bytes: error %v, want ErrLength", len(wrong), err)
				}
			}
		})
	}
}
