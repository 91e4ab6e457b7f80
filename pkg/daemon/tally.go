package daemon

import (
	"time"

	"github.com/portknock/knock/pkg/control"
)

// A tally counts the knocks of one key or section. It is guarded by the daemon's mu.
type tally struct {
	accepted, refused uint64
	last              time.Time // that one was accepted
}

func (t *tally) count(accepted bool, now time.Time) {
	if !accepted {
		t.refused++
		return
	}
	t.accepted++
	t.last = now
}

// tell gives what an operator reads of t.
func (t *tally) tell(name string) control.Key {
	k := control.Key{Name: name, Accepted: t.accepted, Refused: t.refused}
	if last := t.last; !last.IsZero() {
		k.Last = &last
	}
	return k
}

// tallies tells of all keys and sections.
func (d *Daemon) tallies() (list []control.Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range d.setup.pipeline.keys {
		one := k.tally.tell(k.title())
		if pad, ok := k.reader.(*padded); ok {
			left := pad.receiver.Left()
			one.Left = &left
		}
		list = append(list, one)
	}
	for _, e := range d.setup.pipeline.events {
		one := e.tally.tell(e.title())
		if e.once != nil {
			left := e.once.Left()
			one.Left = &left
		}
		list = append(list, one)
	}
	return list
}

// succeedTallies lets p go on counting where old was.
func (p *pipeline) succeedTallies(old *pipeline) {
	before := map[string]*tally{}
	for _, k := range old.keys {
		before[k.title()] = k.tally
	}
	for _, e := range old.events {
		before[e.title()] = e.tally
	}
	for _, k := range p.keys {
		if t := before[k.title()]; t != nil {
			k.tally = t
		}
	}
	for _, e := range p.events {
		if t := before[e.title()]; t != nil {
			e.tally = t
		}
	}
}
