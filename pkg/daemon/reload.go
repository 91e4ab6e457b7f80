package daemon

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/sniff"
)

// ReloadOn has Run put, at each signal, the configuration that load gives in place of the one in force. If there is an
// error, or what it asks for cannot be had, the old one stays and the error is logged. Open ports stay open, whatever the
// new one allows. Call it before Run.
func (d *Daemon) ReloadOn(signals <-chan os.Signal, load func() (*config.Daemon, error)) {
	d.hangups, d.load = signals, load
}

// serveReloads reloads until ctx ends.
func (d *Daemon) serveReloads(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.hangups:
			d.reload()
		}
	}
}

func (d *Daemon) reload() {
	d.alive.Reloading()
	c, err := d.load()
	if err == nil {
		err = d.exchange(c)
	}
	if err != nil {
		d.log.WithError(err).Error("configuration not reloaded: the old one stays in force")
	} else {
		d.log.Info("configuration reloaded")
	}
	d.alive.Ready("watching " + d.config().Source.String())
}

// config is the configuration in force.
func (d *Daemon) config() *config.Daemon {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.setup.config
}

func (d *Daemon) exchange(c *config.Daemon) error {
	if err := allowed(c.Source); err != nil {
		return err
	}
	if d.bare && c.OpensPorts() {
		return errors.New("it opens ports, and there was no iptables at the start: install it, and start anew")
	}
	d.mu.Lock()
	defer d.mu.Unlock() // no packet comes between the reading of a file and what is made of it
	if names := keepFixed(d.setup.config, c); names != nil {
		d.log.WithField("settings", strings.Join(names, ", ")).Warn("these settings change with the next start only")
	}
	next, err := d.newSetup(c)
	if err != nil {
		return err
	}
	if c.Source.Interface != "" {
		if _, err := sniff.New(next.sniffing()); err != nil {
			return err
		}
	}
	memory, err := openMemory(c, d.memory, d.log)
	if err != nil {
		return err
	}
	memory.commit()
	d.memory.close(memory)
	d.memory = memory
	next.succeed(d.setup)
	memory.serve(next.pipeline)
	rewatch := rewatches(d.setup, next)
	d.setup = next
	configureLog(d.log, c)
	for _, w := range c.Warnings {
		d.log.Warn(w)
	}
	if rewatch {
		d.rewatch()
	}
	d.liftBans(c.Guessing)
	return nil
}

// keepFixed puts the settings that only a start can change back to what they are, and names those that were to differ.
func keepFixed(old, c *config.Daemon) (names []string) {
	fixed(&names, "chain", old.Chain, &c.Chain)
	fixed(&names, "command-limit", old.CommandLimit, &c.CommandLimit)
	fixed(&names, "iptables", old.Iptables, &c.Iptables)
	fixed(&names, "LogFile", old.LogFile, &c.LogFile)
	fixed(&names, "UseSyslog", old.Syslog, &c.Syslog)
	fixed(&names, "max-blocks", old.MaxBlocks, &c.MaxBlocks)
	fixed(&names, "metrics", old.Metrics, &c.Metrics)
	fixed(&names, "on-stop", old.OnStop, &c.OnStop)
	fixed(&names, "pad-look-ahead", old.LookAhead, &c.LookAhead)
	fixed(&names, "pid-file", old.PidFile, &c.PidFile)
	fixed(&names, "state-dir", old.StateDir, &c.StateDir)
	fixed(&names, "test", old.Test, &c.Test)
	return names
}

func fixed[T comparable](names *[]string, name string, old T, now *T) {
	if *now != old {
		*names = append(*names, name)
		*now = old
	}
}
