package knock

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/portknock/knock/pkg/cryptcbc"
)

// Cipher is what a payload is encrypted with. The values are the names that Perl's
// Crypt::CBC has for them, and what settings are written as.
type Cipher string

const (
	// CipherBlowfish is the cipher of the prototype and of nearly every knock.
	CipherBlowfish Cipher = "Blowfish"
	// CipherDES is DES, whose 56 bits of key can all be tried. Its knocks are as
	// long as Blowfish's, and carry an IV in the same way.
	CipherDES Cipher = "DES"
	// CipherRijndael is AES with 256 bits of key. A knock has 16 ports and no
	// header: Crypt::CBC makes none for blocks of 16 bytes.
	CipherRijndael Cipher = "Rijndael"
	// CipherNone is no cipher: a knock is the payload in clear and one byte of
	// padding, 8 ports. It protects nothing. Anybody can make one, so a daemon
	// should take it only if it opens a few ports for the address that knocks, and
	// for no other.
	CipherNone Cipher = "none"
)

// paddedLength is how many bytes a payload has with CipherNone, and padding is the
// last of them: what the ciphers with blocks of 8 bytes encrypt.
const (
	paddedLength = payloadLength + 1
	padding      = 1
)

// ParseCipher returns the Cipher of a name, whatever its case. IDEA and RSA, which
// knocks are known to have been made with or planned for, are refused with the
// reason; any other name, or none, is an error that says what would be right.
func ParseCipher(name string) (Cipher, error) {
	for _, c := range []Cipher{CipherBlowfish, CipherDES, CipherRijndael, CipherNone} {
		if strings.EqualFold(name, string(c)) {
			return c, nil
		}
	}
	switch strings.ToUpper(name) {
	case "IDEA":
		return "", errors.New(`cipher "IDEA" is not supported: it was patented until 2012, ` +
			"and there is neither a maintained Go implementation nor a Crypt::IDEA in Debian to hold it against")
	case "RSA":
		return "", errors.New(`cipher "RSA" is not supported: Crypt::CBC takes block ciphers, which it is not, ` +
			"and with even the weakest key of 512 bits a knock would be 64 ports long")
	}
	return "", fmt.Errorf("cipher %q is unknown, want %q, %q, %q or %q",
		name, CipherBlowfish, CipherDES, CipherRijndael, CipherNone)
}

// newCipher returns the cipher of o, which is nil for CipherNone, and the length of
// its ciphertexts of a payload.
func newCipher(o Options) (*cryptcbc.Cipher, int, error) {
	name, err := ParseCipher(string(cmp.Or(o.Cipher, CipherBlowfish)))
	if err != nil {
		return nil, 0, err
	}
	new := cryptcbc.New
	switch name {
	case CipherDES:
		new = cryptcbc.NewDES
	case CipherRijndael:
		new = cryptcbc.NewRijndael
	case CipherNone:
		return nil, paddedLength, checkNoCipher(o)
	}
	c, err := new(o.Passphrase)
	if err != nil {
		return nil, 0, fmt.Errorf("failed to make the cipher: %w", err)
	}
	return c, c.BlockSize(), nil // a payload and its padding are a block
}

// checkNoCipher refuses secrets that would be of no effect: whoever gives one
// expects it to be.
func checkNoCipher(o Options) error {
	switch {
	case len(o.Passphrase) > 0:
		return fmt.Errorf("a passphrase is given, and cipher %q has none: it protects nothing", CipherNone)
	case o.Header == HeaderRandomIV:
		return fmt.Errorf("header is %q, want %q with cipher %q: there is no IV", o.Header, HeaderNone, CipherNone)
	case len(o.IV) > 0 || o.IVLength != 0:
		return fmt.Errorf("an IV is given, and cipher %q has none", CipherNone)
	}
	return nil
}
