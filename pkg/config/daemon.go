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
	MaxQueues    int
	Allow        Allow
	Iptables     string // a program's name or path
	Chain        string
	StateDir     string
	PidFile      string // empty: none
	Output       string // OutputText or OutputJSON
	Test         bool
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
		MaxQueues:    1 << 16,
		Iptables:     firewall.DefaultProgram,
		Chain:        firewall.DefaultChain,
		StateDir:     "/var/lib/knockdaemon",
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
		setting("max-queues",
			"watch at most this `NUMBER` of source addresses at once (default: 65536)",
			integer(&d.MaxQueues, "source addresses", 1, 1_000_000)),
		setting("allow-ports", "heed only knocks for these `PORTS`, 22,80-90 (default: any)", ports(&d.Allow.Ports)),
		setting("allow-ips",
			"heed only knocks for addresses in these `NETWORKS`, 203.0.113.0/24,198.51.100.7 (default: any)",
			networks(&d.Allow.IPs)),
		setting("max-time",
			"heed only knocks for at most this many `MINUTES` (default: any, also without an end)",
			integer(&d.Allow.MaxTime, "minutes", 1, 254)),
		toggle("match-source", "heed only knocks for the address that they come from", &d.Allow.MatchSource),
		setting("chain",
			"put the rules into this `CHAIN`, made and jumped to if need be; INPUT: straight there (default: KNOCK)",
			d.setChain),
		setting("iptables", "the iptables `PROGRAM` (default: iptables)", name(&d.Iptables)),
		setting("state-dir", "keep state in `DIRECTORY` (default: /var/lib/knockdaemon)", name(&d.StateDir)),
		setting("pid-file", "write the process's number to `FILE`", name(&d.PidFile)),
		setting("output",
			"the `FORMAT` of the daemon's own log: text or json (default: text)",
			oneOf(&d.Output, OutputText, OutputJSON)),
		toggle("test", "do all but touch the firewall: say the commands that would be run", &d.Test),
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
