//go:build linux

package config

import (
	"errors"
	"fmt"

	"github.com/portknock/knock/pkg/ui"
)

// Source says where the daemon learns of packets. It is one of four kinds, and comparable.
type Source struct {
	Log       string // the file to follow
	Interface string // the network interface to listen on
	NFLOG     bool   // what the firewall hands over
	Group     uint16 // to this group
	Kmsg      bool   // the kernel's own log
}

// String names the source: "/var/log/knock.log", "interface eth0", "nflog group 5", "/dev/kmsg".
func (s Source) String() string {
	switch {
	case s.Interface != "":
		return "interface " + s.Interface
	case s.NFLOG:
		return fmt.Sprintf("nflog group %d", s.Group)
	case s.Kmsg:
		return "/dev/kmsg"
	}
	return s.Log
}

// A choice is of one source. A level (the file, the environment, the flags) that names one replaces that of the level
// before.
type choice struct {
	source Source
	level  []Source // those that the level names which is being read
	twice  bool     // a level named two
}

func (c *choice) settings() []Setting {
	add := func(s Source) { c.level = append(c.level, s) }
	return []Setting{
		setting("log", "follow the firewall's log in `FILE`", func(v string) error {
			add(Source{Log: v})
			return notEmpty(v)
		}),
		setting("interface", "in place of a log, listen on the network `INTERFACE`", func(v string) error {
			add(Source{Interface: v})
			return checkInterface(v)
		}),
		setting("nflog", "in place of a log, take the packets that the firewall sends to the NFLOG `GROUP`", func(v string) error {
			group, err := number(v, "a group", 0, 65535)
			add(Source{NFLOG: true, Group: uint16(group)})
			return err
		}),
		{Flag: ui.Flag{Name: "kmsg", Usage: "in place of a log file, read the kernel's own log, /dev/kmsg", Bool: true}, set: func(v string) error {
			var on bool
			err := boolean(&on)(v)
			if on {
				add(Source{Kmsg: true})
			}
			return err
		}},
	}
}

// endLevel closes a level.
func (c *choice) endLevel() {
	c.twice = c.twice || len(c.level) > 1
	if len(c.level) > 0 {
		c.source = c.level[0]
	}
	c.level = nil
}

// chosen gives the source, which may be none.
func (c *choice) chosen() (Source, error) {
	if c.twice {
		return Source{}, ui.Usage(errors.New("log, interface, nflog and kmsg exclude each other: one is enough"))
	}
	return c.source, nil
}

// checkInterface refuses what cannot be the name of a network interface (IFNAMSIZ is 16 with its NUL).
func checkInterface(v string) error {
	if v == "" || len(v) > 15 {
		return fmt.Errorf("%q is no name of an interface: want 1 to 15 bytes, like eth0", v)
	}
	for _, c := range v {
		if c <= ' ' || c == '/' || c == ':' || c == 0x7f {
			return fmt.Errorf("%q is no name of an interface: want one like eth0", v)
		}
	}
	if v == "." || v == ".." {
		return fmt.Errorf("%q is no name of an interface: want one like eth0", v)
	}
	return nil
}
