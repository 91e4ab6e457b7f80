package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/control"
	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/lease"
	"github.com/portknock/knock/pkg/ui"
)

// serveOperator answers those who ask, until ctx ends. That nobody can ask keeps no daemon from its work.
func (d *Daemon) serveOperator(ctx context.Context, c *config.Daemon) (wait func()) {
	var all sync.WaitGroup
	if !c.Test { // which leaves the state directory alone
		l, err := control.Listen(filepath.Join(c.StateDir, controlName))
		if err != nil {
			d.log.WithError(err).Warn("this daemon cannot be asked for its status")
		} else {
			answers := control.Answers{Status: d.status, Why: d.why, Close: d.closeFor}
			all.Go(func() { d.reportServing(control.Serve(ctx, l, answers)) })
		}
	}
	if c.Metrics != "" {
		l, err := control.ListenMetrics(c.Metrics)
		if err != nil {
			if errors.Is(err, unix.EAFNOSUPPORT) { // which the unit answers
				err = fmt.Errorf("%w (under the unit an address takes examples/knockdaemon-metrics.conf)", err)
			}
			d.log.WithError(err).Error("there are no metrics")
		} else {
			all.Go(func() { d.reportServing(control.ServeMetrics(ctx, l, d.status)) })
		}
	}
	return all.Wait
}

func (d *Daemon) reportServing(err error) {
	if err != nil {
		d.log.WithError(err).Error("nobody is answered any more")
	}
}

// status tells how the daemon is.
func (d *Daemon) status() control.Status {
	return control.Status{
		Version: ui.Version(), Process: os.Getpid(), Started: d.started,
		Sources: []control.Source{d.feed.get()}, Leases: leasesOf(d.leases.Leases()),
		Keys: d.tallies(), Counters: d.counters(),
	}
}

// leasesOf gives leases as an operator reads of them.
func leasesOf(all []lease.Lease) (list []control.Lease) {
	for _, l := range all {
		one := control.Lease{
			Address: l.Rule.Src, Port: l.Rule.Port, Proto: "tcp", Action: control.Open,
			By: l.By.Who, From: l.By.From, Waiting: l.Waiting, Closing: l.Closing,
		}
		switch {
		case l.Rule.Action == firewall.Drop:
			one.Action, one.Proto = control.Ban, ""
		case l.Rule.Action == firewall.Forward:
			one.Action, one.To = control.Forward, l.Rule.To.String()
		}
		if l.Rule.Proto == firewall.UDP {
			one.Proto = "udp"
		}
		if !l.Until.IsZero() {
			one.Until = &l.Until
		}
		list = append(list, one)
	}
	return list
}

// counters gives what was seen and done so far.
func (d *Daemon) counters() []control.Counter {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, q := d.setup.pipeline.tracker.Stats(), d.setup.pipeline.sequenceStats()
	return []control.Counter{
		{Name: "lines", Help: "Lines read from the log.", Value: float64(d.seen.lines)},
		{Name: "packets", Help: "Packets seen.", Value: float64(d.seen.packets)},
		{Name: "old_lines", Help: "Lines ignored since their stamp is too far from the time they came.", Value: float64(d.setup.old.count)},
		{Name: "banned_packets", Help: "Packets ignored since their source is banned.", Value: float64(d.seen.ignored)},
		{Name: "knock_syns", Help: "SYNs to knock ports.", Value: float64(s.Queued + s.Failed + s.Knocks)},
		{Name: "duplicates", Help: "SYNs seen before: sent again, or logged twice.", Value: float64(s.Duplicates)},
		{Name: "failed_windows", Help: "SYNs that ended enough of them for a knock, and none.", Value: float64(s.Failed)},
		{Name: "knocks", Help: "Encrypted knocks heeded.", Value: float64(s.Knocks)},
		{Name: "sequence_tries", Help: "Packets to ports of sequences.", Value: float64(q.Tries)},
		{Name: "sequences", Help: "Sequences completed.", Value: float64(q.Matches)},
		{Name: "overwritten", Help: "SYNs forgotten for want of room while they counted.", Value: float64(s.Overwritten)},
		{Name: "remembered", Help: "SYNs remembered now.", Value: float64(s.Packets), Gauge: true},
	}
}
