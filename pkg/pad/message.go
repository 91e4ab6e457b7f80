package pad

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"hash"
)

// sealer is what one knock uses of a pad.
type sealer struct {
	place int
	pad   [payloadLength]byte
	mac   hash.Hash
}

// sealer gives that of knock number place.
func (p pad) sealer(place int) sealer {
	b := p.text[place*PerKnock : (place+1)*PerKnock]
	s := sealer{place, [payloadLength]byte(b), hmac.New(sha256.New, b[payloadLength:])}
	s.mac.Reset() // from the second one on, it need not take up the key again
	return s
}

// sealing is a message on its way through a sealer. What is given to a hash goes to
// the heap, so the one who judges many keeps one.
type sealing struct {
	authentic [payloadLength + 8]byte // the ciphertext and the place
	sum       [sha256.Size]byte
}

// tag gives the tag of the ciphertext in g. It is good until the next.
func (s sealer) tag(g *sealing) []byte {
	binary.BigEndian.PutUint64(g.authentic[payloadLength:], uint64(s.place))
	s.mac.Reset()
	s.mac.Write(g.authentic[:])
	return s.mac.Sum(g.sum[:0])[:tagLength]
}

// seal makes a message.
func (s sealer) seal(payload [payloadLength]byte) (message [Length]byte) {
	var g sealing
	subtle.XORBytes(g.authentic[:payloadLength], payload[:], s.pad[:])
	copy(message[:], g.authentic[:payloadLength])
	copy(message[payloadLength:], s.tag(&g))
	return message
}
