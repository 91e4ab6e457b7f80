package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/ui"
)

// A Daemon holds the settings of knockdaemon, complete and checked.
type Daemon struct {
	Log          string // the file to follow
	Replay       string // the file to replay in its place, - for standard input
	Lines        packet.Options
	LineAge      time.Duration // how far a line's stamp may be from now
	Knock        knock.Options
	QueueTimeout time.Duration
	MaxPackets   int
	Allow        Allow
	Iptables     string // a program's name or path
	Chain        string
	StateDir     string
	OnStop       OnStop
	MaxBlocks    int // ciphertext blocks remembered
	Guessing     Guessing
	PidFile      string // empty: none
	Output       string // OutputText or OutputJSON
	Test         bool
	Check        bool // look at the machine and leave
	Debug        bool
	Quiet        bool

	Warnings []string // for the operator, one line each

	secret secret
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

// Allow says which knocks are heeded. The zero Allow heeds all, as the prototype did.
type Allow struct {
	Ports       *PortSet       // nil: any
	IPs         []netip.Prefix // nil: any
	MaxTime     int            // minutes; 0: any, also without an end
	MatchSource bool           // the address in the knock must be the one that it came from
}

func newDaemon() *Daemon {
	return &Daemon{
		Lines:        packet.Options{Prefix: "DENY ", Head: packet.HeadSyslog},
		LineAge:      time.Minute,
		Knock:        knock.Options{Header: knock.HeaderNone},
		QueueTimeout: time.Minute,
		MaxPackets:   1 << 20,
		Iptables:     firewall.DefaultProgram,
		Chain:        firewall.DefaultChain,
		StateDir:     "/var/lib/knockdaemon",
		OnStop:       OnStopRemove,
		MaxBlocks:    1_000_000,
		Guessing:     Guessing{Limit: 1000, Within: 10 * time.Minute, Action: BanReport, Ban: time.Hour},
		Output:       OutputText,
	}
}

// DaemonSettings lists the settings of knockdaemon.
func DaemonSettings() []Setting { return newDaemon().settings() }

func (d *Daemon) settings() []Setting {
	all := []Setting{
		confSetting("/etc/knockdaemon.conf, if it is there"),
		setting("log", "follow the firewall's log in `FILE`", name(&d.Log)),
		setting("log-prefix", "the firewall's log `PREFIX`; may be empty (default: DENY)", text(&d.Lines.Prefix)),
		setting("log-head",
			"the `HEAD` that each line begins with: syslog, dmesg or ulogd (default: syslog)",
			oneOf(&d.Lines.Head, packet.HeadSyslog, packet.HeadDmesg, packet.HeadUlogd)),
		setting("log-regexp",
			"a regular `EXPRESSION` for any other log, with groups named src and dpt, perhaps spt and proto",
			d.setRegexp),
		setting("line-age",
			"ignore lines stamped more than this many `SECONDS` from now (default: 60)",
			duration(&d.LineAge, time.Second, "seconds", 1, 86400)),
	}
	all = append(all, d.secret.settings()...)
	all = append(all, sealing(&d.Knock)...)
	all = append(all, []Setting{
		setting("iv-length",
			"with the header, how many `BYTES` of IV a knock carries (default: 8)",
			integer(&d.Knock.IVLength, "bytes", 1, 8)),
		setting("queue-timeout",
			"forget an unfinished knock after this many `SECONDS` (default: 60)",
			duration(&d.QueueTimeout, time.Second, "seconds", 1, 3600)),
		setting("max-packets",
			"remember the last `NUMBER` of SYNs to the knock ports, of all sources (default: 1048576)",
			integer(&d.MaxPackets, "packets", 1024, 1<<22)),
		setting("allow-ports", "heed only knocks for these `PORTS`, 22,80-90 (default: any)", ports(&d.Allow.Ports)),
		setting("allow-ips",
			"heed only knocks for addresses in these `NETWORKS`, 203.0.113.0/24,198.51.100.7 (default: any)",
			networks(&d.Allow.IPs)),
		setting("max-time",
			"heed only knocks for at most this many `MINUTES` (default: any, also without an end)",
			integer(&d.Allow.MaxTime, "minutes", 1, 254)),
		toggle("match-source", "heed only knocks for the address that they come from", &d.Allow.MatchSource),
		setting("guess-limit",
			"report a source after this `NUMBER` of failed guesses within guess-time (default: 1000)",
			integer(&d.Guessing.Limit, "failed guesses", 1, 1_000_000)),
		setting("guess-time",
			"count failed guesses over this many `MINUTES` (default: 10)",
			duration(&d.Guessing.Within, time.Minute, "minutes", 1, 1440)),
		setting("ban-action",
			"what a source that guesses gets beside the report, `ACTION`: report (nothing), ignore or drop (default: report)",
			oneOf(&d.Guessing.Action, BanReport, BanIgnore, BanDrop)),
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
		setting("on-stop",
			"when told to end, `ACTION`: remove the rules until the next start, or keep them (default: remove)",
			oneOf(&d.OnStop, OnStopRemove, OnStopKeep)),
		setting("max-blocks",
			"remember at most this `NUMBER` of ciphertext blocks, then ask for a new key (default: 1000000)",
			integer(&d.MaxBlocks, "blocks", 1, 10_000_000)),
		setting("pid-file", "write the process's number to `FILE`", name(&d.PidFile)),
		setting("output",
			"the `FORMAT` of the daemon's own log: text or json (default: text)",
			oneOf(&d.Output, OutputText, OutputJSON)),
		toggle("test", "do all but touch the firewall: say the commands that would be run", &d.Test),
		flagToggle("check", "check the configuration, then the firewall and the log of this machine, and leave", &d.Check),
		flagOnly("replay",
			"read the log in `FILE` (-: standard input) to its end, say what each knock would have done, and leave",
			name(&d.Replay)),
	}...)
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

// LoadDaemon reads the settings of knockdaemon. Env is os.Getenv. An error of wrong use is marked as ui.Usage does,
// and names the place; what could not be read is a plain error.
func LoadDaemon(flags []ui.Given, env func(string) string) (*Daemon, error) {
	d := newDaemon()
	from, err := load(d.settings(), &d.secret, flags, env, []string{"/etc/knockdaemon.conf"})
	if err != nil {
		return nil, err
	}
	if err := d.check(from); err != nil {
		return nil, err
	}
	d.Warnings = keyWarnings(flags)
	return d, nil
}

func (d *Daemon) check(from origins) error {
	sent := d.Knock.Header == knock.HeaderRandomIV
	switch {
	case d.Log == "" && d.Replay == "":
		return ui.Usage(ui.Hint(errors.New("no log to follow"), "give -log FILE, the file that the firewall's log goes to"))
	case d.Debug && d.Quiet:
		return from.at("quiet", errors.New("debug and quiet exclude each other"))
	case d.Test && d.Quiet:
		return from.at("quiet", errors.New("test and quiet exclude each other: the commands would not be said"))
	case d.Knock.IVLength != 0 && !sent:
		return from.at("iv-length", errors.New("it goes with header = randomiv only: without the header an IV has 8 bytes"))
	case d.Guessing.Action == BanDrop && d.Chain == firewall.InputChain:
		return from.at("ban-action", errors.New("drop needs a chain of our own: with chain = INPUT it can be report or ignore"))
	case len(d.Knock.IV) != 0 && sent:
		return from.at("iv", errors.New("it goes with header = none only: with the header each knock carries its own"))
	}
	if err := withKey(&d.Knock, &d.secret, from); err != nil {
		return err
	}
	if info, err := os.Stat(d.Log); err == nil && d.Replay == "" {
		return from.at("log", checkLog(d.Log, info.Mode()))
	}
	return nil
}

// checkLog refuses what no firewall's log can be. A file that is not there yet may become one.
func checkLog(path string, mode os.FileMode) error {
	switch {
	case mode.IsDir():
		return fmt.Errorf("%q is a directory: want the file in it", path)
	case !mode.IsRegular():
		return fmt.Errorf("%q is not a regular file", path)
	}
	return nil
}
