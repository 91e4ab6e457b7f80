// Package daemon wires the parts of knockdaemon together: it follows the log, finds knocks, decides which to heed, and
// has ports opened and closed. Each part does its work in a package of its own; here is the line that joins them, what
// the operator reads about it, and the replay of a log.
package daemon

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/lease"
	"github.com/portknock/knock/pkg/notify"
	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/source"
	"github.com/portknock/knock/pkg/ui"
)

// A Daemon is a knockdaemon that is ready to run.
type Daemon struct {
	config   *config.Daemon
	log      *logrus.Logger
	decoder  *packet.Decoder
	pipeline *pipeline
	follower *source.Follower
	leases   *lease.Manager
	manager  *notify.Manager
	old      oldLines
	counts   time.Time // when they were last logged

	lines, packets uint64
}

// New makes a Daemon that writes to log. It starts nothing. It is an error if there is no firewall to work with.
func New(c *config.Daemon, log *logrus.Logger) (*Daemon, error) {
	backend, err := newBackend(c, log)
	if err != nil {
		return nil, err
	}
	return newWith(c, log, backend)
}

func newBackend(c *config.Daemon, log *logrus.Logger) (firewall.Backend, error) {
	o := firewall.Options{Program: c.Iptables, Chain: c.Chain}
	if c.Test {
		return firewall.NewDryRun(o, func(command string) {
			log.WithField("command", command).Info("would run")
		}), nil
	}
	b, err := firewall.NewIPTables(o)
	if errors.Is(err, firewall.ErrNotFound) {
		err = ui.Hint(err, "install iptables, or name the program with -iptables")
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

func newWith(c *config.Daemon, log *logrus.Logger, backend firewall.Backend) (*Daemon, error) {
	d := &Daemon{config: c, log: log}
	d.old.limit = c.LineAge
	d.manager = notify.New(func(message string) { log.Warn(message) })
	d.leases = lease.New(backend, lease.Options{Report: d.reportRule})
	d.follower = source.NewFollower(c.Log, source.Options{Report: d.reportSource, Started: d.reportStart})
	var err error
	if d.decoder, err = newDecoder(c, bootTime()); err != nil {
		return nil, err
	}
	d.pipeline, err = newPipeline(c, d.act)
	return d, err
}

// bootTime is the instant that the kernel's own stamps count from.
func bootTime() time.Time {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &up); err != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(up.Nano()))
}

// Run works until ctx ends; then it takes all rules and the jump out of the firewall and returns nil.
func (d *Daemon) Run(ctx context.Context) (err error) {
	locks, err := takeLocks(d.config)
	if err != nil {
		return hintAtRights(err)
	}
	defer locks.release()
	if err := d.leases.Start(ctx); err != nil {
		return hintAtRights(err)
	}
	// The leases end with ctx, even if the reading hangs, and with the reading.
	ctx, end := context.WithCancel(ctx)
	var watchdog sync.WaitGroup
	watchdog.Go(func() { d.manager.Run(ctx) })
	ended := make(chan error, 1)
	go func() { ended <- d.leases.Run(ctx) }()
	defer func() {
		d.manager.Stopping()
		end()
		err = errors.Join(err, <-ended)
		watchdog.Wait()
		d.logCounts(logrus.InfoLevel, "stopped")
	}()
	if err := locks.announce(); err != nil {
		return err
	}
	return d.follower.Run(ctx, d.line)
}

func hintAtRights(err error) error {
	if errors.Is(err, firewall.ErrNotPermitted) || errors.Is(err, fs.ErrPermission) {
		return ui.Hint(err, "run as root, or with the capability CAP_NET_ADMIN and a state-dir of your own")
	}
	return err
}

// line takes a line of the log.
func (d *Daemon) line(line []byte) {
	now := time.Now()
	if d.config.Debug && now.Sub(d.counts) > countsEvery {
		d.counts = now
		d.logCounts(logrus.DebugLevel, "seen so far")
	}
	d.lines++
	pkt, err := d.decoder.Decode(line, now)
	if err != nil {
		return
	}
	d.packets++
	if d.old.is(pkt.At, now) {
		if d.old.tellNow(now) {
			d.log.WithFields(logrus.Fields{"lines": d.old.count, "stamp": pkt.At.Format(time.RFC3339)}).
				Warnf("ignored lines stamped more than %s from now: a log read again, or a clock or time zone that is wrong", d.old.limit)
		}
		return
	}
	d.pipeline.tracker.Observe(pkt, now)
}

// countsEvery is how often -debug tells the counts, if lines come.
const countsEvery = 10 * time.Second

// act does what a knock asked for.
func (d *Daemon) act(k decision) {
	log := d.log.WithFields(logrus.Fields{"src": k.src, "knock": k.payload.String()})
	if k.refusal != "" {
		log.WithField("reason", k.refusal).Warn("knock refused")
		return
	}
	log.Info("knock accepted")
	ctx := context.Background() // a change of the firewall is never left half done
	rule := firewall.Rule{Src: k.payload.IP, Port: uint16(k.payload.Port)}
	var err error
	switch k.payload.Time {
	case knock.Close:
		err = d.leases.Close(ctx, rule)
	case knock.Forever:
		err = d.leases.Open(ctx, rule, time.Time{})
	default:
		err = d.leases.Open(ctx, rule, time.Now().Add(time.Duration(k.payload.Time)*time.Minute))
	}
	if err != nil && !errors.Is(err, lease.ErrStopped) {
		log.WithError(err).Error("knock not carried out")
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
