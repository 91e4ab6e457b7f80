package config

import (
	"errors"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/pad"
	"github.com/portknock/knock/pkg/sequence"
	"github.com/portknock/knock/pkg/ui"
)

// A Client holds the settings of knockclient, complete and checked.
type Client struct {
	Host          string          // a name or an address; may be empty if nothing is sent
	Sequence      []sequence.Step // sent as it is, whatever IP to Pad say; nil: what they say is sealed
	IP            netip.Addr      // to open the port to; the zero Addr: the one used towards Host
	Port          uint8           // to open
	Time          uint8           // minutes; knock.Forever, knock.Close
	Knock         knock.Options
	Pad           string        // the file of a one-time pad, which of Knock needs PortMin alone; empty: none
	AllowReadable bool          // take a pad that others can read
	Delay         time.Duration // between two knocks
	Test          bool
	LogToFile     string // append log lines here in place of sending; empty: send
	MakePad       string // make a one-time pad here, and nothing else; empty: knock
	Knocks        int    // that it serves for
	Debug         bool
	Quiet         bool

	Warnings []string // for the user, one line each

	secret secret
	padded padded
	port   int    // as it was given; -1: it was not
	digits uint16 // the port of digit 0; 0: none
}

func newClient() *Client {
	return &Client{
		Time: 15, Knock: knock.Options{Header: knock.HeaderNone}, Delay: 20 * time.Millisecond, Knocks: 1000,
		port: -1,
	}
}

// ClientSettings lists the settings of knockclient.
func ClientSettings() []Setting { return newClient().settings() }

func (c *Client) settings() []Setting {
	all := []Setting{
		setting("ip",
			"open the port to this IPv4 `ADDRESS` (default: the one that host will see, as far as is known here)",
			ipv4(&c.IP)),
		setting("port", "the TCP `PORT` to open, 0..255; with digits 1..65535", c.setPort),
		setting("time",
			"how many `MINUTES` to open it for, 1..254; 0: no limit; 255: close it (default: 15)",
			integer(&c.Time, "minutes, or 0 for no limit, or 255 to close", 0, 255)),
		setting("sequence",
			"send this `SEQUENCE` in place of an encrypted knock, 7000,8000:udp,9000; the ports may also follow the host",
			c.setSequence),
		setting("digits",
			"with a sequence: ask for the port by its digits, of which this TCP `PORT` is 0",
			integer(&c.digits, "a port with 9 more above it", 1, 65535-9)),
	}
	all = append(all, c.secret.settings()...)
	all = append(all, sealing(&c.Knock)...)
	all = append(all, []Setting{
		setting("pad",
			"the `FILE` of a one-time pad, in place of a key; each knock uses up a part, also with test",
			c.padded.set),
		setting("delay",
			"wait this many `MILLISECONDS` after each knock (default: 20)",
			duration(&c.Delay, time.Millisecond, "milliseconds", 0, 10_000)),
		confSetting("~/.knockclient.conf, then /etc/knockclient.conf"),
		toggle("test", "send nothing: print the knock's ports", &c.Test),
		setting("log-to-file", "send nothing: append the log lines of a firewall to `FILE`", name(&c.LogToFile)),
		flagOnly("make-pad", "make a one-time pad in `FILE`, and leave", name(&c.MakePad)),
		flagOnly("knocks",
			"how many `KNOCKS` the new pad serves for (default: 1000)",
			integer(&c.Knocks, "knocks", 1, pad.MaxKnocks)),
	}...)
	return append(all, verbosity(&c.Debug, &c.Quiet)...)
}

func (c *Client) setPort(v string) (err error) {
	c.port, err = number(v, "a port", 0, 65535)
	return err
}

func (c *Client) setSequence(v string) (err error) {
	c.Sequence, err = sequence.Parse(v)
	return err
}

// LoadClient reads the settings of knockclient. Args are the arguments that are not flags: the host, and perhaps the
// ports of a sequence; env is os.Getenv. Errors are as LoadDaemon's.
func LoadClient(flags []ui.Given, args []string, env func(string) string) (*Client, error) {
	c := newClient()
	paths := []string{"/etc/knockclient.conf"}
	if home := env("HOME"); home != "" {
		paths = append([]string{filepath.Join(home, ".knockclient.conf")}, paths...)
	}
	file, err := readFirst(withoutSections(c.settings()), flags, paths)
	if err != nil {
		return nil, err
	}
	from, err := load(c.settings(), file, flags, env, func(path string) {
		c.padded.endLevel(&c.secret)
		c.secret.endLevel(path)
	})
	if err != nil {
		return nil, err
	}
	c.Warnings = keyWarnings(flags)
	if err := c.takeArgs(args, from); err != nil {
		return nil, err
	}
	if err := c.check(from); err != nil {
		return nil, err
	}
	return c, nil
}

// check checks the settings as a whole. What belongs to another kind of knock than the one that is asked for does no
// harm in the file, or the environment, but is wrong use as a flag.
func (c *Client) check(from origins) error {
	switch {
	case c.Debug && c.Quiet:
		return from.at("quiet", errors.New("debug and quiet exclude each other"))
	case c.Test && c.LogToFile != "":
		return ui.Usage(errors.New("test and log-to-file exclude each other"))
	case c.MakePad != "":
		return c.checkMakePad(from)
	case from["knocks"] != "":
		return from.at("knocks", errors.New("it goes with make-pad only"))
	case c.Sequence != nil:
		return c.finishSequence(from)
	case c.digits != 0:
		return from.at("digits", errors.New("it goes with a sequence only"))
	}
	return c.finishSealed(from)
}

var (
	errNoPort = ui.Usage(errors.New("no port: say which to open with -port"))
	errNoHost = ui.Usage(errors.New("no host to knock at"))
)
