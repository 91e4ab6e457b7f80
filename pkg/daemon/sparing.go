package daemon

import (
	"io"
	"time"

	"github.com/sirupsen/logrus"
)

// What a stranger can make happen as often as he likes is logged sparingly: so many lines of a kind a minute, and how
// many there would have been.
const (
	spareAfter = 30
	spareFor   = time.Minute
)

// spared is how one kind of line is doing.
type spared struct {
	from  time.Time // when its minute began
	told  int       // lines of this minute
	count int       // lines that were not written since the last one that was
}

// take tells whether a line may be written at now, and how many were not since the last one.
func (s *spared) take(now time.Time) (ok bool, missing int) {
	if now.Sub(s.from) >= spareFor {
		s.from, s.told = now, 0
	}
	if s.told >= spareAfter {
		s.count++
		return false, 0
	}
	s.told++
	missing, s.count = s.count, 0
	return true, missing
}

// nowhere takes the lines that are not written.
var nowhere = &logrus.Logger{Out: io.Discard, Formatter: new(logrus.TextFormatter), Level: logrus.PanicLevel}

// sparing gives the log for one more line of a kind.
func (d *Daemon) sparing(kind string) *logrus.Entry {
	d.tellMu.Lock()
	defer d.tellMu.Unlock()
	s := d.spared[kind]
	if s == nil {
		s = new(spared)
		d.spared[kind] = s
	}
	ok, missing := s.take(time.Now())
	if !ok {
		return logrus.NewEntry(nowhere)
	}
	if missing > 0 {
		return d.log.WithField("not_logged_before", missing)
	}
	return logrus.NewEntry(d.log)
}
