package cryptcbc

import (
	"bytes"
	"errors"
	"fmt"
)

// Header is what a message with its IV in front begins with.
const Header = "RandomIV"

// errNoHeader is asking Rijndael for a header. Crypt::CBC refuses it as well.
var errNoHeader = errors.New(`header "RandomIV" is for ciphers with blocks of 8 bytes only`)

// EncryptRandomIV returns [Header], the iv as it is, and the ciphertext of
// plaintext: 16 bytes and more, 8 of them header. The iv is 1 to 8 bytes; take
// fresh random ones for each message. The only errors are [ErrIV], and one for
// Rijndael, whose blocks of 16 bytes Crypt::CBC refuses to send with this header.
func (c *Cipher) EncryptRandomIV(iv, plaintext []byte) ([]byte, error) {
	if c.block.size != BlockSize {
		return nil, errNoHeader
	}
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
// ErrLength, since the rest is then not whole blocks. For Rijndael, which has no
// such messages, it is an error of its own.
func (c *Cipher) DecryptRandomIV(message []byte, ivLength int) (plaintext []byte, err error) {
	if c.block.size != BlockSize {
		return nil, errNoHeader
	}
	if err := c.checkIV(ivLength); err != nil {
		return nil, err
	}
	body, found := bytes.CutPrefix(message, []byte(Header))
	if !found {
		return nil, fmt.Errorf("%w: got %q", ErrHeader, message[:min(len(message), len(Header))])
	}
	if len(body) < ivLength {
		return nil, fmt.Errorf("%w: the message ends within its IV, %d bytes after the header", c.lengthError(), len(body))
	}
	return c.Decrypt(body[:ivLength], body[ivLength:])
}
