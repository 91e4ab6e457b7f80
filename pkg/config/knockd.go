//go:build linux

package config

import "slices"

// knockd holds the directives of the section [options], in which knockd has its settings.
type knockd struct {
	present          bool // there is such a section
	logFile, pidFile string
	interfaceName    string
	syslog           bool
}

// optionsTitle is the title of that section.
const optionsTitle = "options"

// knockdInterface is where knockd listens if it is not told.
const knockdInterface = "eth0"

func (k *knockd) settings() []Setting {
	return []Setting{
		toggle("usesyslog", "", &k.syslog),
		setting("logfile", "", name(&k.logFile)),
		setting("pidfile", "", name(&k.pidFile)),
		setting("interface", "", func(v string) error { k.interfaceName = v; return checkInterface(v) }),
	}
}

// apply gives d what it was not told otherwise. A file may well be knockd's without its [options].
func (k *knockd) apply(d *Daemon) {
	runs := slices.ContainsFunc(d.Events, func(e Event) bool { return e.Commands.Any() })
	if !k.present && (len(d.Keys) > 0 || !runs) {
		return
	}
	d.Syslog, d.LogFile = k.syslog, k.logFile
	if d.PidFile == "" {
		d.PidFile = k.pidFile
	}
	if d.Source == (Source{}) && d.Replay == "" {
		d.Source.Interface = k.interfaceName
		if k.interfaceName == "" {
			d.Source.Interface = knockdInterface
		}
	}
}
