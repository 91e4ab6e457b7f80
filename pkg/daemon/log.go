package daemon

import (
	"io"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/lease"
	"github.com/portknock/knock/pkg/ui"
)

// NewLog makes the daemon's own log as c asks for it. Nobody who logs ever waits for w; flush, called last, does for a
// second at most.
func NewLog(c *config.Daemon, w io.Writer) (log *logrus.Logger, flush func()) {
	log = logrus.New()
	queue := newLogWriter(w, func(lost int) []byte {
		entry := log.WithField("lost", lost)
		entry.Time, entry.Level, entry.Message = time.Now(), logrus.WarnLevel, "lines of this log were lost, it is read too slowly"
		line, _ := log.Formatter.Format(entry) // numbers always have a form
		return line
	})
	log.SetOutput(queue)
	log.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, TimestampFormat: time.RFC3339})
	if c.Output == config.OutputJSON {
		log.SetFormatter(&logrus.JSONFormatter{TimestampFormat: time.RFC3339Nano})
	}
	switch {
	case c.Debug:
		log.SetLevel(logrus.DebugLevel)
	case c.Quiet:
		log.SetLevel(logrus.WarnLevel)
	}
	return log, queue.close
}

// reportRule logs a change of a rule.
func (d *Daemon) reportRule(e lease.Event) {
	log := d.log.WithFields(logrus.Fields{"ip": e.Rule.Src.String(), "port": e.Rule.Port})
	switch e.Kind {
	case lease.Failed:
		log.WithError(e.Err).Error("rule not removed, will try again")
	case lease.Left:
		log.WithError(e.Err).Error("rule left in the firewall")
	case lease.Opened, lease.Refreshed:
		until := "no limit"
		if !e.Until.IsZero() {
			until = e.Until.Format(time.RFC3339)
		}
		log.WithField("until", until).Info("rule " + e.Kind)
	default:
		log.Info("rule " + e.Kind)
	}
}

// reportStart logs that from now on knocks are seen.
func (d *Daemon) reportStart() {
	d.log.WithFields(logrus.Fields{"log": d.config.Log, "version": ui.Version()}).Info("watching")
}

// reportSource logs what became of the log file. Only what comes with an error needs a look.
func (d *Daemon) reportSource(msg string, err error) {
	log := d.log.WithField("log", d.config.Log)
	if err != nil {
		log.WithError(err).Warn(msg)
		return
	}
	log.Info(msg)
}

// logCounts says what was seen.
func (d *Daemon) logCounts(level logrus.Level, msg string) {
	s := d.pipeline.tracker.Stats()
	d.log.WithFields(logrus.Fields{
		"lines": d.lines, "packets": d.packets, "old": d.old.count,
		"knock_syns": s.Queued + s.Failed + s.Knocks, "duplicates": s.Duplicates, "failed": s.Failed, "knocks": s.Knocks,
		"remembered": s.Packets, "overwritten": s.Overwritten,
	}).Log(level, msg)
}
