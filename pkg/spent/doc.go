// Package spent remembers, for good, which blocks of ciphertext have been used.
//
// A knock with a header carries its IV in clear, and its whole payload is in one
// block. Whoever has seen one such knock and guesses what it says can change the
// IV so that the same block says anything else: another address, another port.
// Remembering IVs does not stop that. A block that serves only once does: a
// [Book] is the set of the blocks that have served under one key.
//
// Use every sequence's block that the cipher and the checksum accept, before
// anything else is asked about it: a knock that is refused for what it says has
// been seen on its way all the same, and a forgery made of it may say what is
// allowed.
//
// What a Book cannot stop is a forgery that arrives before the knock that it was
// made of, or in its place.
//
// # The file
//
// A book is a text file that only ever grows:
//
//	knock-blocks 1
//	header randomiv
//	block 0123456789abcdef
//
// Its name is "blocks-" and 16 hexadecimal digits that depend on the key alone, so
// a new key begins an empty book, and going back to an old key finds the old one.
// The digits come from 4096 rounds of PBKDF2-HMAC-SHA256. Whoever may list the
// directory can try passphrases against them, as he can against any knock that he
// has recorded, and each try costs him more than it does there.
//
// Each record is on the disk before the knock is heeded, so at most the last one
// can be torn by a crash; it was never acknowledged, and [Open] cuts it off. A
// damaged end of up to a page is taken for that, and [Book.Cut] tells how long it
// was. All other damage is an error: an attacker would like nothing better than
// a book that forgets.
//
// Not here: what a block is and whether it is a good one (package knock), and
// what to do when one comes again.
package spent

import "errors"

// MaxBlocks is the most blocks that a book may be asked to hold. They take some
// 230 MB of disk and 170 MB of memory.
const MaxBlocks = 10_000_000

// What [Book.Use] refuses a block for. Both are returned as they are.
var (
	// ErrSpent is a block that was used before.
	ErrSpent = errors.New("the ciphertext block was used before")
	// ErrFull is a new block for which there is no room. It stays unknown: only
	// a new key helps, since more room would let in what was refused until then.
	ErrFull = errors.New("no room to remember another ciphertext block: a new key is needed")
)

// Options of a Book.
type Options struct {
	// Max is how many blocks the book may hold, 1 to [MaxBlocks]. One that holds
	// more already keeps them, and takes no other.
	Max int
}
