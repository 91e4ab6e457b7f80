package daemon

import (
	"fmt"
	"slices"

	"github.com/sirupsen/logrus"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/knock"
)

// A memory is what is written down of the knocks of each key, in the order of the keys.
type memory []kept

// kept is what is written down of the knocks of one key: ciphertext blocks, or the place in a one-time pad, or nothing.
type kept struct {
	blocks *blocks
	pad    *padded
}

// openMemory opens what the keys of c need. What old holds already is taken from there, and has not changed if there is
// an error.
func openMemory(c *config.Daemon, old memory, log *logrus.Logger) (m memory, err error) {
	defer func() {
		if err != nil {
			m.close(old)
			m = nil
		}
	}()
	for _, k := range c.Keys {
		var one kept
		switch {
		case k.Pad != "":
			one.pad, err = m.openPad(c, k, old, log)
		case isRemembered(k) && c.Replay == "":
			one.blocks, err = openBlocks(c, k, old, log)
		}
		if err != nil && k.Name != "" {
			err = fmt.Errorf("[key %s]: %w", k.Name, err)
		}
		if err != nil {
			return m, err
		}
		m = append(m, one)
	}
	return m, nil
}

// isRemembered tells whether the blocks of a key can be forged with.
func isRemembered(k config.Key) bool {
	return k.Knock.Cipher != knock.CipherRijndael && k.Knock.Cipher != knock.CipherNone
}

// commit puts what openMemory has noted into force, and tells of what will not do for long.
func (m memory) commit() {
	for _, one := range m {
		if one.blocks != nil {
			one.blocks.once = one.blocks.next
		}
		if one.pad != nil {
			one.pad.warn()
		}
	}
}

// serve gives the keys of p their memory.
func (m memory) serve(p *pipeline) {
	for i, k := range p.keys {
		if pad := m[i].pad; pad != nil {
			pad.key, pad.first, k.reader = k.Name, p.options.Low, pad
		}
		if b := m[i].blocks; b != nil && b.book != nil {
			k.reader.(*sealed).blocks = b
		}
	}
}

// close closes what next does not hold too.
func (m memory) close(next memory) {
	for _, one := range m {
		if one.blocks != nil && !slices.ContainsFunc(next, func(k kept) bool { return k.blocks == one.blocks }) {
			one.blocks.close()
		}
		if one.pad != nil && !slices.ContainsFunc(next, func(k kept) bool { return k.pad == one.pad }) {
			one.pad.close()
		}
	}
}
