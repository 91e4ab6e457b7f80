package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/control"
	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/lease"
	"github.com/portknock/knock/pkg/ui"
)

// Ask asks the daemon that runs with the state directory of c what c wants to know, and writes the answer to w.
func Ask(ctx context.Context, c *config.Daemon, w io.Writer) error {
	path := filepath.Join(c.StateDir, controlName)
	switch q := c.Ask; {
	case q.Status:
		s, err := control.AskStatus(ctx, path)
		return tell(c, w, err, s, func() error { return s.Write(w, time.Now()) })
	case q.Why.IsValid():
		y, err := control.AskWhy(ctx, path, q.Why)
		return tell(c, w, err, y, func() error { return y.Write(w, time.Now()) })
	default:
		closed, err := control.AskClose(ctx, path, q.Close)
		return tell(c, w, err, closed, func() error { return closed.Write(w) })
	}
}

// tell writes an answer, unless there is an error in its place.
func tell(c *config.Daemon, w io.Writer, err error, answer any, asText func() error) error {
	switch {
	case err != nil:
		return err
	case c.Output == config.OutputJSON:
		return control.WriteJSON(w, answer)
	}
	return asText()
}

// controlName is the name of the socket in the state directory at which a daemon can be asked.
const controlName = "control"

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

// operator is who closes what -close names.
var operator = lease.By{Who: "operator"}

// closeEvery is how often it is looked whether what is to be closed is.
const closeEvery = 20 * time.Millisecond

// closeFor closes what is open to an address, and waits until the firewall has heard of it.
func (d *Daemon) closeFor(ctx context.Context, t control.Target) (closed []control.Lease, err error) {
	held := d.heldFor(t)
	for _, l := range held {
		if err := d.leases.Close(l.Rule, operator); err != nil {
			return nil, err
		}
	}
	ticker := time.NewTicker(closeEvery)
	defer ticker.Stop()
	for left := held; ; {
		for len(left) > 0 && d.leases.Gone(left[0].Rule) {
			left = left[1:]
		}
		if len(left) == 0 {
			return leasesOf(held), nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) { // nobody asks by then whether it is tried again
				return nil, errors.New("the daemon has been told to end, and the firewall was not changed yet: the log says what became of it")
			}
			return nil, errors.New("the firewall was not changed yet, which is being tried again: the log says why")
		case <-ticker.C:
		}
	}
}

// heldFor gives what is open to the address of t, at its port if it has one. A ban is not open.
func (d *Daemon) heldFor(t control.Target) (list []lease.Lease) {
	for _, l := range d.leases.Leases() {
		if l.Rule.Action != firewall.Drop && l.Rule.Src == t.Address && (t.Port == 0 || l.Rule.Port == t.Port) {
			list = append(list, l)
		}
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

// feed is how the one source of packets is doing.
type feed struct {
	mu    sync.Mutex // guards state and ended
	state control.Source
	ended bool // the reading has ended with the problem in state, and is begun anew
}

func (f *feed) get() control.Source {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// started notes that a source is read: packets come, unless it has said already why they do not.
func (f *feed) started(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state.Name != name || f.state.Problem == "" || f.ended {
		f.put(name, "")
	}
}

// end notes that a source is no longer read at all.
func (f *feed) end(name, problem string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.put(name, problem)
	f.ended = true
}

// set notes that a source is watched, or why not.
func (f *feed) set(name, problem string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.put(name, problem)
}

// put is set for who holds f.mu.
func (f *feed) put(name, problem string) {
	watching := problem == ""
	if f.state.Name != name || f.state.Watching != watching {
		f.state.Since = time.Now()
	}
	f.state.Name, f.state.Watching, f.state.Problem, f.ended = name, watching, problem, false
}

// note takes up what a source has reported, if it says that packets come, or why not.
func (f *feed) note(name, msg string, err error) {
	for _, end := range []string{"is readable again", "is sniffed now", "is free again"} {
		if strings.HasSuffix(msg, end) {
			f.set(name, "")
		}
	}
	for _, end := range []string{"is not readable", "is not there", "is down", "cannot be sniffed", "is taken"} {
		if strings.HasSuffix(msg, end) {
			f.set(name, fmt.Sprintf("%s: %v", msg, err))
		}
	}
}
