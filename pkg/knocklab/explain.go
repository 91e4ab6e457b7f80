package knocklab

import (
	"errors"
	"fmt"

	"github.com/portknock/knock/pkg/cryptcbc"
	"github.com/portknock/knock/pkg/knock"
)

// explain says why r does not decode, in words for a learner.
func (r *Opened) explain(o knock.Options, refusal error) {
	switch {
	case errors.Is(refusal, knock.ErrLength):
		r.At = "length"
		r.Says, r.Hint = explainLength(o, len(r.Ports))
	case errors.Is(refusal, knock.ErrPort):
		r.At = "port"
		r.Says, r.Hint = r.explainPort()
	case errors.Is(refusal, knock.ErrHeader):
		r.At = "header"
		r.Says = r.explainHeader()
		r.Hint = "The first eight tries of every message with its IV in front are the same. Choose the header none for one without."
	case errors.Is(refusal, knock.ErrChecksum):
		r.At = "checksum"
		r.Says = fmt.Sprintf("The checksum is wrong: the six bytes before it add up to %d, and %[1]d mod %d is %d, not %d.",
			r.Sum.Total, r.Sum.Modulo, r.Sum.Rest, r.Sum.Found)
		r.Hint = otherAgreement(o)
	default: // knock.ErrPadding, and knock.ErrPayload, which is padding of another length
		r.At = "padding"
		r.Says, r.Hint = r.explainPadding(), otherAgreement(o)
	}
}

// otherAgreement is what makes noise of a good knock.
func otherAgreement(o knock.Options) string {
	switch {
	case o.Cipher == knock.CipherNone:
		return "It was encrypted, or it is not a knock at all."
	case o.Header == knock.HeaderRandomIV:
		return "The passphrase or the cipher is another one, a port is wrong, or this is not a knock at all."
	}
	return "The passphrase, the IV or the cipher is another one, a port is wrong, or this is not a knock at all."
}

func explainLength(o knock.Options, n int) (says, hint string) {
	want := "8"
	switch {
	case o.Header == knock.HeaderRandomIV:
		want = "24, or 17 to 23 with a shorter IV"
	case o.Cipher == knock.CipherRijndael:
		want = "16"
	}
	says = fmt.Sprintf("The length is wrong: there are %d, and a knock with the cipher %s and the header %s has %s.",
		n, o.Cipher, o.Header, want)
	if n == 1 {
		says = fmt.Sprintf("The length is wrong: there is one port, and a knock with the cipher %s and the header %s has %s.",
			o.Cipher, o.Header, want)
	}
	switch {
	case n == 8:
		hint = "Eight ports come from Blowfish, DES or none, with the header none."
	case n == 16:
		hint = "Sixteen ports come from Rijndael."
	case n >= 17 && n <= 24:
		hint = "As many come from Blowfish or DES with the header randomiv."
	default:
		hint = "Is a port missing, or one too many?"
	}
	return says, hint
}

func (r *Opened) explainPort() (says, hint string) {
	lowest, highest := r.Ports[0], r.Ports[0]
	at := -1
	for i, port := range r.Ports {
		lowest, highest = min(lowest, port), max(highest, port)
		if at < 0 && (port < r.First || port > r.Last) {
			at = i
		}
	}
	says = fmt.Sprintf("Try %d goes to port %d, which is outside %d to %d.", at+1, r.Ports[at], r.First, r.Last)
	if highest-lowest <= 255 {
		return says, fmt.Sprintf("These ports fit if the first port is %d to %d.", max(1, int(highest)-255), min(lowest, knock.MaxPortMin))
	}
	return says, fmt.Sprintf("No first port fits all of them: they are %d apart, and a byte goes up to 255.", highest-lowest)
}

func (r *Opened) explainHeader() string {
	for i, c := range []byte(cryptcbc.Header) {
		if got := r.Steps[i]; got.Byte != int(c) {
			return fmt.Sprintf("The header is wrong: try %d is byte %d, and the %[3]q of %[4]q is %[3]d.", i+1, got.Byte, c, cryptcbc.Header)
		}
	}
	return "The header is wrong."
}

// explainPadding tells what stands where the padding should be.
func (r *Opened) explainPadding() string {
	n := len(r.Block.Plain) - 7
	if n == 1 {
		return fmt.Sprintf("The padding is wrong: the last byte of the block is %d, and after a payload of 7 bytes it is 1.", r.Block.Plain[7])
	}
	return fmt.Sprintf("The padding is wrong: the last %d bytes of the block are %v, and after a payload of 7 bytes each is %[1]d.", n, r.Block.Plain[7:])
}
