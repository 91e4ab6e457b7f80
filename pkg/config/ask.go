//go:build linux

package config

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/portknock/knock/pkg/control"
)

// Ask says what a daemon that runs is asked for, one thing at most.
type Ask struct {
	Status bool
	Why    netip.Addr     // what was seen from there; the zero Addr: no
	Close  control.Target // the zero Target: no
}

// Any tells whether there is a question at all.
func (a Ask) Any() bool { return a.Status || a.Why.IsValid() || a.Close.Address.IsValid() }

// Keygen says what key is to be made.
type Keygen struct {
	Path string // of its file; empty: none
	Name string // whose it is; empty: the one at the top of the configuration
	QR   bool   // show it for a telephone
	Conf string // the configuration file that it is for, if one was named
}

func (a *Ask) settings() []Setting {
	return []Setting{
		flagToggle("status", "ask the running daemon what is open, for whom, until when, and what it has seen, and leave", &a.Status),
		flagOnly("close", "have the running daemon close what is open to `ADDRESS` or ADDRESS:PORT, and leave",
			func(v string) (err error) { a.Close, err = control.ParseTarget(v); return err }),
		flagOnly("why", "ask the running daemon what it saw from `ADDRESS`, and why that opened nothing, and leave", address(&a.Why)),
	}
}

func (k *Keygen) settings() []Setting {
	return []Setting{
		flagOnly("keygen", "make a key in the new `FILE`, say what to write where, and leave", name(&k.Path)),
		flagOnly("for", "make it the key of this person, `NAME`", func(v string) error { k.Name = v; return checkTitle(v) }),
		flagToggle("qr", "show it as a QR code, for a telephone", &k.QR),
	}
}

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
