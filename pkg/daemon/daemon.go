// Package daemon wires the parts of knockdaemon together: it follows the log, finds knocks, decides which to heed, and
// has ports opened and closed. Each part does its work in a package of its own; here is the line that joins them, what
// the operator reads about it, and the replay of a log.
package daemon

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/portknock/knock/pkg/command"
	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/lease"
	"github.com/portknock/knock/pkg/notify"
	"github.com/portknock/knock/pkg/sniff"
	"github.com/portknock/knock/pkg/trail"
	"github.com/portknock/knock/pkg/ui"
)

// A Daemon is a knockdaemon that is ready to run.
type Daemon struct {
	log      *logrus.Logger
	leases   *lease.Manager
	commands *command.Runner
	alive    *notify.Manager
	reads    *notify.Part // goes round with the reading of the log
	works    *notify.Part // and with the work on the firewall
	runs     *notify.Part // and with that on commands

	started time.Time
	trail   *trail.Trail
	feed    feed
	bare    bool        // there is no firewall to work with, and none is needed
	watched atomic.Bool // some source was
	hangups <-chan os.Signal
	load    func() (*config.Daemon, error)

	tellMu sync.Mutex
	spared map[string]*spared // by the kind of line; guarded by tellMu

	// mu guards the fields below. It is held while a line is looked at, so that a reload comes between two lines.
	mu      sync.Mutex
	setup   *setup
	memory  memory
	sniffer *sniff.Sniffer     // what is read from; nil: something else
	rewatch context.CancelFunc // ends the reading of a source that is no longer the one
	seen    seen
}

// New makes a Daemon that writes to log. It starts nothing. It is an error if there is no firewall to work with.
func New(c *config.Daemon, log *logrus.Logger) (*Daemon, error) {
	d := newDaemon(log)
	backend, err := d.newBackend(c)
	if err != nil {
		return nil, err
	}
	return d, d.prepare(c, backend)
}

func newDaemon(log *logrus.Logger) *Daemon {
	d := &Daemon{log: log, rewatch: func() {}, spared: make(map[string]*spared), trail: trail.New(trailSources), started: time.Now()}
	d.alive = notify.New(func(msg string) { log.Warn(msg) })
	d.reads, d.works = d.alive.Part("the reading of the log"), d.alive.Part("the work on the firewall")
	d.runs = d.alive.Part("the work on commands")
	return d
}

func (d *Daemon) newBackend(c *config.Daemon) (firewall.Backend, error) {
	o := firewall.Options{Program: c.Iptables, Chain: c.Chain, Forwards: c.Forwards(), Ran: d.works.Beat, Warn: func(msg string) { d.log.Warn(msg) }}
	if c.Test {
		return firewall.NewDryRun(o, func(command string) {
			d.log.WithField("command", command).Info("would run")
		}), nil
	}
	b, err := firewall.NewIPTables(o)
	switch {
	case errors.Is(err, firewall.ErrNotFound) && !c.OpensPorts():
		d.bare = true
		return firewall.NewDryRun(o, func(string) {}), nil
	case errors.Is(err, firewall.ErrNotFound):
		return nil, ui.Hint(err, "install iptables, or name the program with -iptables")
	case err != nil:
		return nil, err
	}
	return b, nil
}

func (d *Daemon) prepare(c *config.Daemon, backend firewall.Backend) (err error) {
	commands := command.Options{Limit: c.CommandLimit, Keep: c.OnStop == config.OnStopKeep, Report: d.reportCommand, Note: d.reportNote, Beat: d.runs.Beat}
	o := lease.Options{
		Keep:    c.OnStop == config.OnStopKeep,
		NoDrops: c.Chain == firewall.InputChain,
		Report:  d.reportRule, Repaired: d.reportRepair, Note: d.reportNote, Beat: d.works.Beat,
	}
	if !c.Test {
		o.Journal = filepath.Join(c.StateDir, "leases")
		commands.Journal = filepath.Join(c.StateDir, "commands")
	}
	d.commands = command.New(commands)
	d.leases = lease.New(backend, o)
	d.setup, err = d.newSetup(c)
	return err
}

// Run works until ctx ends; then it takes all rules and the jump out of the firewall, unless the configuration wants
// them kept, and returns nil.
func (d *Daemon) Run(ctx context.Context) (err error) {
	c := d.setup.config
	locks, err := takeLocks(c)
	if err != nil {
		return hintAtStart(err)
	}
	defer locks.release()
	if err := d.remember(); err != nil {
		return err
	}
	defer d.forget()
	d.warnOfForwarding()
	if err := d.commands.Start(ctx); err != nil { // first: it leaves the firewall alone
		return err
	}
	if err := d.leases.Start(ctx); err != nil {
		return hintAtStart(err)
	}
	// The leases and commands end with ctx, even if the reading hangs, and with the reading.
	ctx, end := context.WithCancel(ctx)
	ended := make(chan error, 2)
	go func() { ended <- d.leases.Run(ctx) }()
	go func() { ended <- d.commands.Run(ctx) }()
	d.liftBans(c.Guessing)
	d.reads.Beat()
	d.works.Beat()
	d.runs.Beat()
	go d.alive.Run(ctx)
	answered := d.serveOperator(ctx, c)
	var reloads sync.WaitGroup
	reloads.Go(func() { d.serveReloads(ctx) })
	defer func() {
		end()
		reloads.Wait()
		answered()
		d.alive.Stopping()
		err = errors.Join(err, <-ended, <-ended)
		d.logCounts(logrus.InfoLevel, "stopped")
	}()
	if err := locks.announce(); err != nil {
		return err
	}
	return d.watch(ctx)
}

// remember opens the memory of knocks that is written down.
func (d *Daemon) remember() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	m, err := openMemory(d.setup.config, nil, d.log)
	if err != nil {
		return err
	}
	d.memory = m
	m.commit()
	m.serve(d.setup.pipeline)
	return nil
}

// forget closes that memory.
func (d *Daemon) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.memory.close(nil)
}

func hintAtStart(err error) error {
	if errors.As(err, new(*heldError)) {
		return ui.Hint(err, "knockdaemon -status asks it; a second one needs a -state-dir, a -chain and a -pid-file of its own")
	}
	if errors.Is(err, firewall.ErrNotPermitted) || errors.Is(err, fs.ErrPermission) {
		return ui.Hint(err, "run as root, or with the capability CAP_NET_ADMIN and a state-dir of your own")
	}
	return err
}

// warnOfForwarding tells of a kernel that forwards nothing, where knocks are to.
func (d *Daemon) warnOfForwarding() {
	const path = "/proc/sys/net/ipv4/ip_forward"
	if on, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(on)) == "0" && d.setup.config.Forwards() {
		d.log.Warn("knocks are to forward ports, and the kernel forwards nothing: sysctl net.ipv4.ip_forward=1")
	}
}
