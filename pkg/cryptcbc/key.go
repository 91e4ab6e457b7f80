package cryptcbc

import (
	"crypto/md5"
	"errors"
	"fmt"

	//lint:ignore SA1019 deprecated for new systems; this one reads an old one's messages
	"golang.org/x/crypto/blowfish"
)

// KeySize is the length of the derived key in bytes: the most that Blowfish
// takes, and what Crypt::CBC always gives it. The other ciphers take the first
// bytes of it, as many as they need: DES 8, Rijndael 32.
const KeySize = 56

// Cipher encrypts and decrypts with one passphrase. It holds no state between
// messages and is safe for concurrent use. Make one with [New], [NewDES] or
// [NewRijndael]: with Blowfish, deriving the key costs about as much as
// encrypting 4 KiB, so keep it.
type Cipher struct {
	block block
}

// Key derives the Blowfish key from passphrase as the first releases of
// Crypt::CBC did, and 3.x does with -pbkdf => 'randomiv': the MD5 of the
// passphrase, followed by the MD5 of all that is there so far until 56 bytes
// are full. Any bytes will do as a passphrase, and any number of them.
func Key(passphrase []byte) [KeySize]byte {
	var material [keyRounds * md5.Size]byte
	for i, digest := range KeyRounds(passphrase) {
		copy(material[i*md5.Size:], digest[:])
	}
	return [KeySize]byte(material[:KeySize])
}

// New returns the Cipher of passphrase with Blowfish, in blocks of 8 bytes. A
// passphrase is bytes, not text: a newline at its end counts. An empty one is an
// error. The slice is not kept.
func New(passphrase []byte) (*Cipher, error) {
	key, err := keyOf(passphrase)
	if err != nil {
		return nil, err
	}
	b, err := blowfish.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("failed to set up blowfish: %w", err)
	}
	return &Cipher{block{size: BlockSize, blowfish: b}}, nil
}

// keyOf gives the key of a passphrase that is not empty.
func keyOf(passphrase []byte) (key [KeySize]byte, err error) {
	if len(passphrase) == 0 {
		return key, errors.New("passphrase is empty, want at least 1 byte")
	}
	return Key(passphrase), nil
}
