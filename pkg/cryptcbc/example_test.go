package cryptcbc_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/portknock/knock/pkg/cryptcbc"
)

// Both sides know the IV: Crypt::CBC's -header => 'none'.
func Example() {
	c, err := cryptcbc.New([]byte("knock"))
	if err != nil {
		log.Fatal(err)
	}
	iv := []byte("01234567")
	ciphertext, err := c.Encrypt(iv, []byte{142, 103, 205, 1, 22, 15, 233})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ciphertext)

	plaintext, err := c.Decrypt(iv, ciphertext)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(plaintext)
	// Output:
	// [221 169 50 219 86 117 62 187]
	// [142 103 205 1 22 15 233]
}

// The message says what its IV is: Crypt::CBC's -header => 'randomiv'.
func ExampleCipher_EncryptRandomIV() {
	c, err := cryptcbc.New([]byte("knock"))
	if err != nil {
		log.Fatal(err)
	}
	// A fixed IV, for the example's output: take 8 bytes of crypto/rand.
	message, err := c.EncryptRandomIV([]byte("64999848"), []byte("hello"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d bytes: %q and 8 more\n", len(message), message[:16])

	plaintext, err := c.DecryptRandomIV(message, 8)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", plaintext)
	// Output:
	// 24 bytes: "RandomIV64999848" and 8 more
	// hello
}

// With a short IV of an old release, the reader has to know how long it is. This
// message is a published knock, each port less 745.
func ExampleCipher_DecryptRandomIV_shortIV() {
	c, err := cryptcbc.New([]byte("knock"))
	if err != nil {
		log.Fatal(err)
	}
	message := append([]byte("RandomIV9137"), 22, 106, 17, 77, 16, 185, 75, 202)
	plaintext, err := c.DecryptRandomIV(message, 4)
	fmt.Println(plaintext, err)

	_, err = c.DecryptRandomIV(message, 8)
	fmt.Println(errors.Is(err, cryptcbc.ErrLength))
	// Output:
	// [142 103 205 1 22 5 223] <nil>
	// true
}
