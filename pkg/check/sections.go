package check

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/portknock/knock/pkg/command"
	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/pad"
)

// sections looks at what the sections of the configuration name.
func (m *machine) sections(now time.Time) {
	m.report.add(ended(m.config.Keys, now)...)
	var pads []*pad.Receiver
	for _, k := range m.config.Keys {
		m.report.add(unasked(k)...)
		if k.Pad != "" {
			var findings []finding
			findings, pads = m.pad(k, pads)
			m.report.add(findings...)
		}
	}
	for _, e := range m.config.Events {
		if e.OneTime != "" {
			m.report.add(m.list(e)...)
		}
	}
	m.report.add(programs(m.config.Events)...)
}

// titleOf names a key.
func titleOf(k config.Key) string {
	if k.Name == "" {
		return "the key"
	}
	return fmt.Sprintf("[key %s]", k.Name)
}

// ended tells of keys whose time is over.
func ended(keys []config.Key, now time.Time) (findings []finding) {
	over := func(k config.Key) bool { return !k.Until.IsZero() && !now.Before(k.Until) }
	none := !slices.ContainsFunc(keys, func(k config.Key) bool { return !over(k) })
	for _, k := range keys {
		switch {
		case over(k) && none:
			findings = append(findings, problemf("%s has ended %s, and there is none that has not: no knock of a key is heeded", titleOf(k), k.Until.Format(time.RFC3339)).
				fixed("give it a later until"))
		case over(k):
			findings = append(findings, notef("%s has ended %s (until)", titleOf(k), k.Until.Format(time.RFC3339)))
		}
	}
	return findings
}

// unasked tells of ports that k forwards, and none of its knocks may ask for.
func unasked(k config.Key) (findings []finding) {
	for _, f := range k.Forward {
		if k.Allow.Ports != nil && !k.Allow.Ports.Contains(f.Port.Port) {
			findings = append(findings, problemf("%s forwards port %s, which is not in its allow-ports: no knock can ask for it", titleOf(k), f.Port).
				fixed("add %d to allow-ports", f.Port.Port))
		}
	}
	return findings
}

// programs tells whether what commands run is there.
func programs(events []config.Event) (findings []finding) {
	var there []string
	for _, e := range events {
		c := e.Commands
		var seen []string
		for _, one := range []command.Command{c.Start, c.Stop, c.Start6, c.Stop6} {
			if one.IsZero() || slices.Contains(seen, one.String()) {
				continue
			}
			seen = append(seen, one.String())
			switch path, err := one.Program(); {
			case errors.Is(err, fs.ErrPermission):
				findings = append(findings, notef("[%s]: whether a command can run cannot be told: %v", e.Name, err).fixed("run as root, or as the user that the daemon runs as"))
			case err != nil:
				findings = append(findings, problemf("[%s]: a command cannot run: %v", e.Name, err).fixed("install it, or give its path"))
			case path != "" && !slices.Contains(there, path):
				there = append(there, path)
			}
		}
	}
	if len(there) > 0 {
		slices.Sort(there)
		findings = append(findings, okf("programs that commands run are there (%s); the daemon under the unit needs examples/knockdaemon-commands.conf beside it",
			strings.Join(there, ", ")))
	}
	return findings
}
