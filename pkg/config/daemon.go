//go:build linux

package config

import (
	"net/netip"
	"slices"
	"time"

	"github.com/portknock/knock/pkg/control"
	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/packet"
)

// A Daemon holds the settings of knockdaemon, complete and checked.
type Daemon struct {
	Source       Source
	Replay       string // the log to replay in its place, - for standard input
	Lines        packet.Options
	LineAge      time.Duration // how far a line's stamp may be from now
	Keys         []Key         // the first matching one counts
	Events       []Event
	LookAhead    int // knocks of a one-time pad in a row of which one must arrive
	QueueTimeout time.Duration
	MaxPackets   int
	CommandLimit time.Duration // how long a command may run
	Iptables     string        // a program's name or path
	Chain        string
	StateDir     string
	OnStop       OnStop
	MaxBlocks    int // ciphertext blocks remembered
	Guessing     Guessing
	PidFile      string // empty: none
	Output       string // OutputText or OutputJSON
	Syslog       bool   // the daemon's own log goes there too
	LogFile      string // and there, if not empty
	Test         bool
	Check        bool // look at the machine and leave
	Ask          Ask
	Keygen       Keygen
	Metrics      string // where they are served; empty: nowhere
	Debug        bool
	Quiet        bool

	Warnings []string // for the operator, one line each

	choice choice
	top    Key // what the settings outside of any section say
	knockd knockd
}

// Values of Daemon.Output.
const (
	OutputText = "text"
	OutputJSON = "json"
)

// OnStop says what becomes of the rules when the daemon is told to end.
type OnStop string

// Values of OnStop.
const (
	OnStopRemove OnStop = "remove"
	OnStopKeep   OnStop = "keep"
)

// Guessing says whose knocks are guesses, and what is done about them.
type Guessing struct {
	Limit  int           // windows that fail
	Within time.Duration // of this time
	Action BanAction
	Ban    time.Duration  // how long a ban lasts
	Never  []netip.Prefix // networks that are never banned
}

// BanAction says what a source that guesses gets.
type BanAction string

// Values of BanAction.
const (
	BanReport BanAction = "report" // nothing: it is reported
	BanIgnore BanAction = "ignore" // the daemon looks away
	BanDrop   BanAction = "drop"   // the firewall drops its new connections
)

func newDaemon() *Daemon {
	return &Daemon{
		Lines:        packet.Options{Prefix: "DENY ", Head: packet.HeadSyslog},
		LineAge:      time.Minute,
		LookAhead:    32,
		CommandLimit: time.Hour,
		QueueTimeout: time.Minute,
		MaxPackets:   1 << 20,
		Iptables:     firewall.DefaultProgram,
		Chain:        firewall.DefaultChain,
		StateDir:     "/var/lib/knockdaemon",
		OnStop:       OnStopRemove,
		MaxBlocks:    1_000_000,
		Guessing:     Guessing{Limit: 1000, Within: 10 * time.Minute, Action: BanReport, Ban: time.Hour},
		Output:       OutputText,

		top: Key{Knock: knock.Options{Header: knock.HeaderNone}},
	}
}

// DaemonSettings lists the settings of knockdaemon.
func DaemonSettings() []Setting { return newDaemon().settings() }

func (d *Daemon) settings() []Setting {
	all := append([]Setting{confSetting("/etc/knockdaemon.conf, if it is there; knockd's will do")}, d.choice.settings()...)
	all = append(all, []Setting{
		setting("log-prefix", "the firewall's log `PREFIX`; may be empty (default: DENY)", text(&d.Lines.Prefix)),
		pick("log-head",
			"the `HEAD` that each line begins with: syslog, dmesg or ulogd (default: syslog)",
			&d.Lines.Head, packet.HeadSyslog, packet.HeadDmesg, packet.HeadUlogd),
		setting("log-regexp",
			"a regular `EXPRESSION` for any other log, with groups named src and dpt, perhaps spt and proto",
			d.setRegexp),
		setting("line-age",
			"ignore lines stamped more than this many `SECONDS` from now (default: 60)",
			duration(&d.LineAge, time.Second, "seconds", 1, 86400)),
	}...)
	all = append(all, d.top.settings()...)
	all = append(all, []Setting{
		setting("pad-look-ahead",
			"of how many `KNOCKS` of a one-time pad in a row one must arrive (default: 32)",
			integer(&d.LookAhead, "knocks", 1, 1024)),
		setting("command-limit",
			"kill a command of a section after this many `SECONDS` (default: 3600)",
			duration(&d.CommandLimit, time.Second, "seconds", 1, 7*86400)),
		setting("queue-timeout",
			"forget an unfinished knock after this many `SECONDS` (default: 60)",
			duration(&d.QueueTimeout, time.Second, "seconds", 1, 3600)),
		setting("max-packets",
			"remember the last `NUMBER` of SYNs to the knock ports, of all sources (default: 1048576)",
			integer(&d.MaxPackets, "packets", 1024, 1<<22)),
		setting("guess-limit",
			"report a source after this `NUMBER` of failed guesses within guess-time (default: 1000)",
			integer(&d.Guessing.Limit, "failed guesses", 1, 1_000_000)),
		setting("guess-time",
			"count failed guesses over this many `MINUTES` (default: 10)",
			duration(&d.Guessing.Within, time.Minute, "minutes", 1, 1440)),
		pick("ban-action",
			"what a source that guesses gets beside the report, `ACTION`: report (nothing), ignore or drop (default: report)",
			&d.Guessing.Action, BanReport, BanIgnore, BanDrop),
		setting("ban-time",
			"end a ban after this many `MINUTES` (default: 60)",
			duration(&d.Guessing.Ban, time.Minute, "minutes", 1, 10080)),
		setting("never-ban",
			"never ban an address in these `NETWORKS`, 203.0.113.0/24,198.51.100.7 (default: none)",
			networks(&d.Guessing.Never)),
		setting("chain",
			"put the rules into this `CHAIN`, made and jumped to if need be; INPUT: straight there (default: KNOCK)",
			d.setChain),
		setting("iptables", "the iptables `PROGRAM` (default: iptables)", name(&d.Iptables)),
		setting("state-dir", "keep state in `DIRECTORY` (default: /var/lib/knockdaemon)", name(&d.StateDir)),
		pick("on-stop",
			"when told to end, `ACTION`: remove the rules until the next start, or keep them (default: remove)",
			&d.OnStop, OnStopRemove, OnStopKeep),
		setting("max-blocks",
			"remember at most this `NUMBER` of ciphertext blocks, then ask for a new key (default: 1000000)",
			integer(&d.MaxBlocks, "blocks", 1, 10_000_000)),
		setting("pid-file", "write the process's number to `FILE`", name(&d.PidFile)),
		pick("output",
			"the `FORMAT` of the daemon's own log: text or json (default: text)",
			&d.Output, OutputText, OutputJSON),
		setting("metrics",
			"serve Prometheus metrics at this loopback `ADDRESS`, 127.0.0.1:9745, or on a socket by its path (default: nowhere)",
			func(v string) error { d.Metrics = v; return control.ParseMetrics(v) }),
		toggle("test", "do all but touch the firewall: say the commands that would be run", &d.Test),
		flagToggle("check", "check the configuration, then the firewall and the log of this machine, and leave", &d.Check),
		flagOnly("replay",
			"read the log in `FILE` (-: standard input) to its end, say what each knock would have done, and leave",
			name(&d.Replay)),
	}...)
	all = append(all, d.Ask.settings()...)
	all = append(all, d.Keygen.settings()...)
	return append(all, verbosity(&d.Debug, &d.Quiet)...)
}

func (d *Daemon) setRegexp(v string) error {
	if err := notEmpty(v); err != nil {
		return err
	}
	d.Lines.Regexp = v
	_, err := packet.NewDecoder(packet.Options{Regexp: v})
	return err
}

func (d *Daemon) setChain(v string) error {
	d.Chain = v
	return firewall.CheckChain(v)
}

// OpensPorts tells whether some knock opens, forwards or closes a port by itself, and not by a command.
func (d *Daemon) OpensPorts() bool {
	return len(d.Keys) > 0 || slices.ContainsFunc(d.Events, Event.OpensPorts)
}

// Forwards tells whether some knock forwards a port.
func (d *Daemon) Forwards() bool {
	return slices.ContainsFunc(d.Keys, func(k Key) bool { return len(k.Forward) > 0 }) ||
		slices.ContainsFunc(d.Events, func(e Event) bool { return len(e.Forward) > 0 })
}

// KnockPorts gives the first and the last port of encrypted knocks.
func (d *Daemon) KnockPorts() (low, high uint16) {
	low = d.top.Knock.PortMin
	if low == 0 {
		low = knock.DefaultPortMin
	}
	return low, low + 255
}
