package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"time"

	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/outside"
	"github.com/portknock/knock/pkg/sequence"
	"github.com/portknock/knock/pkg/ui"
)

// A Client holds the settings of knockclient, complete and checked.
type Client struct {
	Host          string          // a name or an address; may be empty if nothing is sent
	Sequence      []sequence.Step // sent as it is, whatever IP to Pad say; nil: what they say is sealed
	IP            netip.Addr      // to open the ports to; the zero Addr: what IPService says, or else the one used towards Host
	IPService     string          // the URL of who tells what address the outside sees; empty: nobody is asked
	Ports         []uint16        // to open, each by a knock of its own; of a sequence: to look at
	Time          uint8           // minutes; knock.Forever, knock.Close
	Knock         knock.Options
	Pad           string        // the file of a one-time pad, which of Knock needs PortMin alone; empty: none
	AllowReadable bool          // take a pad that others can read
	Delay         time.Duration // after each packet of a knock
	After         After
	Test          bool
	LogToFile     string // append log lines here in place of sending; empty: send
	Debug         bool
	Quiet         bool
	JSON          bool // say what became of the knock as one object
	Other         Other

	Warnings []string // for the user, one line each

	secret  secret
	padded  padded
	noKey   bool     // the host's own section names a cipher and no key
	ports   []uint16 // as they were given; nil: none was
	digits  uint16   // the port of digit 0; 0: none
	resolve bool     // the address is IPService's to tell
	service string
}

func newClient() *Client {
	return &Client{
		Time: 15, Knock: knock.Options{Header: knock.HeaderNone}, Delay: 20 * time.Millisecond,
		After: After{Retries: 5}, Other: Other{Knocks: 1000},
	}
}

// ClientSettings lists the settings of knockclient.
func ClientSettings() []Setting { return newClient().settings() }

func (c *Client) settings() []Setting {
	all := []Setting{
		setting("ip",
			"open the port to this IPv4 `ADDRESS`; auto: the one this machine sends from; resolve: ask ip-service (default: auto)",
			c.setIP),
		setting("ip-service",
			"for ip = resolve: the `URL` of a service of your choice that says what address it sees (default: none)",
			func(v string) error { c.service = v; return outside.CheckService(v) }),
		setting("port", "the TCP `PORT` to open, 0..255, or several, 22,80; with digits 1..65535", c.setPorts),
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
			"wait this many `MILLISECONDS` after each try at a port (default: 20)",
			duration(&c.Delay, time.Millisecond, "milliseconds", 0, 10_000)),
	}...)
	all = append(all, c.After.settings()...)
	all = append(all, []Setting{
		confSetting("~/.knockclient.conf, then /etc/knockclient.conf"),
		toggle("test", "send nothing: print the knock's ports", &c.Test),
		setting("log-to-file", "send nothing: append the log lines of a firewall to `FILE`", name(&c.LogToFile)),
		toggle("json", "say what became of the knock as one JSON object", &c.JSON),
	}...)
	all = append(all, c.Other.settings()...)
	return append(all, verbosity(&c.Debug, &c.Quiet)...)
}

// Words that the setting ip takes in place of an address.
const (
	ipAuto    = "auto"
	ipResolve = "resolve"
)

func (c *Client) setIP(v string) error {
	c.IP, c.resolve = netip.Addr{}, v == ipResolve
	if v == ipAuto || v == ipResolve {
		return nil
	}
	return ipv4(&c.IP)(v)
}

func (c *Client) setPorts(v string) error {
	c.ports = nil
	err := list(v, func(part string) error {
		port, err := number(part, "a port", 0, 65535)
		if err == nil && slices.Contains(c.ports, uint16(port)) {
			err = fmt.Errorf("port %d is there twice", port)
		}
		c.ports = append(c.ports, uint16(port))
		return err
	})
	return tooMany(len(c.ports), err)
}

func (c *Client) setSequence(v string) (err error) {
	c.Sequence, err = sequence.Parse(v)
	return err
}

// LoadClient reads the settings of knockclient. Args are the arguments that are not flags: the host, or the name of a
// section about one, and perhaps the ports of a sequence; env is os.Getenv. Errors are as LoadDaemon's.
func LoadClient(flags []ui.Given, args []string, env func(string) string) (*Client, error) {
	file, err := readFirst(hostSettings, flags, clientFiles(env))
	if errors.Is(err, fs.ErrNotExist) && given(flags, "save") { // it will be made
		file, err = noFile(), nil
	}
	if err != nil {
		return nil, err
	}
	return loadClient(file, flags, args, env)
}

func loadClient(file file, flags []ui.Given, args []string, env func(string) string) (*Client, error) {
	c := newClient()
	host := findHost(file, flags, args)
	from, err := load(c.withHost(), file.path, append(file.sections[:1:1], host...), flags, env, func(path string) {
		c.padded.endLevel(&c.secret)
		c.secret.endLevel(path)
	})
	if err != nil {
		return nil, err
	}
	if len(host) > 0 {
		c.Host = cmp.Or(c.Host, host[0].title)
		c.noKey = host[0].says("cipher") && !host[0].says("key") && !host[0].says("key-file")
	}
	c.Warnings = keyWarnings(flags)
	c.expandHome(env)
	if err := c.takeArgs(args, from); err != nil {
		return nil, err
	}
	if err := c.check(from); err != nil {
		return nil, hintName(err, file, host, args)
	}
	if err := c.checkExec(file.path, from); err != nil {
		return nil, err
	}
	return c, nil
}

// check checks the settings as a whole. What belongs to another kind of knock than the one that is asked for does no
// harm in the file, or the environment, but is wrong use as a flag.
func (c *Client) check(from origins) error {
	if err := settleVerbosity(&c.Debug, &c.Quiet, from); err != nil {
		return err
	}
	if c.Test && c.LogToFile != "" {
		return ui.Usage(errors.New("test and log-to-file exclude each other"))
	}
	if other, err := c.checkOther(from); other || err != nil {
		return err
	}
	if err := c.checkAfter(from); err != nil {
		return err
	}
	if c.Sequence != nil {
		return c.finishSequence(from)
	}
	if c.digits != 0 {
		return from.at("digits", errors.New("it goes with a sequence only"))
	}
	return c.finishSealed(from)
}

var (
	errNoPort = ui.Usage(errors.New("no port: say which to open with -port"))
	errNoHost = ui.Usage(errors.New("no host to knock at"))
)
