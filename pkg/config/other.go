package config

import (
	"fmt"
	"slices"

	"github.com/portknock/knock/pkg/pad"
	"github.com/portknock/knock/pkg/ui"
)

// Other is what knockclient does in place of knocking, one thing at most.
type Other struct {
	MakePad string // make a one-time pad here; empty: no
	Knocks  int    // that it serves for
	Save    string // write the flags as the section of this name; empty: no
	Hosts   bool   // print the names of the sections
	Lab     bool   // serve the Knock Lab
	LabPort uint16 // there; 0: any free port
}

func (o *Other) settings() []Setting {
	return []Setting{
		flagOnly("save", "do not knock: write the flags as the section `NAME` of the configuration file", func(v string) error {
			o.Save = v
			return checkHostTitle(v)
		}),
		flagToggle("hosts", "print the names of the configuration file's sections, and leave", &o.Hosts),
		flagOnly("make-pad", "make a one-time pad in `FILE`, and leave", name(&o.MakePad)),
		flagOnly("knocks",
			"how many `KNOCKS` the new pad serves for (default: 1000)",
			integer(&o.Knocks, "knocks", 1, pad.MaxKnocks)),
		flagToggle("lab", "serve the Knock Lab, a page that shows how knocks are made, on a loopback address", &o.Lab),
		flagOnly("lab-port", "serve it on this `PORT` (default: any that is free)", integer(&o.LabPort, "a port", 1, 65535)),
	}
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
