package daemon

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/lease"
	"github.com/portknock/knock/pkg/trail"
	"github.com/portknock/knock/pkg/ui"
)

// NewLog makes the daemon's own log as c asks for it, on w and wherever c names. Nobody who logs ever waits for those;
// flush, called last, does for a second at most.
func NewLog(c *config.Daemon, w io.Writer) (log *logrus.Logger, flush func()) {
	log = logrus.New()
	queue := newLogWriter(outputOf(c, w), func(lost int) []byte {
		entry := log.WithField("lost", lost)
		entry.Time, entry.Level, entry.Message = time.Now(), logrus.WarnLevel, "lines of this log were lost, it is read too slowly"
		line, _ := log.Formatter.Format(entry) // numbers always have a form
		return line
	})
	log.SetOutput(queue)
	f := &form{
		asText: logrus.TextFormatter{FullTimestamp: true, TimestampFormat: time.RFC3339},
		asJSON: logrus.JSONFormatter{TimestampFormat: time.RFC3339Nano},
	}
	log.SetFormatter(f)
	configureLog(log, c)
	if err := (&logFile{path: c.LogFile}).try(); err != nil {
		log.WithError(err).Warn("LogFile cannot be written")
	}
	if c.Syslog {
		if err := new(syslogWriter).open(); err != nil {
			log.WithError(err).Warn("UseSyslog has no effect")
		}
	}
	return log, queue.close
}

// configureLog makes the form and the level of a log of NewLog's what c asks for.
func configureLog(log *logrus.Logger, c *config.Daemon) {
	log.Formatter.(*form).json.Store(c.Output == config.OutputJSON)
	switch {
	case c.Debug:
		log.SetLevel(logrus.DebugLevel)
	case c.Quiet:
		log.SetLevel(logrus.WarnLevel)
	default:
		log.SetLevel(logrus.InfoLevel)
	}
}

// A form is that of the log's lines, text or JSON, which can change while lines are written.
type form struct {
	json   atomic.Bool
	asText logrus.TextFormatter
	asJSON logrus.JSONFormatter
}

// Format is [logrus.Formatter].
func (f *form) Format(e *logrus.Entry) ([]byte, error) {
	if f.json.Load() {
		return f.asJSON.Format(e)
	}
	return f.asText.Format(e)
}

// reportRule logs a change of a rule.
func (d *Daemon) reportRule(e lease.Event) {
	log := d.sparing(e.Kind).WithField("ip", e.Rule.Src.String())
	what := "ban"
	if e.Rule.Action != firewall.Drop {
		log, what = log.WithField("port", e.Rule.Port), "rule"
	}
	if e.Rule.Proto == firewall.UDP {
		log = log.WithField("proto", "udp")
	}
	if e.Rule.Action == firewall.Forward {
		log = log.WithField("to", e.Rule.To.String())
	}
	if e.By.Who != "" {
		log = log.WithField("who", e.By.Who)
	}
	if e.Err != nil {
		log = log.WithError(e.Err)
	}
	switch e.Kind {
	case lease.Refused:
		if e.Rule.Action != firewall.Drop {
			d.noteFor(e.By.From, e.Rule.Src, trail.Refused, "the journal cannot be written, so nothing is opened", time.Now())
		}
		log.Error(what + " refused: the journal cannot be written")
	case lease.OpenFailed:
		log.Error(what + " not added, will try again")
	case lease.CloseFailed:
		log.Error(what + " not removed, will try again")
	case lease.Left:
		log.Error(what + " left in the firewall")
	case lease.Opened, lease.Refreshed:
		until := "no limit"
		if !e.Until.IsZero() {
			until = e.Until.Format(time.RFC3339)
		}
		log.WithField("until", until).Info(what + " " + e.Kind)
	default:
		log.Info(what + " " + e.Kind)
	}
}

// reportRepair logs what was not in the firewall as it should have been.
func (d *Daemon) reportRepair(c firewall.Changes) {
	d.log.WithFields(logrus.Fields{
		"removed": someOf(c.Removed), "restored": someOf(c.Restored), "unknown": c.Unknown, "chain_made": c.Healed,
	}).Info("firewall put right")
}

// someOf names a few rules, and counts the rest.
func someOf(rules []firewall.Rule) string {
	const few = 8
	var names []string
	for _, r := range rules[:min(few, len(rules))] {
		names = append(names, r.String())
	}
	if len(rules) > few {
		names = append(names, fmt.Sprintf("and %d more", len(rules)-few))
	}
	return strings.Join(names, ", ")
}

// reportNote logs what else the leases and the commands have to tell. Only what comes with an error needs a look.
func (d *Daemon) reportNote(msg string, err error) {
	if err != nil {
		d.log.WithError(err).Warn(msg)
		return
	}
	d.log.Info(msg)
}

// reportRefused logs why the leases did not take a request, if they did not. That the daemon stops is no reason.
func (d *Daemon) reportRefused(err error, msg string, src netip.Addr) {
	if err != nil && !errors.Is(err, lease.ErrStopped) {
		d.sparing("refusals").WithField("src", src).WithError(err).Error(msg)
	}
}

// reportStart logs that from now on knocks are seen, and tells the service manager.
func (d *Daemon) reportStart(source string) {
	d.watched.Store(true)
	d.feed.started(source)
	d.log.WithFields(logrus.Fields{"source": source, "version": ui.Version()}).Info("watching")
	d.alive.Ready("watching " + source)
}

// reportSource gives the logging of what became of a source. Only what comes with an error needs a look.
func (d *Daemon) reportSource(name string) func(msg string, err error) {
	return func(msg string, err error) {
		d.feed.note(name, msg, err)
		log := d.log.WithField("source", name)
		if err != nil {
			log.WithError(err).Warn(msg)
			return
		}
		log.Info(msg)
	}
}

// logCounts says what was seen.
func (d *Daemon) logCounts(level logrus.Level, msg string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tellCounts(level, msg)
}

// tellSeen has -debug tell the counts now and then; d.mu is held.
func (d *Daemon) tellSeen(now time.Time) {
	if d.setup.config.Debug && now.Sub(d.seen.told) > countsEvery {
		d.seen.told = now
		d.tellCounts(logrus.DebugLevel, "seen so far")
	}
}

// countsEvery is how often -debug tells the counts, if something comes.
const countsEvery = 10 * time.Second

// tellCounts is logCounts for who holds d.mu.
func (d *Daemon) tellCounts(level logrus.Level, msg string) {
	s := d.setup.pipeline.tracker.Stats()
	q := d.setup.pipeline.sequenceStats()
	d.log.WithFields(logrus.Fields{
		"lines": d.seen.lines, "packets": d.seen.packets, "old": d.setup.old.count, "banned": d.seen.ignored,
		"knock_syns": s.Queued + s.Failed + s.Knocks, "duplicates": s.Duplicates, "failed": s.Failed, "knocks": s.Knocks,
		"sequence_tries": q.Tries, "sequences": q.Matches,
		"remembered": s.Packets, "overwritten": s.Overwritten,
	}).Log(level, msg)
}
