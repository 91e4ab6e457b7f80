//go:build linux

package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/portknock/knock/pkg/command"
	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/sequence"
	"github.com/portknock/knock/pkg/ui"
)

// An Event is a sequence of ports and what it does: a section of knockd's configuration, or one that says open, close
// or forward.
type Event struct {
	Name    string
	Match   sequence.Section
	OneTime string // the file of its sequences, in place of Match.Steps

	Open, Close []PortProto
	Forward     []Forward
	AllowIPs    []netip.Prefix // of whom it is heeded; nil: of anybody
	Dynamic     Ports          // with Match.Digits: those that may be asked for
	Time        time.Duration  // how long what it opens is open; 0: without an end
	Commands    Commands

	haveTime bool
}

// Commands are what an Event runs.
type Commands struct {
	Start, Stop   command.Command // the zero one: none
	Start6, Stop6 command.Command // for IPv6
	Wait          time.Duration   // from Start to Stop

	have6, haveStop6, haveWait bool
}

// OpensPorts tells whether e opens, forwards or closes a port by itself.
func (e Event) OpensPorts() bool {
	return len(e.Open)+len(e.Close)+len(e.Forward) > 0 || e.Match.Digits != 0
}

// Any tells whether there is a command at all.
func (c Commands) Any() bool {
	return !c.Start.IsZero() || !c.Stop.IsZero() || !c.Start6.IsZero() || !c.Stop6.IsZero()
}

// maxWait is the longest time from a start command to its stop command, in seconds: a year.
const maxWait = 366 * 86400

// Knockd's own defaults.
const (
	knockdTimeout = 25 * time.Second
	knockdWait    = 10 * time.Second
)

func newEvent(name string) *Event {
	e := &Event{Name: name, Time: 15 * time.Minute}
	e.Match.Timeout, e.Commands.Wait = knockdTimeout, knockdWait
	return e
}

// settings are knockd's directives first, with - for _, then ours.
func (e *Event) settings() []Setting {
	c := &e.Commands
	steps := func(v string) (err error) { e.Match.Steps, err = sequence.Parse(v); return err }
	return []Setting{
		setting("sequence", "", withoutComment(steps)),
		setting("one-time-sequences", "", name(&e.OneTime)),
		setting("seq-timeout", "", withoutComment(duration(&e.Match.Timeout, time.Second, "seconds", 1, 86400))),
		setting("tcpflags", "", func(v string) (err error) { e.Match.Flags, err = sequence.ParseFlags(v); return err }),
		setting("target", "", address(&e.Match.Target)),
		commandSetting("command", &c.Start, nil),
		commandSetting("start-command", &c.Start, nil),
		commandSetting("command-6", &c.Start6, &c.have6),
		commandSetting("start-command-6", &c.Start6, &c.have6),
		setting("cmd-timeout", "", withoutComment(func(v string) error {
			c.haveWait = true
			return duration(&c.Wait, time.Second, "seconds", 0, maxWait)(v)
		})),
		commandSetting("stop-command", &c.Stop, nil),
		commandSetting("stop-command-6", &c.Stop6, &c.haveStop6),

		setting("open", "", portProtos(&e.Open)),
		setting("close", "", portProtos(&e.Close)),
		setting("forward", "", forwards(&e.Forward)),
		setting("time", "", func(v string) error {
			e.haveTime = true
			return duration(&e.Time, time.Minute, "minutes, or 0 for no limit", 0, 10080)(v)
		}),
		setting("digits", "", integer(&e.Match.Digits, "the port of digit 0, with nine more above it", 1, 65535-9)),
		setting("allow-ports", "", ports(&e.Dynamic, 65535)),
		setting("allow-ips", "", networks(&e.AllowIPs)),
	}
}

// commandSetting makes a Setting that takes a command. One that is for IPv6 may be empty, and have tells that it is there:
// it then does nothing, as knockd's manual has it.
func commandSetting(name string, to *command.Command, have *bool) Setting {
	s := setting(name, "", func(v string) (err error) {
		if have != nil {
			if *have = true; v == "" {
				return nil
			}
		}
		*to, err = command.Parse(v)
		return err
	})
	s.raw = true
	return s
}

// finish checks an event as a whole and fills in what follows from the rest.
func (e *Event) finish(from origins) error {
	c := &e.Commands
	if !c.have6 {
		c.Start6 = c.Start
	}
	if !c.haveStop6 {
		c.Stop6 = c.Stop
	}
	leases := len(e.Open)+len(e.Forward) > 0 || e.Match.Digits != 0
	if e.OpensPorts() && from["tcpflags"] == "" { // not a directive of knockd's, so its default is not either
		e.Match.Flags = sequence.Flags{Set: packet.SYN, Clear: packet.ACK}
	}
	switch twice := e.twice(from); {
	case twice != nil:
		return twice
	case len(e.Match.Steps) == 0 && e.OneTime == "":
		return ui.Usage(errors.New("no sequence: give sequence, or one_time_sequences"))
	case e.haveTime && !leases:
		return from.at("time", errors.New("it goes with open, forward or digits: nothing is opened here"))
	case (e.Match.Digits != 0) != (e.Dynamic != nil):
		return from.at("digits", errors.New("digits and allow_ports go together: the first says how a port is asked for, the second which may be"))
	case e.Match.Digits != 0 && (e.OneTime != "" || len(e.Match.Steps) > 0 && e.hasUDP()):
		return from.at("digits", errors.New("it goes with a sequence of TCP ports"))
	case e.Match.Digits != 0 && len(e.Open)+len(e.Close)+len(e.Forward) > 0:
		return from.at("digits", errors.New("open, close and forward do not go with it: the knock says which port"))
	}
	return e.checkPorts(from)
}

// checkPorts refuses a port that is to be opened in two ways.
func (e *Event) checkPorts(from origins) error {
	for _, f := range e.Forward {
		if slices.Contains(e.Open, f.Port) {
			return from.at("forward", fmt.Errorf("port %s is opened too: it is either opened or forwarded", f.Port))
		}
	}
	for _, p := range e.Close {
		if slices.Contains(e.Open, p) {
			return from.at("close", fmt.Errorf("port %s is opened too", p))
		}
	}
	return nil
}

// twice refuses what says the same thing in two ways.
func (e *Event) twice(from origins) error {
	for _, pair := range [][2]string{{"sequence", "one-time-sequences"}, {"command", "start-command"}, {"command-6", "start-command-6"}} {
		if from[pair[0]] != "" && from[pair[1]] != "" {
			return from.at(pair[1], fmt.Errorf("%s is there too: one of the two is enough", pair[0]))
		}
	}
	return nil
}

func (e *Event) hasUDP() bool {
	for _, s := range e.Match.Steps {
		if s.Proto == packet.UDP {
			return true
		}
	}
	return false
}

// warnings tell what is allowed, and perhaps not meant.
func (e *Event) warnings() (list []string) {
	// With digits the steps alone open nothing.
	if weak := sequence.Weak(e.Match.Steps); weak != "" && e.Match.Digits == 0 {
		list = append(list, fmt.Sprintf("[%s] %s", e.Name, weak))
	}
	c := &e.Commands
	switch {
	case !e.OpensPorts() && !c.Any():
		list = append(list, fmt.Sprintf("[%s] does nothing but say that it was knocked", e.Name))
	case c.Start.IsZero() && c.Start6.IsZero() && c.Any():
		list = append(list, fmt.Sprintf("[%s] stop_command is never run without a start_command", e.Name))
	case c.haveWait && c.Stop.IsZero() && c.Stop6.IsZero():
		list = append(list, fmt.Sprintf("[%s] cmd_timeout does nothing without a stop_command", e.Name))
	}
	return list
}
