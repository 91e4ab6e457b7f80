package cryptcbc

import (
	"crypto/md5"
	"fmt"
)

// keyRounds is how many digests fill the longest key: fewer are too short, and the
// last is cut.
const keyRounds = 4

// KeyRounds returns the MD5 digests that [Key] is made of, in order, for those who
// show how it is done: the first is that of the passphrase, each other that of all
// digests before it. One after the other they are 64 bytes, the first 56, 8 or 32 of
// which are the key of Blowfish, DES or Rijndael. An empty passphrase is no error
// here.
func KeyRounds(passphrase []byte) [keyRounds][md5.Size]byte {
	var rounds [keyRounds][md5.Size]byte
	var material [keyRounds * md5.Size]byte
	rounds[0] = md5.Sum(passphrase)
	n := copy(material[:], rounds[0][:])
	for i := 1; i < keyRounds; i++ {
		rounds[i] = md5.Sum(material[:n])
		n += copy(material[n:], rounds[i][:])
	}
	return rounds
}

// DecryptBlock returns what the block cipher alone makes of one block of
// ciphertext, for those who show how a message is read: the plaintext and its
// padding, still XORed with the IV, or with the block of ciphertext before. A block
// that is not [Cipher.BlockSize] bytes long is [ErrLength].
func (c *Cipher) DecryptBlock(block []byte) ([]byte, error) {
	size := c.block.size
	if len(block) != size {
		return nil, fmt.Errorf("%w, want one block of %d bytes: got %d", ErrLength, size, len(block))
	}
	plain := make([]byte, maxBlock)
	if b := c.block.blowfish; b != nil {
		b.Decrypt(plain, block)
	} else {
		c.block.decryptOther(plain, block)
	}
	return plain[:size], nil
}
