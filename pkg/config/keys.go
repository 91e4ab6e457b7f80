//go:build linux

package config

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/ui"
)

// A Key is one way to seal knocks, the one who has it, and what his knocks may ask for.
type Key struct {
	Name    string // "" for the key that the top of the file gives
	Knock   knock.Options
	Pad     string // the file of a one-time pad; empty: Knock says how knocks are sealed
	Allow   Allow
	Forward []Forward // ports that are not opened here, but forwarded
	Until   time.Time // when the key ends; zero: never

	secret secret
	padded padded
	where  string // of its section; empty at the top
}

// Allow says which knocks are heeded. The zero Allow heeds all, as the prototype did.
type Allow struct {
	Ports       Ports          // nil: any
	IPs         []netip.Prefix // nil: any
	MaxTime     int            // minutes; 0: any, also without an end
	MatchSource bool           // the address in the knock must be the one that it came from
}

// A Forward says that a port of this machine leads to another machine.
type Forward struct {
	Port PortProto
	To   netip.AddrPort // IPv4
}

// Rule is what is put into the firewall for src.
func (f Forward) Rule(src netip.Addr) firewall.Rule {
	r := f.Port.Rule(src)
	r.Action, r.To = firewall.Forward, f.To
	return r
}

// Rule is what is put into the firewall to open p for src.
func (p PortProto) Rule(src netip.Addr) firewall.Rule {
	r := firewall.Rule{Src: src, Port: p.Port}
	if p.Proto == packet.UDP {
		r.Proto = firewall.UDP
	}
	return r
}

// keyPrefix begins the title of a section about a key.
const keyPrefix = "key "

// settings gives those of a key, for its section and for the top of the file.
func (k *Key) settings() []Setting {
	all := k.secret.settings()
	all = append(all, sealing(&k.Knock)...)
	return append(all, []Setting{
		setting("pad", "the `FILE` of a one-time pad that both ends have, in place of a key", k.padded.set),
		setting("allow-ports", "heed only knocks for these `PORTS`, 22,80-90 (default: any)", ports(&k.Allow.Ports, 255)),
		setting("allow-ips",
			"heed only knocks for addresses in these `NETWORKS`, 203.0.113.0/24,198.51.100.7 (default: any)",
			networks(&k.Allow.IPs)),
		setting("max-time",
			"heed only knocks for at most this many `MINUTES` (default: any, also without an end)",
			integer(&k.Allow.MaxTime, "minutes", 1, 254)),
		toggle("match-source", "heed only knocks for the address that they come from", &k.Allow.MatchSource),
		setting("forward",
			"forward these ports in place of opening them: `PORT=ADDRESS:PORT`, 80=10.0.0.5:8080; PORT= may be left out",
			forwards(&k.Forward)),
		setting("until", "heed no knock after this `DAY`, 2027-01-31, or instant, 2027-01-31T18:00:00Z (default: no end)", day(&k.Until)),
	}...)
}

// withoutPort leaves out what is the same for all keys.
func withoutPort(settings []Setting) (some []Setting) {
	for _, s := range settings {
		if s.Name != "port-min" && s.Name != "allow-readable-key" {
			some = append(some, s)
		}
	}
	return some
}

// newKey makes the key of a section, which takes from the top of the file what it does not say itself, but neither the
// secret nor its end.
func newKey(top *Key, name, where string) *Key {
	k := *top
	k.Name, k.Pad, k.Until, k.where = name, "", time.Time{}, where
	k.secret, k.padded = secret{allowReadable: top.secret.allowReadable}, padded{}
	k.Knock.Passphrase = nil
	return &k
}

// endLevel closes a level that says where the key comes from. Path is the configuration file that it was, or empty.
func (k *Key) endLevel(path string) {
	if k.padded.endLevel(&k.secret); k.padded.file != "" {
		k.secret.forget() // it took its place
	}
	k.secret.endLevel(path)
	k.Pad = k.padded.file
}

// given tells whether there is a key here at all.
func (k *Key) given() bool {
	return k.secret.given() || k.Pad != "" || k.Knock.Cipher == knock.CipherNone
}

// finish fills in the passphrase and checks the key as a whole. From tells where its settings stand.
func (k *Key) finish(from origins) error {
	switch {
	case k.padded.twice:
		return from.at("pad", errors.New("pad and key exclude each other: give one of them"))
	case k.unreachable() != nil:
		return from.at("forward", k.unreachable())
	case k.Pad != "":
		return k.checkPad(from)
	}
	if err := k.checkCipher(from); err != nil {
		return err
	}
	if err := checkHeader(&k.Knock, from); err != nil {
		return err
	}
	if len(k.Knock.IV) != 0 && k.Knock.Header == knock.HeaderRandomIV {
		return from.at("iv", errors.New("it goes with header = none only: with the header each knock carries its own"))
	}
	return withKey(&k.Knock, &k.secret, from)
}

// unreachable tells of a forward that no knock can ask for.
func (k *Key) unreachable() error {
	for _, f := range k.Forward {
		if f.Port.Port > 255 || f.Port.Proto != packet.TCP {
			return fmt.Errorf("no knock of a key asks for port %s: it carries TCP ports 0..255", f.Port)
		}
	}
	return nil
}

// checkCipher refuses a cipher that does not go with the rest.
func (k *Key) checkCipher(from origins) error {
	plain := k.Knock.Cipher == knock.CipherNone
	switch {
	case plain && k.secret.given():
		return from.at("cipher", errors.New("none needs no key: with one, name a cipher"))
	case plain && (!k.Allow.MatchSource || k.Allow.Ports == nil):
		return from.at("cipher", errors.New("none hides nothing: it goes with match-source and allow-ports only"))
	}
	return nil
}

// checkPad refuses what says how the knocks of a key are sealed: a pad's are sealed in one way only.
func (k *Key) checkPad(from origins) error {
	for _, name := range []string{"cipher", "header", "iv", "iv-length"} {
		if from[name] != "" {
			return from.at(name, errors.New("it does not go with a pad"))
		}
	}
	return nil
}

// Readable tells whether a pad that others can read is to be taken.
func (k *Key) Readable() bool { return k.secret.allowReadable }

// distinct refuses two keys with one passphrase or one pad: nobody could tell whose knock it was.
func distinct(keys []Key) error {
	for i, k := range keys {
		for _, other := range keys[:i] {
			same := k.Pad != "" && k.Pad == other.Pad ||
				k.Pad == "" && other.Pad == "" && len(k.Knock.Passphrase) > 0 && bytes.Equal(k.Knock.Passphrase, other.Knock.Passphrase)
			if same {
				return ui.Usage(fmt.Errorf("%s has the same key as %s: give each its own", k.title(), other.title()))
			}
		}
	}
	return nil
}

// title is how errors name a key.
func (k *Key) title() string {
	if k.Name == "" {
		return "the key at the top of the file"
	}
	return k.where
}

// nameOf gives the name in the title of a section about a key.
func nameOf(title string) (name string, isKey bool) {
	if title == strings.TrimSpace(keyPrefix) {
		return "", true
	}
	return strings.CutPrefix(title, keyPrefix)
}
