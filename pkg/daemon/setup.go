package daemon

import (
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/guess"
	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/tracker"
	"github.com/portknock/knock/pkg/trail"
)

// A setup is what a configuration makes of the daemon. A reload puts another one in its place.
type setup struct {
	config   *config.Daemon
	decoder  *packet.Decoder
	pipeline *pipeline
	guesses  *guess.Counter
	old      oldLines
	booted   time.Time // when the decoder was told last when that was
	trail    *trail.Trail

	log     *logrus.Logger
	ignored func(src netip.Addr) bool // is it banned?
	guessed func(src netip.Addr)      // it fails again and again
}

// seen counts what the daemon has seen.
type seen struct {
	told                    time.Time // when -debug told it last
	lines, packets, ignored uint64
}

func (d *Daemon) newSetup(c *config.Daemon) (*setup, error) {
	s := &setup{config: c, log: d.log, trail: d.trail, ignored: d.leases.Ignored, guessed: d.guessed}
	s.old.limit = c.LineAge
	if c.Source.Interface != "" || c.Source.NFLOG { // they show what the firewall drops
		s.ignored = d.leases.Banned
	}
	s.guesses = guess.New(guess.Options{Limit: c.Guessing.Limit, Within: c.Guessing.Within})
	var err error
	if s.decoder, err = newDecoder(c, bootTime()); err != nil {
		return nil, err
	}
	if s.pipeline, err = newPipeline(c, d.act); err != nil {
		return nil, err
	}
	s.pipeline.moved = d.moved
	for _, e := range s.pipeline.events {
		d.tellUsedUp(e)
	}
	return s, nil
}

// bootTime is the instant that the kernel's own stamps count from.
func bootTime() time.Time {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &up); err != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(up.Nano()))
}

// succeed goes on where the setup of old was.
func (s *setup) succeed(old *setup) {
	s.pipeline.succeed(old.pipeline)
	s.old.count, s.old.told = old.old.count, old.old.told
	if a, b := s.config.Guessing, old.config.Guessing; a.Limit == b.Limit && a.Within == b.Within {
		s.guesses = old.guesses
	}
}

// takeLine looks at a line of a log.
func (s *setup) takeLine(line []byte, now time.Time, seen *seen) {
	if now.Sub(s.booted).Abs() > time.Second { // the wall clock may have been set, or the machine have slept
		s.booted = now
		s.decoder.SetBoot(bootTime())
	}
	pkt, err := s.decoder.Decode(line, now)
	if err != nil {
		s.suspect(line, now)
		return
	}
	// The kernel's own log is read from its end, and by a clock that is nobody else's.
	if !s.config.Source.Kmsg && s.old.is(pkt.At, now) {
		seen.packets++
		s.trail.Note(pkt.Src, trail.Old, "stamped "+pkt.At.Format(time.RFC3339), now)
		if s.old.tellNow(now) {
			s.log.WithFields(logrus.Fields{"lines": s.old.count, "stamp": pkt.At.Format(time.RFC3339)}).
				Warnf("ignored lines stamped more than %s from now: a log read again, or a clock or time zone that is wrong", s.old.limit)
		}
		return
	}
	s.take(pkt, now, seen)
}

// take looks at a packet.
func (s *setup) take(pkt packet.Packet, now time.Time, seen *seen) {
	seen.packets++
	if s.ignored(pkt.Src) {
		seen.ignored++
		s.trail.Note(pkt.Src, trail.Ignored, "", now)
		return
	}
	switch s.pipeline.observe(pkt, now) {
	case tracker.Duplicate:
		s.trail.Note(pkt.Src, trail.Copy, "", now)
	case tracker.Failed:
		if s.guesses.Failed(pkt.Src, now) {
			s.guessed(pkt.Src)
		}
	}
}

// oldLines tells lines that are read again from those just written.
type oldLines struct {
	limit time.Duration
	count uint64
	told  time.Time
}

// is tells whether a line stamped at is old, and counts it. A line without a stamp cannot be told to be old.
func (o *oldLines) is(at, now time.Time) bool {
	if at.IsZero() || now.Sub(at).Abs() <= o.limit {
		return false
	}
	o.count++
	return true
}

// tellNow says whether it is time to tell the operator: at the first one, and then every ten minutes at most.
func (o *oldLines) tellNow(now time.Time) bool {
	if !o.told.IsZero() && now.Sub(o.told) < 10*time.Minute {
		return false
	}
	o.told = now
	return true
}
