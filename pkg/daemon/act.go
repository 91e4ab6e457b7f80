package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/lease"
	"github.com/portknock/knock/pkg/trail"
)

// act has done what a knock asked for. It waits for nothing: how it went is reported by those who do it.
func (d *Daemon) act(k decision) {
	log := d.sparing("knocks").WithFields(logrus.Fields{"src": k.src, "knock": k.String()})
	if kind, name := k.who(); name != "" {
		log = log.WithField(kind, name)
	}
	k.tally().count(k.refusal == "", d.setup.pipeline.now)
	if k.refusal != "" {
		d.noteKnock(k, trail.Refused, k.String()+": "+k.refusal)
		log.WithField("reason", k.refusal).Warn("knock refused")
		return
	}
	d.noteKnock(k, trail.Accepted, k.String())
	log.Info("knock accepted")
	if k.event != nil {
		d.actOnEvent(k)
		return
	}
	r := firewall.Rule{Src: k.payload.IP, Port: uint16(k.payload.Port)}
	if to, ok := k.forward(); ok {
		r.Action, r.To = firewall.Forward, to
	}
	var err error
	switch k.payload.Time {
	case knock.Close:
		err = d.leases.Close(r, k.by())
	case knock.Forever:
		err = d.leases.Open(r, 0, k.by())
	default:
		err = d.leases.Open(r, time.Duration(k.payload.Time)*time.Minute, k.by())
	}
	d.reportUndone(err, k)
}

// reportUndone is reportRefused for a knock, and remembers it for who asks why.
func (d *Daemon) reportUndone(err error, k decision) {
	if err != nil {
		d.noteKnock(k, trail.Refused, err.Error())
	}
	d.reportRefused(err, "knock not carried out", k.src)
}

// noteKnock notes what became of a knock, for who asks why.
func (d *Daemon) noteKnock(k decision, kind trail.Kind, text string) {
	d.noteFor(k.src, k.payload.IP, kind, text, d.setup.pipeline.now)
}

// noteFor notes what became of a knock of src, also under the other address that it named, if it did.
func (d *Daemon) noteFor(src, other netip.Addr, kind trail.Kind, text string, now time.Time) {
	d.trail.Note(src, kind, text, now)
	if other != src {
		d.trail.Note(other, kind, fmt.Sprintf("%s (asked for by %s)", text, src), now)
	}
}

// Whoever has seen a sequence can send it from as many forged addresses as he likes: that must leave room for keys.
const maxOfSequences = lease.MaxLeases / 2

var errNoRoom = fmt.Errorf("%d of %d places for open ports and bans are taken: the rest is kept for those with a key", maxOfSequences, lease.MaxLeases)

// actOnEvent has done what a sequence asked for: ports first, which take no time, then commands.
func (d *Daemon) actOnEvent(k decision) {
	for _, p := range k.event.Close {
		d.reportUndone(d.leases.Close(p.Rule(k.src), k.by()), k)
	}
	for _, r := range k.event.opens(k.src, k.port) {
		err := errNoRoom
		if d.leases.Has(r) || d.leases.Held() < maxOfSequences {
			err = d.leases.Open(r, k.event.Time, k.by())
		}
		d.reportUndone(err, k)
	}
	if job, ok := k.event.job(k.src); ok {
		d.run(job)
	}
}

// guessed does what the configuration wants done about a source whose knocks fail again and again. A banned one is not
// an enemy for sure: addresses can be forged, and are shared.
func (d *Daemon) guessed(src netip.Addr) {
	g := d.setup.config.Guessing
	log := d.sparing("guesses").WithFields(logrus.Fields{"src": src, "failures": g.Limit, "within": g.Within.String()})
	switch {
	case g.Action == config.BanReport:
		log.Warn("source guesses knocks")
	case contains(g.Never, src):
		log.Warn("source guesses knocks, and is in never-ban")
	default:
		log.Warn("source guesses knocks, and is banned")
		d.reportRefused(d.leases.Ban(src, g.Ban, g.Action == config.BanDrop), "source not banned", src)
	}
}

// liftBans ends the bans of those that g no longer bans.
func (d *Daemon) liftBans(g config.Guessing) {
	err := d.leases.Unban(func(src netip.Addr) bool { return g.Action == config.BanReport || contains(g.Never, src) })
	if err != nil && !errors.Is(err, lease.ErrStopped) {
		d.log.WithError(err).Error("bans not lifted")
	}
}
