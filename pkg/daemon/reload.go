package daemon

import (
	"os"
	"strings"

	"github.com/portknock/knock/pkg/config"
)

// ReloadOn puts, at each signal, the configuration that load gives in place of the one in force. If there is an error,
// or what it asks for cannot be had, the old one stays and the error is logged. Open ports stay open, whatever the new
// one allows.
func (d *Daemon) ReloadOn(signals <-chan os.Signal, load func() (*config.Daemon, error)) {
	for range signals {
		d.reload(load)
	}
}

func (d *Daemon) reload(load func() (*config.Daemon, error)) {
	if !d.hasStarted() {
		return // it has just read the configuration
	}
	d.alive.Reloading()
	defer d.alive.Ready("watching")
	c, err := load()
	if err == nil {
		err = d.exchange(c)
	}
	if err != nil {
		d.log.WithError(err).Error("configuration not reloaded: the old one stays in force")
		return
	}
	d.log.Info("configuration reloaded")
}

func (d *Daemon) hasStarted() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.blocks != nil
}

func (d *Daemon) exchange(c *config.Daemon) error {
	next, err := d.newSetup(c)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.setup.config
	if names := needRestart(old, c); names != nil {
		d.log.WithField("settings", strings.Join(names, ", ")).Warn("these settings change with the next start only")
	}
	c.StateDir, c.Test = old.StateDir, old.Test
	if err := d.exchangeBlocks(c); err != nil {
		return err
	}
	next.pipeline.succeed(d.setup.pipeline)
	d.remember(next)
	d.setup = next
	configureLog(d.log, c)
	if c.Log != old.Log {
		d.refollow()
	}
	return nil
}

// exchangeBlocks opens the book of a new key in place of the old key's.
func (d *Daemon) exchangeBlocks(c *config.Daemon) error {
	if d.blocks.serves(c) {
		return d.blocks.setHeader(c.Knock.Header)
	}
	next, err := openBlocks(c, d.log)
	if err != nil {
		return err
	}
	d.blocks.close()
	d.blocks = next
	return nil
}

// needRestart names the settings that differ and that only a start can change.
func needRestart(old, c *config.Daemon) (names []string) {
	for _, s := range []struct {
		name    string
		changed bool
	}{
		{"chain", old.Chain != c.Chain},
		{"iptables", old.Iptables != c.Iptables},
		{"on-stop", old.OnStop != c.OnStop},
		{"pid-file", old.PidFile != c.PidFile},
		{"state-dir", old.StateDir != c.StateDir},
		{"test", old.Test != c.Test},
	} {
		if s.changed {
			names = append(names, s.name)
		}
	}
	return names
}
