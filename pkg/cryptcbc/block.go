package cryptcbc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"fmt"
	"sync"

	//lint:ignore SA1019 deprecated for new systems; this one reads an old one's messages
	"golang.org/x/crypto/blowfish"
)

// maxBlock is the longest block of any cipher here, in bytes.
const maxBlock = aes.BlockSize

// block is one of the block ciphers, with its key. What is given to an interface
// goes to the heap, so the one that is used most has its own type, and the others
// work on blocks that are used again.
type block struct {
	size     int              // of a block, in bytes
	blowfish *blowfish.Cipher // nil: other
	other    cipher.Block
}

// spare has blocks for the ciphers that are called through an interface.
var spare = sync.Pool{New: func() any { return new([maxBlock]byte) }}

// NewDES is [New] with DES, as Crypt::DES has it: 8 bytes of key, of which 56 bits
// count, and blocks of 8 bytes. Whoever records a message can try all keys.
func NewDES(passphrase []byte) (*Cipher, error) {
	key, err := keyOf(passphrase)
	if err != nil {
		return nil, err
	}
	b, err := des.NewCipher(key[:8])
	if err != nil {
		return nil, fmt.Errorf("failed to set up DES: %w", err)
	}
	return &Cipher{block{size: des.BlockSize, other: b}}, nil
}

// NewRijndael is [New] with Rijndael, as Crypt::Rijndael has it: AES with 32 bytes
// of key and blocks of 16 bytes. Its IV is up to 16 bytes; there is no message
// with the IV in front, see [Cipher.EncryptRandomIV].
func NewRijndael(passphrase []byte) (*Cipher, error) {
	key, err := keyOf(passphrase)
	if err != nil {
		return nil, err
	}
	b, err := aes.NewCipher(key[:32])
	if err != nil {
		return nil, fmt.Errorf("failed to set up Rijndael: %w", err)
	}
	return &Cipher{block{size: aes.BlockSize, other: b}}, nil
}

// BlockSize returns the length of a block in bytes: 8, or 16 with Rijndael.
func (c *Cipher) BlockSize() int { return c.block.size }

// encrypt encrypts the block b in place.
func (k *block) encrypt(b []byte) {
	if k.blowfish != nil {
		k.blowfish.Encrypt(b, b)
		return
	}
	s := spare.Get().(*[maxBlock]byte)
	copy(s[:], b)
	k.other.Encrypt(s[:k.size], s[:k.size])
	copy(b, s[:])
	spare.Put(s)
}

// decryptOther decrypts the block src into dst, which may be longer. It is not for
// Blowfish.
func (k *block) decryptOther(dst, src []byte) {
	s := spare.Get().(*[maxBlock]byte)
	copy(s[:], src)
	k.other.Decrypt(s[:], s[:])
	copy(dst, s[:])
	spare.Put(s)
}
