package daemon

import (
	"bytes"
	"cmp"
	"errors"
	"strings"

	"github.com/sirupsen/logrus"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/spent"
)

// blocks remembers the ciphertext blocks of one key's knocks, and judges those that come again. With a prepended IV, a
// block that comes again under another IV is how a stranger forges a knock. With a fixed one it is the same knock again,
// which is as it should be; those blocks are remembered for the day that the header is changed.
type blocks struct {
	book *spent.Book // nil: nothing is written down
	key  []byte
	max  int
	once bool // a block opens only once
	next bool // what once is to be
	log  *logrus.Logger
	told bool // that a block of a fixed IV could not be remembered
}

// openBlocks opens the book of a key, or takes it from old. A daemon that only says what it would do
// leaves the state alone. What its header asks for is noted, and in force once memory.commit has been called.
func openBlocks(c *config.Daemon, k config.Key, old memory, log *logrus.Logger) (*blocks, error) {
	for _, one := range old {
		if b := one.blocks; b != nil && b.serves(k) {
			return b, b.setHeader(k.Knock.Header)
		}
	}
	b := &blocks{key: k.Knock.Passphrase, max: c.MaxBlocks, log: log}
	if !c.Test {
		var err error
		if b.book, err = spent.Open(c.StateDir, string(b.key), spent.Options{Max: b.max}); err != nil {
			return nil, err
		}
		b.tellState()
	}
	if err := b.setHeader(k.Knock.Header); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// setHeader notes how the key is to be used, and tells of other uses it has had.
func (b *blocks) setHeader(h knock.Header) error {
	b.next = h == knock.HeaderRandomIV
	if b.book == nil {
		return nil
	}
	others, err := b.book.Mark(cmp.Or(string(h), string(knock.HeaderNone)))
	if err != nil {
		return err // the old header stays in force
	}
	if len(others) > 0 {
		b.log.WithFields(logrus.Fields{"header": h, "before": strings.Join(others, ", ")}).
			Warn("this key was used with another header: what was recorded then helps to forge knocks now, change the key")
	}
	return nil
}

// tellState warns of a book that has lost something, and of one that is nearly full.
func (b *blocks) tellState() {
	const oneRecord = 23 // bytes: less than that is what a crash tears
	if n := b.book.Cut(); n >= oneRecord {
		b.log.WithField("bytes", n).Warn("the disk has lost the end of the remembered knocks: change the key, if it is used with header = randomiv")
	}
	if n := b.book.Len(); n >= b.max/10*9 {
		b.log.WithFields(logrus.Fields{"remembered": n, "max-blocks": b.max}).Warn("soon no more knocks can be remembered under this key: make a new one")
	}
}

// serves tells whether b is the memory of k.
func (b *blocks) serves(k config.Key) bool {
	return k.Pad == "" && bytes.Equal(b.key, k.Knock.Passphrase)
}

// refusal records a block that decoded, and says why it must not be heeded, or nothing.
func (b *blocks) refusal(block [8]byte) string {
	err := b.book.Use(block)
	switch {
	case err == nil:
		return ""
	case !b.once:
		b.tell(err)
		return ""
	case errors.Is(err, spent.ErrSpent):
		return refusedSpent
	case errors.Is(err, spent.ErrFull):
		return "no more knocks can be remembered under this key (max-blocks): both ends need a new one"
	default:
		return "it cannot be remembered: " + err.Error()
	}
}

// tell tells once that blocks of a fixed IV are not remembered.
func (b *blocks) tell(err error) {
	if b.told || errors.Is(err, spent.ErrSpent) {
		return
	}
	b.told = true
	b.log.WithError(err).Warn("knocks cannot be remembered: never use this key with header = randomiv")
}

func (b *blocks) close() {
	if b.book == nil {
		return
	}
	if err := b.book.Close(); err != nil && b.once {
		b.log.WithError(err).Error("knocks that were refused could not be remembered: change the key")
	}
}

// seenBlocks is the memory of a daemon that writes nothing down.
type seenBlocks map[[8]byte]bool

func (s seenBlocks) refusal(block [8]byte) string {
	if s == nil {
		return ""
	}
	switch {
	case s[block]:
		return refusedSpent
	case len(s) >= maxSeen:
		return "no more knocks can be remembered"
	}
	s[block] = true
	return ""
}

// newSeenBlocks gives a memory for knocks with an IV of their own; others may come again.
func newSeenBlocks(h knock.Header) seenBlocks {
	if h != knock.HeaderRandomIV {
		return nil
	}
	return make(seenBlocks)
}

const maxSeen = 1_000_000 // blocks

const refusedSpent = "its ciphertext was used before: a replay or a forgery"
