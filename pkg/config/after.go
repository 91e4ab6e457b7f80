package config

import (
	"errors"
	"io/fs"

	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/ui"
)

// After says what is done once the knock was sent.
type After struct {
	Verify  bool   // see whether the ports are open, or closed
	Retries int    // how often to knock again if they are not; Verify, Proxy or Exec only
	Proxy   bool   // carry standard input to the port, and what comes to standard output
	Exec    string // run this command of the shell's; empty: none
}

func (a *After) settings() []Setting {
	return []Setting{
		toggle("verify", "see whether the port is open, and knock again if not; exit status 0: open, 3: not, 4: it was before", &a.Verify),
		setting("retries", "with verify, proxy or exec: knock again up to this many `TIMES` (default: 5)", integer(&a.Retries, "times", 0, 20)),
		setting("exec", "knock, see that the port is open, and run this `COMMAND` by the shell", name(&a.Exec)),
		flagToggle("proxy", "knock, and join standard input and output to PORT: ssh's ProxyCommand knockclient -proxy %h %p", &a.Proxy),
	}
}

// any tells whether anything is done at all once the knock was sent.
func (a After) any() bool { return a.Verify || a.Proxy || a.Exec != "" }

// checkAfter settles what is done once the knock was sent.
func (c *Client) checkAfter(from origins) error {
	if c.Test || c.LogToFile != "" {
		c.After, c.JSON = After{Retries: c.After.Retries}, false
		return from.refuse("nothing is sent, so there is nothing to see then", "verify", "retries", "proxy", "exec", "json")
	}
	if c.After.Proxy {
		if err := from.refuse("it does not go with proxy, which is for the bytes of the connection alone", "exec", "json"); err != nil {
			return err
		}
		c.After.Exec = ""
	}
	closes := c.Time == knock.Close && c.Sequence == nil
	if closes && from.isFlag("time") && !from.isFlag("exec") && c.After.Exec != "" {
		c.After.Exec, c.After.Verify = "", c.After.Verify || !from.isFlag("verify") // a host with a command is closed by its name too
	}
	if c.After.Exec != "" {
		if err := from.refuse("it does not go with exec, whose command has the word", "json"); err != nil {
			return err
		}
	}
	if c.After.Proxy || c.After.Exec != "" {
		c.JSON = false
	}
	switch {
	case !c.After.any():
		return from.refuse("it goes with verify, proxy or exec", "retries")
	case c.After.Proxy && len(c.ports) > 1:
		return ui.Usage(errors.New("no port to connect to: want -proxy HOST PORT"))
	case closes && (c.After.Proxy || c.After.Exec != ""):
		return from.at("time", errors.New("255 closes the port: nothing can use it then"))
	}
	return nil
}

// checkExec refuses a command of a configuration file that others can write. A file that is not there yet is to be made.
func (c *Client) checkExec(path string, from origins) error {
	if c.After.Exec == "" || from.isFlag("exec") {
		return nil
	}
	if err := checkWriters(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
