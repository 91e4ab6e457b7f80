package config

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/ui"
)

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

// checkOther tells whether something else than a knock is asked for, which is then all that may be.
func (c *Client) checkOther(from origins) (other bool, err error) {
	o := c.Other
	for _, one := range []struct {
		name string
		is   bool
		with []string // the flags that go with it
	}{
		{"make-pad", o.MakePad != "", []string{"knocks", "debug", "quiet"}},
		{"hosts", o.Hosts, nil},
		{"lab", o.Lab, []string{"lab-port", "debug", "quiet"}},
	} {
		if one.is {
			return true, c.alone(one.name, one.with, from)
		}
	}
	if err := from.refuse("it goes with make-pad only", "knocks"); err != nil {
		return false, err
	}
	return false, from.refuse("it goes with lab only", "lab-port")
}

// alone refuses all that has no place beside a flag.
func (c *Client) alone(name string, with []string, from origins) error {
	if c.Host != "" {
		return ui.Usage(fmt.Errorf("no host has a place beside %s, which sends nothing: %q is one too many", name, c.Host))
	}
	for _, s := range c.settings() {
		if s.Name == name || s.Name == "conf" || slices.Contains(with, s.Name) {
			continue
		}
		if err := from.refuse("it does not go with "+name, s.Name); err != nil {
			return err
		}
	}
	return nil
}
