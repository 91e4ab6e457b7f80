package knock

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/portknock/knock/pkg/cryptcbc"
)

// What [Codec.Open] can refuse a sequence for; test with errors.Is. The last four
// are what noise looks like: they are returned as they are, without allocating.
var (
	// ErrLength is a sequence that is not [Codec.Len] ports long.
	ErrLength = errors.New("wrong number of knocks")
	// ErrPort is a port outside [Codec.Ports].
	ErrPort = errors.New("port is not one of the knock ports")
	// ErrHeader is a sequence that does not begin with the knocks of "RandomIV",
	// though the Codec is one of HeaderRandomIV.
	ErrHeader = errors.New(`wrong header, want the knocks of "RandomIV"`)
	// ErrPadding is a sequence that does not decrypt to anything: noise, or
	// another passphrase or IV. With CipherNone, its last byte is not 1.
	ErrPadding = errors.New("wrong padding: noise, or other passphrase or IV")
	// ErrPayload is a payload that is not 7 bytes long or, from [Codec.Seal] and
	// [Payload.Bytes], one that does not fit into 7 bytes, because its IP is not
	// IPv4.
	ErrPayload = errors.New("wrong payload, want 7 bytes with an IPv4 address")
	// ErrChecksum is a payload of 7 bytes, the last of which is not the sum of the
	// others modulo 255.
	ErrChecksum = errors.New("wrong checksum: noise, or other passphrase or IV")
)

// maxLength is how many knocks the longest sequence has, and maxBlock how many bytes
// the longest block: Rijndael's.
const (
	maxLength = len(cryptcbc.Header) + 2*cryptcbc.BlockSize
	maxBlock  = 16
)

// Codec makes and reads the sequences of one set of [Options]. It does not change
// once made, and is safe for concurrent use.
type Codec struct {
	cipher   *cryptcbc.Cipher // nil: none
	header   string           // cryptcbc.Header, or empty with HeaderNone
	iv       []byte           // empty: a fresh one for each knock, or no cipher
	ivLength int              // bytes of IV in a sequence, 0 with HeaderNone
	length   int              // knocks in a sequence
	portMin  uint16
}

// Len returns the number of knocks in a sequence: 8 with HeaderNone (16 with
// CipherRijndael), 17 to 24 (16 and the length of the IV) with HeaderRandomIV.
func (c *Codec) Len() int { return c.length }

// Ports returns the lowest and the highest TCP port that a knock can go to, both
// inclusive and 255 apart.
func (c *Codec) Ports() (low, high uint16) { return c.portMin, c.portMin + 255 }

// Seal returns the TCP ports to knock at, in order, to ask for p. The only error
// is [ErrPayload], wrapped, for an IP that is not IPv4.
func (c *Codec) Seal(p Payload) ([]uint16, error) {
	plaintext, err := p.Bytes()
	if err != nil {
		return nil, fmt.Errorf("failed to seal address %q: %w", p.IP, err)
	}
	message, err := c.encrypt(plaintext[:])
	if err != nil {
		return nil, fmt.Errorf("failed to encrypt the payload: %w", err)
	}
	ports := make([]uint16, len(message))
	for i, b := range message {
		ports[i] = c.portMin + uint16(b)
	}
	return ports, nil
}

// encrypt returns the bytes of a sequence.
func (c *Codec) encrypt(plaintext []byte) ([]byte, error) {
	if c.cipher == nil {
		return append(plaintext, padding), nil
	}
	if c.header == "" {
		return c.cipher.Encrypt(c.iv, plaintext)
	}
	iv := c.iv
	if len(iv) == 0 {
		iv = make([]byte, c.ivLength)
		rand.Read(iv) // never fails: the program ends if there is no randomness
	}
	return c.cipher.EncryptRandomIV(iv, plaintext)
}

// Open returns the payload of the sequence ports, or the first of the errors
// above that applies: the length is looked at first, then the ports in their
// order, the first eight of them for the header as well, and only then is
// anything decrypted, for padding, payload and checksum. Open allocates nothing
// unless it returns [ErrLength] or [ErrPort], which say that the caller should
// not have asked. It does not keep ports.
func (c *Codec) Open(ports []uint16) (Payload, error) {
	if len(ports) != c.length {
		return Payload{}, fmt.Errorf("%w: got %d, want %d", ErrLength, len(ports), c.length)
	}
	var message [maxLength]byte
	for i, port := range ports {
		b := int(port) - int(c.portMin)
		if b < 0 || b > 255 {
			return Payload{}, c.portError(i, port)
		}
		if i < len(c.header) && byte(b) != c.header[i] {
			return Payload{}, ErrHeader
		}
		message[i] = byte(b)
	}
	iv, start := c.iv, len(c.header)+c.ivLength
	if c.header != "" {
		iv = message[len(c.header):start]
	}
	if c.cipher == nil {
		return parsePadded(message[:paddedLength])
	}
	var buffer [maxBlock]byte
	plaintext, err := c.cipher.AppendDecrypt(buffer[:0], iv, message[start:c.length])
	if err != nil {
		return Payload{}, ErrPadding // the lengths are right, so it is nothing else
	}
	return ParsePayload(plaintext)
}

// parsePadded reads a payload in clear.
func parsePadded(b []byte) (Payload, error) {
	if b[payloadLength] != padding {
		return Payload{}, ErrPadding
	}
	return ParsePayload(b[:payloadLength])
}

// Block returns the one block of ciphertext in ports, a sequence that [Codec.Open]
// accepted: its last 8 knocks, whatever the Header. With CipherRijndael they are
// the second half of the block, and with CipherNone the payload. A header's IV can be made to
// fit any payload once one is known, so what tells a new knock from one made of
// an old one is its block alone. Block panics if there are less than 8 ports, and
// what it returns of a sequence that was not accepted says nothing. It allocates
// nothing.
func (c *Codec) Block(ports []uint16) [8]byte {
	var block [cryptcbc.BlockSize]byte
	for i, port := range ports[len(ports)-len(block):] {
		block[i] = byte(port - c.portMin)
	}
	return block
}

// portError says which of the ports is wrong.
func (c *Codec) portError(i int, port uint16) error {
	low, high := c.Ports()
	return fmt.Errorf("%w: knock %d goes to port %d, want %d to %d", ErrPort, i+1, port, low, high)
}
