package cryptcbc

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
)

// BlockSize is the length in bytes of a block of Blowfish and of DES: ciphertexts
// are multiples of it, and an IV is no longer than it. Rijndael's is 16 bytes, see
// [Cipher.BlockSize].
const BlockSize = 8

// What a message or an argument can be refused for. Test with errors.Is: all but
// ErrPadding come wrapped with what was found.
var (
	// ErrIV is an IV, or a length of one, that is not from 1 byte to a block.
	ErrIV = errors.New("wrong IV length")
	// ErrLength is a ciphertext that is empty or not whole blocks.
	ErrLength = errors.New("wrong ciphertext length")
	// ErrPadding is a plaintext that does not end in n bytes of value n, n from 1
	// to the length of a block: the passphrase or the IV is another one, or this is
	// no ciphertext. It is returned as it is, without allocating.
	ErrPadding = errors.New("wrong padding: other passphrase or IV, or not a ciphertext")
	// ErrHeader is a message that does not begin with the 8 bytes of [Header].
	ErrHeader = errors.New(`wrong header, want "RandomIV"`)
)

// Encrypt pads plaintext and encrypts it; the result holds the ciphertext alone.
// The iv is from 1 byte to a block, so to 8 bytes, or 16 with Rijndael; one shorter
// than a block is XORed onto that many bytes of the first block, which Crypt::CBC
// 3.x refuses to do. The plaintext may be empty. The only error is [ErrIV].
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
	size := c.block.size
	first, err := c.firstBlock(iv)
	if err != nil {
		return nil, err
	}
	if len(ciphertext) == 0 || len(ciphertext)&(size-1) != 0 {
		return nil, fmt.Errorf("%w: got %d", c.lengthError(), len(ciphertext))
	}
	previous := first[:size]
	for len(ciphertext) > 0 {
		var plain [maxBlock]byte
		if b := c.block.blowfish; b != nil { // without a call more: the daemon does this all day
			b.Decrypt(plain[:], ciphertext[:size])
		} else {
			c.block.decryptOther(plain[:], ciphertext[:size])
		}
		for i := 0; i < size; i += word {
			dst = append64(dst, plain[i:], previous[i:])
		}
		previous, ciphertext = ciphertext[:size], ciphertext[size:]
	}
	n, err := paddingLength(dst, size)
	if err != nil {
		return nil, err
	}
	return dst[:len(dst)-n], nil
}

// appendEncrypt appends the ciphertext of plaintext to dst.
func (c *Cipher) appendEncrypt(dst, iv, plaintext []byte) ([]byte, error) {
	size := c.block.size
	first, err := c.firstBlock(iv)
	if err != nil {
		return nil, err
	}
	previous := first[:size]
	for last := false; !last; {
		var block [maxBlock]byte
		n := copy(block[:size], plaintext)
		plaintext = plaintext[n:]
		last = n < size
		for i := n; i < size; i++ {
			block[i] = byte(size - n)
		}
		subtle.XORBytes(block[:], block[:size], previous)
		c.block.encrypt(block[:size])
		dst = append(dst, block[:size]...)
		previous = dst[len(dst)-size:]
	}
	return dst, nil
}

// firstBlock returns what the first block of plaintext is XORed with. Zeros fill
// up a short IV, and so leave the rest of the block alone.
func (c *Cipher) firstBlock(iv []byte) (block [maxBlock]byte, err error) {
	if err := c.checkIV(len(iv)); err != nil {
		return block, err
	}
	copy(block[:], iv)
	return block, nil
}

// word is how many bytes are XORed at a time. Blocks are whole words.
const word = 8

// append64 appends the first word of a, XORed with that of b.
func append64(dst, a, b []byte) []byte {
	return binary.NativeEndian.AppendUint64(dst, binary.NativeEndian.Uint64(a)^binary.NativeEndian.Uint64(b))
}

// checkIV makes sure that there can be an IV of n bytes.
func (c *Cipher) checkIV(n int) error {
	if n < 1 || n > c.block.size {
		return fmt.Errorf("%w, want 1 to %d bytes: got %d", ErrIV, c.block.size, n)
	}
	return nil
}

// lengthError is ErrLength, and what would be right.
func (c *Cipher) lengthError() error {
	return fmt.Errorf("%w, want a multiple of %d bytes, at least %[2]d", ErrLength, c.block.size)
}

// paddingLength returns how many bytes at the end of padded, which is at least a
// block of size bytes, are padding.
func paddingLength(padded []byte, size int) (int, error) {
	n := int(padded[len(padded)-1])
	if n < 1 || n > size {
		return 0, ErrPadding
	}
	for _, b := range padded[len(padded)-n:] {
		if int(b) != n {
			return 0, ErrPadding
		}
	}
	return n, nil
}
