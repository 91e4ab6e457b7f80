//go:build linux

package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/ui"
)

// SectionSettings lists the settings that a section of knockdaemon's file can hold, by its title: "key NAME", "options",
// or the name of a sequence. Those of the last two are knockd's, some of them, and have no usage text. What cannot be a title
// is an error.
func SectionSettings(title string) ([]Setting, error) { return newDaemon().sectionSettings(title) }

// sectionSettings gives the settings that a section of the file can hold.
func (d *Daemon) sectionSettings(title string) ([]Setting, error) {
	if title == "" {
		return d.settings(), nil
	}
	if err := checkTitle(title); err != nil {
		return nil, err
	}
	switch name, isKey := nameOf(title); {
	case isKey && name == "":
		return nil, errors.New("a key needs a name: want [key NAME]")
	case isKey:
		return withoutPort(new(Key).settings()), nil
	case strings.EqualFold(title, optionsTitle):
		return new(knockd).settings(), nil
	}
	return new(Event).settings(), nil
}

// LoadDaemon reads the settings of knockdaemon. Env is os.Getenv. An error of wrong use is marked as ui.Usage does,
// and names the place; what could not be read is a plain error.
func LoadDaemon(flags []ui.Given, env func(string) string) (*Daemon, error) {
	d := newDaemon()
	paths := []string{"/etc/knockdaemon.conf"}
	if given(flags, "keygen") {
		paths = nil // which may not be there yet, or wait for the key
	}
	file, err := readFirst(d.sectionSettings, flags, paths)
	if err != nil {
		return nil, err
	}
	from, err := load(d.settings(), file.path, file.sections[:1], flags, env, func(path string) {
		d.top.endLevel(path)
		d.choice.endLevel()
	})
	if err != nil {
		return nil, err
	}
	if d.Keygen.Path != "" {
		d.Keygen.Conf = file.path
	}
	if alone, err := d.checkAlone(from); alone || err != nil {
		return d, err
	}
	d.Warnings = keyWarnings(flags)
	for _, err := range []error{d.takeTop(from), d.takeSections(file)} {
		if err != nil {
			return nil, err
		}
	}
	return d, d.check(from)
}

// takeTop takes up the source and the key that stand outside of any section.
func (d *Daemon) takeTop(from origins) (err error) {
	if d.Source, err = d.choice.chosen(); err != nil || !d.top.given() {
		return err
	}
	if err := d.top.finish(from); err != nil {
		return err
	}
	d.Keys = append(d.Keys, d.top)
	return nil
}

// takeSections takes up what the sections of the file say. A section for a key falls back on the settings outside.
func (d *Daemon) takeSections(f file) error {
	for _, s := range f.sections[1:] {
		if err := d.takeSection(f.path, s); err != nil {
			return err
		}
	}
	d.knockd.apply(d)
	if err := distinct(d.Keys); err != nil {
		return err
	}
	if err := d.checkLists(); err != nil {
		return err
	}
	return d.checkCommands(f.path)
}

// checkLists refuses one list of sequences for two sections: each would find it changed by the other.
func (d *Daemon) checkLists() error {
	holder := map[string]string{}
	for _, e := range d.Events {
		if other, ok := holder[e.OneTime]; ok && e.OneTime != "" {
			return ui.Usage(fmt.Errorf("[%s] has the one_time_sequences of [%s]: give each section its own file", e.Name, other))
		}
		holder[e.OneTime] = e.Name
	}
	return nil
}

// checkCommands refuses a file that others can write if there are commands in it.
func (d *Daemon) checkCommands(path string) error {
	if !slices.ContainsFunc(d.Events, func(e Event) bool { return e.Commands.Any() }) {
		return nil
	}
	return checkWriters(path)
}

func (d *Daemon) takeSection(path string, s section) error {
	from := origins{}
	name, isKey := nameOf(s.title)
	switch {
	case isKey:
		k := newKey(&d.top, name, s.where)
		if err := from.apply(k.settings(), s.values); err != nil {
			return err
		}
		k.endLevel(path)
		if err := k.finish(from); err != nil {
			return s.at(err)
		}
		d.Keys = append(d.Keys, *k)
	case strings.EqualFold(s.title, optionsTitle):
		d.knockd.present = true
		return from.apply(d.knockd.settings(), s.values)
	default:
		e := newEvent(s.title)
		e.AllowIPs = d.top.Allow.IPs
		if err := from.apply(e.settings(), s.values); err != nil {
			return err
		}
		if err := e.finish(from); err != nil {
			return s.at(err)
		}
		d.Events = append(d.Events, *e)
		d.Warnings = append(d.Warnings, e.warnings()...)
	}
	return nil
}

// at puts the place of a section in front of an error that does not name it.
func (s section) at(err error) error {
	if strings.Contains(err.Error(), "["+s.title+"]") {
		return err
	}
	return fmt.Errorf("%s: %w", s.where, err)
}

func (d *Daemon) check(from origins) error {
	verbosity := settleVerbosity(&d.Debug, &d.Quiet, from)
	switch {
	case d.Source == (Source{}) && d.Replay == "":
		return ui.Usage(ui.Hint(errors.New("nowhere to learn of packets"),
			"give -log FILE, the file that the firewall's log goes to, or -interface, -nflog or -kmsg"))
	case len(d.Keys)+len(d.Events) == 0:
		return errNoKey
	case verbosity != nil:
		return verbosity
	case d.Test && d.Quiet:
		return from.at("quiet", errors.New("test and quiet exclude each other: the commands would not be said"))
	case d.Guessing.Action == BanDrop && d.Chain == firewall.InputChain:
		return from.at("ban-action", errors.New("drop needs a chain of our own: with chain = INPUT it can be report or ignore"))
	case d.Source.Log == "" || d.Replay != "":
		return nil
	}
	if info, err := os.Stat(d.Source.Log); err == nil {
		return from.at("log", checkLog(d.Source.Log, info.Mode()))
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
