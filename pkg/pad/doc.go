// Package pad makes and reads knocks with a one-time pad: a file of random bytes
// that both ends have, of which each knock uses up the next few. A recorded knock
// says nothing about what is in it, whatever the computer that looks at it, and
// opens nothing a second time.
//
// A payload is 7 bytes, which mean nothing here. Knock number k, from 0, uses bytes
// 39k to 39k+38 of the pad:
//
//	 7 bytes   XORed onto the payload: the ciphertext
//	32 bytes   the key of an HMAC-SHA-256
//
// and the message is 15 bytes:
//
//	ciphertext | first 8 bytes of the HMAC of (ciphertext | k)
//	 7 bytes                                                k: 8 bytes, big-endian
//
// XOR alone would let anybody who guesses what a knock says make it say something
// else, and the payload's checksum of 8 bits would let one scan in a few pass. The
// tag is over the ciphertext, not the payload, so that a message is judged before
// anything is made of it, and so that the tag, which is no one-time pad, tells
// nothing about the payload. That k is in it costs nothing, and says of which
// knock the tag is even where a pad repeats itself.
//
// # The file
//
// A pad of n knocks is 39n random bytes, then the 32 bytes of their SHA-256, by
// which a pad that was cut or changed on its way is found out: it would otherwise
// be another pad, from whose beginning everything is good once more. [Make] makes
// one. It is a secret like a key. Bring it to the other end by a way that nobody
// listens to, such as scp.
//
// # The place
//
// Each end remembers how much is used up, in a small file that is on the disk
// before a message leaves [Sender.Seal] and before [Receiver.Use] lets one open
// anything. Its name has 16 hexadecimal digits of the pad's checksum in it: a new
// pad begins at its beginning, and an old one that comes back goes on where it was.
// The [Sender] keeps it beside the pad, as PAD.place-DIGITS, and the [Receiver] in
// the daemon's state directory, as pad-DIGITS.
//
// These files are as much part of the pad as its bytes. That one is missing is how
// every pad begins, so it cannot be told from one that was lost: who moves the pad,
// or the daemon, moves them too, and who restores a backup of them makes a new pad.
// One that is there and cannot be read is an error; to begin again would use bytes
// twice.
//
// A pad is for one client. Two that have copies use the same bytes, which is what
// must not be with a one-time pad, and most of their knocks are refused. Give each
// a pad of its own.
//
// # What it cannot do
//
// Knocks get lost. The Receiver therefore tries the next few places as well, and
// what it skips is used up with the one that it takes; but until then whoever held a
// knock back can deliver it. A client whose place is further ahead than that is
// locked out: both ends need a new pad.
//
// Not here: what a payload says (package knock), the ports that the 15 bytes go to,
// and what is done.
package pad

import "errors"

// Lengths in bytes.
const (
	// Length is that of a message.
	Length = payloadLength + tagLength
	// PerKnock is what a knock uses up of a pad.
	PerKnock = payloadLength + keyLength

	payloadLength = 7
	keyLength     = 32
	tagLength     = 8
)

// MaxKnocks is the most knocks that a pad can have: a file of 39 MB, which is also
// what an end takes of memory.
const MaxKnocks = 1_000_000

// MaxLookAhead is the most places that a Receiver tries.
const MaxLookAhead = 1024

const defaultLookAhead = 32

// What is returned as it is, for callers to compare with.
var (
	// ErrUsedUp is a pad all of which a Sender has used: both ends need a new one.
	ErrUsedUp = errors.New("the one-time pad is used up: both ends need a new one")
	// ErrNone is a message that is not of any of the places tried: noise, another
	// pad's, changed, used before, or too far ahead.
	ErrNone = errors.New("not a knock of the next places of the one-time pad")
	// ErrSpent is a place that is behind.
	ErrSpent = errors.New("this place of the one-time pad was used before")
)

// Options of an end.
type Options struct {
	// LookAhead is how many places a Receiver tries, the next among them, so one
	// more than the knocks in a row that may get lost: 1 to [MaxLookAhead]. Zero
	// means 32. What a message that is none costs grows with it. A Sender does not
	// look at it.
	LookAhead int
	// AllowReadable takes a pad even if others than its owner can read or write it.
	// On Windows every pad is taken: a file's mode says nothing there, and its
	// access control list, which it has from its folder, is not looked at.
	AllowReadable bool
}
