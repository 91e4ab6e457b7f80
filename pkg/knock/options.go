package knock

import (
	"bytes"
	"fmt"

	"github.com/portknock/knock/pkg/cryptcbc"
)

// What is agreed on when nothing else is.
const (
	// DefaultPortMin is the TCP port of byte 0.
	DefaultPortMin = 745
	// DefaultIV is the IV of [HeaderNone]: eight ASCII digits. For [CipherRijndael],
	// whose IVs are twice as long, it is there twice.
	DefaultIV = "01234567"
	// DefaultIVLength is the length in bytes of the IV of [HeaderRandomIV].
	DefaultIVLength = 8
)

// MaxPortMin is the highest TCP port of byte 0: it leaves room for byte 255 below
// port 65536.
const MaxPortMin = 65535 - 255

// Header says whether a sequence carries its IV. The values are Crypt::CBC's
// names for its -header option, and what settings are written as.
type Header string

const (
	// HeaderNone is a sequence of 8 knocks (with Rijndael 16) whose IV both sides
	// know.
	HeaderNone Header = "none"
	// HeaderRandomIV is a sequence of 16+n knocks with its IV of n bytes in it.
	HeaderRandomIV Header = "randomiv"
)

// Options is what both sides of a knock have to agree on. All but the Passphrase
// may be left zero.
type Options struct {
	// Passphrase is shared by both sides: bytes, not text, at least one. There is
	// no protection against guessing it but its length. CipherNone takes none.
	Passphrase []byte
	// Cipher is what the payload is encrypted with; empty means CipherBlowfish.
	Cipher Cipher
	// Header is the form of the sequence; empty means HeaderNone, which is all that
	// CipherRijndael and CipherNone have.
	Header Header
	// IV is the IV. With HeaderNone it is exactly 8 bytes, and empty means
	// [DefaultIV]; CipherRijndael has one of exactly 16 bytes, and empty means
	// DefaultIV twice; CipherNone takes none. With HeaderRandomIV it is 1 to 8 bytes, Seal uses it for each
	// knock, and Open takes any; empty means that Seal draws a fresh one from
	// crypto/rand each time, which is what to use outside tests.
	IV []byte
	// IVLength is the length in bytes, 1 to 8, of the IVs that Open expects with
	// HeaderRandomIV, and of those that Seal draws. Zero means len(IV), or 8 if IV
	// is empty; anything else must agree with a given IV. HeaderNone has IVs of 8
	// bytes only, of 16 with CipherRijndael.
	IVLength int
	// PortMin is the TCP port of byte 0, from 1 to 65280; zero means 745.
	PortMin uint16
}

// New returns the Codec of o, or an error that says which option is wrong and
// what would be right. Nothing of o is kept, so a caller may wipe its Passphrase.
func New(o Options) (*Codec, error) {
	cipher, size, err := newCipher(o)
	if err != nil {
		return nil, err
	}
	c := &Codec{cipher: cipher, iv: bytes.Clone(o.IV), length: size, portMin: o.PortMin}
	if c.portMin == 0 {
		c.portMin = DefaultPortMin
	}
	if c.portMin > MaxPortMin {
		return nil, fmt.Errorf("port-min %d is too high, want 1 to %d: knocks go up to port-min + 255", o.PortMin, MaxPortMin)
	}
	switch o.Header {
	case HeaderNone, "":
		err = c.setFixedIV(o, size)
	case HeaderRandomIV:
		err = c.setSentIV(o, size)
	default:
		err = fmt.Errorf("header %q is unknown, want %q or %q", o.Header, HeaderNone, HeaderRandomIV)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// setFixedIV sets up c for an IV that does not travel, and blocks of size bytes.
func (c *Codec) setFixedIV(o Options, size int) error {
	if c.cipher == nil {
		return nil
	}
	if len(c.iv) == 0 {
		c.iv = bytes.Repeat([]byte(DefaultIV), size/len(DefaultIV))
	}
	if len(c.iv) != size {
		return fmt.Errorf("IV is %d bytes, want exactly %d with %s", len(o.IV), size, o.form(size))
	}
	if o.IVLength != 0 && o.IVLength != size {
		return fmt.Errorf("IV length is %d, want %d (or nothing) with %s", o.IVLength, size, o.form(size))
	}
	return nil
}

// form names, for an error, what the length of a fixed IV depends on.
func (o Options) form(size int) string {
	if size == cryptcbc.BlockSize {
		return fmt.Sprintf("header %q", HeaderNone)
	}
	return fmt.Sprintf("cipher %q and header %q", o.Cipher, HeaderNone)
}

// setSentIV sets up c for an IV that is part of each sequence.
func (c *Codec) setSentIV(o Options, size int) error {
	if size != cryptcbc.BlockSize {
		return fmt.Errorf("header is %q, want %q with cipher %q: Crypt::CBC makes no such message of blocks of %d bytes",
			o.Header, HeaderNone, o.Cipher, size)
	}
	if len(c.iv) > cryptcbc.BlockSize {
		return fmt.Errorf("IV is %d bytes, want 1 to %d with header %q", len(o.IV), cryptcbc.BlockSize, HeaderRandomIV)
	}
	if o.IVLength < 0 || o.IVLength > cryptcbc.BlockSize {
		return fmt.Errorf("IV length is %d, want 1 to %d", o.IVLength, cryptcbc.BlockSize)
	}
	if len(c.iv) != 0 && o.IVLength != 0 && len(c.iv) != o.IVLength {
		return fmt.Errorf("IV is %d bytes but the IV length is %d, want them equal", len(o.IV), o.IVLength)
	}
	c.ivLength = DefaultIVLength
	switch {
	case o.IVLength != 0:
		c.ivLength = o.IVLength
	case len(c.iv) != 0:
		c.ivLength = len(c.iv)
	}
	c.header = cryptcbc.Header
	c.length = len(c.header) + c.ivLength + size
	return nil
}
