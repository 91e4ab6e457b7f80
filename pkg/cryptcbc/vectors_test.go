package cryptcbc

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// vector is one message that Crypt::CBC made. Its byte lists are ints, as a
// []byte would be base64 to encoding/json.
type vector struct {
	Cipher     string `json:"cipher"`
	Header     string `json:"header"`
	Passphrase string `json:"passphrase"`
	IV         []int  `json:"iv"`
	Payload    []int  `json:"payload"`
	Ciphertext []int  `json:"ciphertext"`
}

func toBytes(ints []int) []byte {
	b := make([]byte, len(ints))
	for i, n := range ints {
		b[i] = byte(n)
	}
	return b
}

// readVectors returns the 60 vectors of a file.
func readVectors(t *testing.T, path string) []vector {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []vector `json:"vectors"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) != 60 {
		t.Fatalf("%s has %d vectors, want 60", path, len(file.Vectors))
	}
	return file.Vectors
}

func TestVectors(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]map[string]int{
		"testdata/crypt-cbc.json": {"Blowfish none": 30, "Blowfish randomiv": 30},
		"testdata/ciphers.json":   {"DES none": 20, "DES randomiv": 20, "Rijndael none": 20},
	} {
		forms := map[string]int{}
		for i, v := range readVectors(t, path) {
			forms[v.Cipher+" "+v.Header]++
			t.Run(fmt.Sprintf("%s-%02d-%s", v.Cipher, i, v.Header), func(t *testing.T) {
				t.Parallel()
				checkVector(t, v)
			})
		}
		if diff := cmp.Diff(want, forms); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func checkVector(t *testing.T, v vector) {
	new := map[string]func([]byte) (*Cipher, error){"Blowfish": New, "DES": NewDES, "Rijndael": NewRijndael}[v.Cipher]
	if new == nil {
		t.Fatalf("cipher is %q", v.Cipher)
	}
	c, err := new([]byte(v.Passphrase))
	if err != nil {
		t.Fatal(err)
	}
	iv, payload, message := toBytes(v.IV), toBytes(v.Payload), toBytes(v.Ciphertext)
	encrypt := c.Encrypt
	decrypt := func(message []byte) ([]byte, error) { return c.Decrypt(iv, message) }
	if v.Header == "randomiv" {
		encrypt = c.EncryptRandomIV
		decrypt = func(message []byte) ([]byte, error) { return c.DecryptRandomIV(message, len(iv)) }
	}
	got, err := encrypt(iv, payload)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(message, got); diff != "" {
		t.Errorf("encrypted (-want +got):\n%s", diff)
	}
	got, err = decrypt(message)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(payload, got); diff != "" {
		t.Errorf("decrypted (-want +got):\n%s", diff)
	}
}

// The wanted keys were made with Perl's Digest::MD5.
func TestKey(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ passphrase, want string }{
		"knock": {"knock", "4be17d184b54c2111dcb318921909b830e427ea9613415881e5652c2e8a7d65c93121d9468b0c19805bcb1e32db90770a8a6e8381e59a0da"},
		"empty": {"", "d41d8cd98f00b204e9800998ecf8427e59adb24ef3cdbe0297f05b395827453fe1505891d8b9d16ecfaa199d4e9d5c7b68b04105b55ec8ec"},
		"bytes": {"\x00\xff\n", "daabad9de4c13765beb6e0a4ea14f25f5d2b3a91cdbe3c932f1666a3cbd0a039186832eebd4410fb2e61eb32cac96e51aaa66d7018fda057"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := Key([]byte(test.passphrase))
			if diff := cmp.Diff(test.want, hex.EncodeToString(key[:])); diff != "" {
				t.Errorf("key (-want +got):\n%s", diff)
			}
		})
	}
}
