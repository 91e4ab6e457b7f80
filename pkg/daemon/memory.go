package daemon

import (
	"slices"

	"github.com/sirupsen/logrus"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/knock"
)

// A memory is what is written down of the knocks of each key: ciphertext blocks, or the place in a one-time pad.
type memory struct {
	blocks []*blocks
	pads   []*padded
}

// openMemory opens what the keys of c need. What old holds already, which may be nil, is taken from there, and has not
// changed if there is an error.
func openMemory(c *config.Daemon, old *memory, log *logrus.Logger) (m *memory, err error) {
	m = new(memory)
	defer func() {
		if err != nil {
			m.close(old)
			m = nil
		}
	}()
	for _, k := range c.Keys {
		switch {
		case k.Pad != "":
			p, err := openPad(c, k, old)
			if err != nil {
				return m, err
			}
			p.warn(log)
			m.pads = append(m.pads, p)
		case isRemembered(k):
			b, err := openBlocks(c, k, old, log)
			if err != nil {
				return m, err
			}
			m.blocks = append(m.blocks, b)
		}
	}
	return m, nil
}

// openPads opens the pads alone, for a replay.
func openPads(c *config.Daemon) (*memory, error) {
	m := new(memory)
	for _, k := range c.Keys {
		if k.Pad == "" {
			continue
		}
		p, err := openPad(c, k, nil)
		if err != nil {
			m.close(nil)
			return nil, err
		}
		m.pads = append(m.pads, p)
	}
	return m, nil
}

// isRemembered tells whether the blocks of a key can be forged with.
func isRemembered(k config.Key) bool {
	return k.Knock.Cipher != knock.CipherRijndael && k.Knock.Cipher != knock.CipherNone
}

// commit puts what openMemory has noted into force.
func (m *memory) commit() {
	for _, b := range m.blocks {
		b.once = b.next
	}
}

// serve gives the keys of p their memory.
func (m *memory) serve(p *pipeline) {
	for _, k := range p.keys {
		for _, pad := range m.pads {
			if pad.path == k.Pad {
				pad.first, k.reader = p.options.Low, pad
			}
		}
		sealed, ok := k.reader.(*sealed)
		if !ok {
			continue
		}
		for _, b := range m.blocks {
			if b.serves(k.Key) && b.book != nil {
				sealed.blocks = b
			}
		}
	}
}

// close closes what next, which may be nil, does not hold too.
func (m *memory) close(next *memory) {
	for _, b := range m.blocks {
		if next == nil || !slices.Contains(next.blocks, b) {
			b.close()
		}
	}
	for _, p := range m.pads {
		if next == nil || !slices.Contains(next.pads, p) {
			p.close()
		}
	}
}
