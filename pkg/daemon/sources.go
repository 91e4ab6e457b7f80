package daemon

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/nflog"
	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/sniff"
	"github.com/portknock/knock/pkg/source"
	"github.com/portknock/knock/pkg/ui"
)

// watch takes packets from the source that the configuration names until ctx ends, and from another one when a reload
// names it. Only what keeps the first from being watched at all is an error; later it is tried again until it works, for
// a daemon that ends takes the open ports with it.
func (d *Daemon) watch(ctx context.Context) error {
	var failed time.Duration // how long was waited after it failed last
	for ctx.Err() == nil {
		d.mu.Lock()
		run, err := d.open(d.setup)
		watching, stop := context.WithCancel(ctx)
		d.rewatch = stop
		d.mu.Unlock()
		began := time.Now()
		if err == nil {
			err = run(watching)
		}
		if err == nil || time.Since(began) > maxWatchDelay {
			failed = 0 // it had worked
		}
		if err = hintAtSource(d.config().Source, err); err != nil && !d.watched.Load() {
			stop()
			return err
		}
		if err != nil {
			d.feed.end(d.config().Source.String(), err.Error())
			failed = min(max(time.Second, 2*failed), maxWatchDelay)
			d.log.WithError(err).WithField("source", d.config().Source.String()).Error("nothing is watched, will try again")
			d.idle(watching, failed)
		}
		stop()
	}
	return nil
}

// maxWatchDelay is the longest time until a source that has failed is tried again.
const maxWatchDelay = 30 * time.Second

// idle waits, and shows that it does so on purpose.
func (d *Daemon) idle(ctx context.Context, wait time.Duration) {
	for end := time.Now().Add(wait); time.Now().Before(end); {
		d.reads.Beat()
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(time.Second, time.Until(end))):
		}
	}
}

// allowed tells why packets cannot be taken from a source, if it is for want of a right.
func allowed(from config.Source) error {
	switch {
	case from.Interface != "":
		return hintAtSource(from, sniff.Allowed())
	case from.Kmsg:
		return hintAtSource(from, source.NewKmsg(source.Options{}).Allowed())
	}
	return nil
}

// hintAtSource says what the reading of a source takes, if that is what lacks.
func hintAtSource(from config.Source, err error) error {
	if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EAFNOSUPPORT) { // which the unit answers
		return err
	}
	switch {
	case from.Interface != "":
		return ui.Hint(err, "run as root, or with the capability CAP_NET_RAW (examples/knockdaemon-interface.conf)")
	case from.NFLOG:
		return ui.Hint(err, "run as root, or with the capability CAP_NET_ADMIN")
	case from.Kmsg:
		return ui.Hint(err, "run as root, or with the capability CAP_SYSLOG (examples/knockdaemon-kmsg.conf)")
	}
	return err
}

// open makes what takes packets from the source of s. Lines go to d.line, packets that come as such to d.packet.
func (d *Daemon) open(s *setup) (run func(context.Context) error, err error) {
	from := s.config.Source
	report, started, looked := d.reportSource(from.String()), func() { d.reportStart(from.String()) }, d.reads.Beat
	d.sniffer = nil
	lines := source.Options{Report: report, Started: started, Looked: looked}
	switch {
	case from.Interface != "":
		o := s.sniffing()
		o.Report, o.Started, o.Looked = report, started, looked
		l, err := sniff.New(o)
		d.sniffer = l
		return func(ctx context.Context) error { return l.Run(ctx, d.packet) }, err
	case from.NFLOG:
		l := nflog.New(nflog.Options{Group: from.Group, Report: report, Started: started, Looked: looked})
		return func(ctx context.Context) error { return l.Run(ctx, d.packet) }, nil
	case from.Kmsg:
		return func(ctx context.Context) error { return source.NewKmsg(lines).Run(ctx, d.line) }, nil
	}
	return func(ctx context.Context) error { return source.NewFollower(from.Log, lines).Run(ctx, d.line) }, nil
}

// sniffing says what an interface is to give.
func (s *setup) sniffing() sniff.Options {
	return sniff.Options{Interface: s.config.Source.Interface, Wants: s.pipeline.wants(), Targets: s.pipeline.foreign}
}

// wants says which packets some knock is made of: SYNs to the ports of sealed knocks, and what the sequences need.
func (p *pipeline) wants() (wants []sniff.Want) {
	if len(p.keys) > 0 {
		wants = append(wants, sniff.Want{
			Proto: packet.TCP, Low: p.options.Low, High: p.options.High,
			Set: packet.SYN, Mask: packet.FIN | packet.SYN | packet.RST | packet.PSH | packet.ACK | packet.URG,
		})
	}
	if p.sequences == nil {
		return wants
	}
	for _, port := range p.sequences.Ports() {
		wants = append(wants, sniff.Want{Proto: port.Proto, Low: port.Port, High: port.Port, Set: port.Set, Mask: port.Mask})
	}
	return wants
}

// moved has the interface give the packets that knocks are made of now, when those of e are others. It is called while a
// packet is looked at.
func (d *Daemon) moved(e *event) {
	d.tellUsedUp(e)
	if d.sniffer == nil {
		return
	}
	if err := d.sniffer.SetWants(d.setup.pipeline.wants()); err != nil {
		d.log.WithError(err).Error("packets of the next sequence are not seen")
	}
}

// tellUsedUp warns of an event that nobody can knock for any more.
func (d *Daemon) tellUsedUp(e *event) {
	if e.once != nil && e.once.Left() == 0 {
		d.log.WithFields(logrus.Fields{"section": e.Name, "file": e.OneTime}).Warn("all sequences are used up: write new ones and reload")
	}
}

// line takes a line of a log.
func (d *Daemon) line(line []byte) {
	now := time.Now()
	d.reads.Beat()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tellSeen(now)
	d.seen.lines++
	d.setup.takeLine(line, now, &d.seen)
}

// packet takes a packet from an interface or the firewall.
func (d *Daemon) packet(pkt packet.Packet) {
	now := time.Now()
	d.reads.Beat()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tellSeen(now)
	d.setup.take(pkt, now, &d.seen)
}

// rewatches tells whether b needs packets from elsewhere, or others, than a.
func rewatches(a, b *setup) bool {
	return a.config.Source != b.config.Source ||
		b.config.Source.Interface != "" && !(slices.Equal(a.pipeline.wants(), b.pipeline.wants()) && slices.Equal(a.pipeline.foreign, b.pipeline.foreign))
}
