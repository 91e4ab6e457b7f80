package cryptcbc

import (
	"bytes"
	"fmt"
)

// Header is what a message with its IV in front begins with.
const Header = "RandomIV"

// EncryptRandomIV returns [Header], the iv as it is, and the ciphertext of
// plaintext: 16 bytes and more, 8 of them header. The iv is 1 to 8 bytes; take
// fresh random ones for each message. The only error is [ErrIV].
func (c *Cipher) EncryptRandomIV(iv, plaintext []byte) ([]byte, error) {
	message := make([]byte, 0, len(Header)+len(iv)+len(plaintext)+BlockSize)
	message = append(message, Header...)
	message = append(message, iv...)
	return c.appendEncrypt(message, iv, plaintext)
}

// DecryptRandomIV undoes [Cipher.EncryptRandomIV]. How long the IV is, 1 to 8
// bytes, is not in the message: it is 8 in every message of Crypt::CBC 3.x, and may
// be less in an older one. The IV itself is message[8:8+ivLength].
//
// It returns [ErrIV], [ErrHeader], [ErrLength] or [ErrPadding], and looks at the
// header before it decrypts anything. A wrong ivLength usually shows as
// ErrLength, since the rest is then not whole blocks.
func (c *Cipher) DecryptRandomIV(message []byte, ivLength int) (plaintext []byte, err error) {
	if ivLength < 1 || ivLength > BlockSize {
		return nil, fmt.Errorf("%w: got %d", ErrIV, ivLength)
	}
	body, found := bytes.CutPrefix(message, []byte(Header))
	if !found {
		return nil, fmt.Errorf("%w: got %q", ErrHeader, message[:min(len(message), len(Header))])
	}
	if len(body) < ivLength {
		return nil, fmt.Errorf("%w: the message ends within its IV, %d bytes after the header", ErrLength, len(body))
	}
	return c.Decrypt(body[:ivLength], body[ivLength:])
}
