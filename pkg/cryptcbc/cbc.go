package cryptcbc

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// BlockSize is the length of a cipher block in bytes: ciphertexts are multiples
// of it, and an IV is no longer than it.
const BlockSize = 8

// What a message or an argument can be refused for. Test with errors.Is: all but
// ErrPadding come wrapped with what was found.
var (
	// ErrIV is an IV, or a length of one, outside 1 to 8 bytes.
	ErrIV = errors.New("wrong IV length, want 1 to 8 bytes")
	// ErrLength is a ciphertext that is empty or not whole blocks.
	ErrLength = errors.New("wrong ciphertext length, want a multiple of 8 bytes, at least 8")
	// ErrPadding is a plaintext that does not end in n bytes of value n, n from 1
	// to 8: the passphrase or the IV is another one, or this is no ciphertext. It
	// is returned as it is, without allocating.
	ErrPadding = errors.New("wrong padding: other passphrase or IV, or not a ciphertext")
	// ErrHeader is a message that does not begin with the 8 bytes of [Header].
	ErrHeader = errors.New(`wrong header, want "RandomIV"`)
)

// Encrypt pads plaintext and encrypts it; the result holds the ciphertext alone.
// The iv is 1 to 8 bytes; one shorter than 8 is XORed onto that many bytes of
// the first block, which Crypt::CBC 3.x refuses to do. The plaintext may be
// empty. The only error is [ErrIV].
func (c *Cipher) Encrypt(iv, plaintext []byte) ([]byte, error) {
	return c.appendEncrypt(nil, iv, plaintext)
}

// Decrypt undoes [Cipher.Encrypt], given the same iv. It returns [ErrIV],
// [ErrLength] or [ErrPadding]; a plaintext of 0 bytes is no error. There is no
// checksum: one in about 256 wrong ciphertexts passes.
func (c *Cipher) Decrypt(iv, ciphertext []byte) ([]byte, error) {
	return c.AppendDecrypt(nil, iv, ciphertext)
}

// AppendDecrypt is [Cipher.Decrypt] for those who do it often: it appends the
// plaintext to dst and returns the longer slice. It allocates nothing if dst has
// room for len(ciphertext) more bytes, which must not overlap ciphertext. After
// an error that room holds nothing of use.
func (c *Cipher) AppendDecrypt(dst, iv, ciphertext []byte) ([]byte, error) {
	previous, err := firstBlock(iv)
	if err != nil {
		return nil, err
	}
	if len(ciphertext) == 0 || len(ciphertext)%BlockSize != 0 {
		return nil, fmt.Errorf("%w: got %d", ErrLength, len(ciphertext))
	}
	for i := 0; i < len(ciphertext); i += BlockSize {
		block := ciphertext[i : i+BlockSize]
		var plain [BlockSize]byte
		c.block.Decrypt(plain[:], block)
		dst = binary.BigEndian.AppendUint64(dst, binary.BigEndian.Uint64(plain[:])^previous)
		previous = binary.BigEndian.Uint64(block)
	}
	n, err := paddingLength(dst)
	if err != nil {
		return nil, err
	}
	return dst[:len(dst)-n], nil
}

// appendEncrypt appends the ciphertext of plaintext to dst.
func (c *Cipher) appendEncrypt(dst, iv, plaintext []byte) ([]byte, error) {
	previous, err := firstBlock(iv)
	if err != nil {
		return nil, err
	}
	for last := false; !last; {
		var block [BlockSize]byte
		n := copy(block[:], plaintext)
		plaintext = plaintext[n:]
		last = n < BlockSize
		for i := n; i < BlockSize; i++ {
			block[i] = byte(BlockSize - n)
		}
		binary.BigEndian.PutUint64(block[:], binary.BigEndian.Uint64(block[:])^previous)
		c.block.Encrypt(block[:], block[:])
		dst = append(dst, block[:]...)
		previous = binary.BigEndian.Uint64(block[:])
	}
	return dst, nil
}

// firstBlock returns what the first block of plaintext is XORed with. Zeros fill
// up a short IV, and so leave the rest of the block alone.
func firstBlock(iv []byte) (uint64, error) {
	if len(iv) < 1 || len(iv) > BlockSize {
		return 0, fmt.Errorf("%w: got %d", ErrIV, len(iv))
	}
	var block [BlockSize]byte
	copy(block[:], iv)
	return binary.BigEndian.Uint64(block[:]), nil
}

// paddingLength returns how many bytes at the end of padded, which is at least a
// block, are padding.
func paddingLength(padded []byte) (int, error) {
	n := int(padded[len(padded)-1])
	if n < 1 || n > BlockSize {
		return 0, ErrPadding
	}
	for _, b := range padded[len(padded)-n:] {
		if int(b) != n {
			return 0, ErrPadding
		}
	}
	return n, nil
}
