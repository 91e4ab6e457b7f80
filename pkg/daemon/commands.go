package daemon

import (
	"fmt"
	"net/netip"

	"github.com/sirupsen/logrus"

	"github.com/portknock/knock/pkg/command"
)

// job gives the commands that e runs for src, if there are any. Without something to start there is nothing to stop.
func (e *event) job(src netip.Addr) (j command.Job, ok bool) {
	c := e.Commands
	j = command.Job{Name: e.Name, Src: src, Start: c.Start, Stop: c.Stop, Wait: c.Wait}
	if !src.Is4() {
		j.Start, j.Stop = c.Start6, c.Stop6
	}
	return j, !j.Start.IsZero()
}

// saysOf tells what a job does, in words: "run /bin/a 192.0.2.1, after 10s /bin/b".
func saysOf(j command.Job) string {
	if j.Stop.IsZero() {
		return "run " + j.Start.For(j.Src)
	}
	return fmt.Sprintf("run %s, after %s %s", j.Start.For(j.Src), j.Wait, j.Stop.For(j.Src))
}

// run has commands run, or says that they would be.
func (d *Daemon) run(j command.Job) {
	if d.setup.config.Test {
		d.tellCommand(j.Start, j.Src)
		d.tellCommand(j.Stop, j.Src)
		return
	}
	d.reportRefused(d.commands.Do(j), "commands not run", j.Src)
}

func (d *Daemon) tellCommand(c command.Command, src netip.Addr) {
	if !c.IsZero() {
		d.log.WithField("command", c.For(src)).Info("would run")
	}
}

// reportCommand logs what became of a command.
func (d *Daemon) reportCommand(e command.Event) {
	log := d.sparing("commands").WithFields(logrus.Fields{"section": e.Name, "src": e.Src, "command": e.Command})
	if e.Output != "" {
		log = log.WithField("output", e.Output)
	}
	switch e.Kind {
	case command.Started, command.Stopped:
		log.Info("command " + e.Kind)
	default:
		log.WithError(e.Err).Error("command " + e.Kind)
	}
}
