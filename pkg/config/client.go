package config

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/ui"
)

// A Client holds the settings of knockclient, complete and checked.
type Client struct {
	Host      string     // a name or an address; may be empty if nothing is sent
	IP        netip.Addr // to open the port to; the zero Addr: the one used towards Host
	Port      uint8      // to open
	Time      uint8      // minutes; knock.Forever, knock.Close
	Knock     knock.Options
	Delay     time.Duration // between two knocks
	Test      bool
	LogToFile string // append log lines here in place of sending; empty: send
	Debug     bool
	Quiet     bool

	Warnings []string // for the user, one line each

	secret   secret
	havePort bool
}

func newClient() *Client {
	return &Client{Time: 15, Knock: knock.Options{Header: knock.HeaderNone}, Delay: 20 * time.Millisecond}
}

// ClientSettings lists the settings of knockclient.
func ClientSettings() []Setting { return newClient().settings() }

func (c *Client) settings() []Setting {
	all := []Setting{
		setting("ip",
			"open the port to this IPv4 `ADDRESS` (default: the one that host will see, as far as is known here)",
			ipv4(&c.IP)),
		setting("port", "the TCP `PORT` to open, 0..255", c.setPort),
		setting("time",
			"how many `MINUTES` to open it for, 1..254; 0: no limit; 255: close it (default: 15)",
			integer(&c.Time, "minutes, or 0 for no limit, or 255 to close", 0, 255)),
	}
	all = append(all, c.secret.settings()...)
	all = append(all, sealing(&c.Knock)...)
	all = append(all, []Setting{
		setting("delay",
			"wait this many `MILLISECONDS` after each knock (default: 20)",
			duration(&c.Delay, time.Millisecond, "milliseconds", 0, 10_000)),
		confSetting("~/.knockclient.conf, then /etc/knockclient.conf"),
		toggle("test", "send nothing: print the knock's ports", &c.Test),
		setting("log-to-file", "send nothing: append the log lines of a firewall to `FILE`", name(&c.LogToFile)),
	}...)
	return append(all, verbosity(&c.Debug, &c.Quiet)...)
}

func (c *Client) setPort(v string) error {
	n, err := number(v, "a port", 0, 65535)
	if err != nil {
		return err
	}
	if n > 255 {
		return fmt.Errorf("%d does not fit: the classic knock carries ports 0..255", n)
	}
	c.Port, c.havePort = uint8(n), true
	return nil
}

// LoadClient reads the settings of knockclient. Hosts are the arguments that are not flags; env is os.Getenv. Errors
// are as LoadDaemon's.
func LoadClient(flags []ui.Given, hosts []string, env func(string) string) (*Client, error) {
	c := newClient()
	paths := []string{"/etc/knockclient.conf"}
	if home := env("HOME"); home != "" {
		paths = append([]string{filepath.Join(home, ".knockclient.conf")}, paths...)
	}
	file, err := readFirst(withoutSections(c.settings()), flags, paths)
	if err != nil {
		return nil, err
	}
	from, err := load(c.settings(), file, flags, env, c.secret.endLevel)
	if err != nil {
		return nil, err
	}
	if len(hosts) > 1 {
		return nil, ui.Usage(fmt.Errorf("one host at a time: %q is one too many", hosts[1]))
	}
	if len(hosts) == 1 {
		c.Host = hosts[0]
	}
	if err := c.check(from); err != nil {
		return nil, err
	}
	c.Warnings = keyWarnings(flags)
	return c, nil
}

func (c *Client) check(from origins) error {
	switch {
	case !c.havePort:
		return ui.Usage(errors.New("no port: say which to open with -port"))
	case c.Host == "" && !(c.Test && c.IP.IsValid()):
		return ui.Usage(errors.New("no host to knock at"))
	case c.Debug && c.Quiet:
		return from.at("quiet", errors.New("debug and quiet exclude each other"))
	case c.Test && c.LogToFile != "":
		return ui.Usage(errors.New("test and log-to-file exclude each other"))
	}
	return withKey(&c.Knock, &c.secret, from)
}
