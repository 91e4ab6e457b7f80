//go:build linux

package config

import (
	"errors"
	"fmt"
)

// checkAlone tells whether something is asked for that needs no complete configuration: a key, or what the daemon that
// runs does. It is then all that may be.
func (d *Daemon) checkAlone(from origins) (alone bool, err error) {
	var asked []string
	for _, name := range []string{"status", "close", "why", "keygen", "check", "replay"} {
		if from[name] != "" {
			asked = append(asked, name)
		}
	}
	if len(asked) > 1 {
		return false, from.at(asked[1], fmt.Errorf("%s and %s exclude each other", asked[0], asked[1]))
	}
	if d.Keygen.Path == "" {
		for _, name := range []string{"for", "qr"} {
			if from[name] != "" {
				return false, from.at(name, errors.New("it goes with keygen only"))
			}
		}
	}
	if d.Ask.Any() && !from.isFlag("output") {
		d.Output = OutputText // the file says how the daemon's log is written
	}
	return d.Ask.Any() || d.Keygen.Path != "", nil
}
