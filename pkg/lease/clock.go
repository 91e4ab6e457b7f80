package lease

import (
	"time"

	"github.com/portknock/knock/pkg/journal"
)

// maxDrift is how far the clocks may part before the wall clock counts as set.
const maxDrift = time.Second

// look reads the clocks, and notices a wall clock that was set: then the ends in
// the firewall and in the journal are wrong, and must be written anew.
func (m *Manager) look() journal.Instant {
	now := m.clock()
	stepped := now.Wall.Sub(m.base.WallAt(now.Boot))
	if stepped.Abs() <= maxDrift {
		return journal.Instant{Wall: m.base.WallAt(now.Boot), Boot: now.Boot}
	}
	m.base = now
	m.unsaved = true
	m.believe(now)
	m.sync.due = now.Boot
	m.note("the clock was set: the ends of open ports were moved with it, by "+stepped.Round(time.Second).String(), nil)
	return now
}

// believe ends what was restored in another boot where the wall clock says, now
// that it was set: until then it may have been too slow for anybody to tell how
// long the machine was off.
func (m *Manager) believe(now journal.Instant) {
	m.update(func() {
		for _, e := range m.entries {
			if !e.until.IsZero() && e.open {
				e.end = max(1, min(e.end, now.Boot+e.until.Sub(now.Wall)))
			}
		}
	})
}
