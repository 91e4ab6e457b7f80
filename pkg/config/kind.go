package config

import (
	"errors"
	"fmt"

	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/sequence"
)

// padded collects where the one-time pad comes from, if there is one in place of a key. A level that names a pad
// replaces a key of the level before, and the other way round.
type padded struct {
	file  string
	new   string // of the level that is being read
	twice bool   // a level had a key too
}

func (p *padded) set(v string) error {
	p.new = v
	return notEmpty(v)
}

// endLevel closes a level, before its secret is closed.
func (p *padded) endLevel(s *secret) {
	key := s.newKey != nil || s.newFile != nil
	p.twice = p.twice || key && p.new != ""
	switch {
	case p.new != "":
		p.file = p.new
	case key:
		p.file = ""
	}
	p.new = ""
}

// finishSequence puts the digits of the port into the sequence, if that is asked for.
func (c *Client) finishSequence(from origins) error {
	if err := from.refuse("it does not go with a sequence, which says nothing but its ports",
		"ip", "time", "key", "key-file", "pad", "cipher", "header", "iv", "iv-length", "port-min"); err != nil {
		return err
	}
	if c.Host == "" && !c.Test {
		return errNoHost
	}
	switch {
	case c.digits == 0 && !c.After.any():
		return from.refuse("it goes with a sequence only if there are digits, or verify, proxy or exec", "port")
	case len(c.ports) == 0:
		return errNoPort
	}
	c.Ports = c.ports
	if c.digits == 0 {
		return nil
	}
	if len(c.ports) > 1 {
		return from.at("port", errors.New("a sequence with digits asks for one port"))
	}
	steps, err := sequence.Dynamic(c.Sequence, c.digits, c.ports[0])
	c.Sequence = steps
	return from.at("port", err)
}

// finishSealed checks what an encrypted knock says, and with what it is sealed.
func (c *Client) finishSealed(from origins) error {
	if len(c.ports) == 0 {
		return errNoPort
	}
	for _, port := range c.ports {
		if port > 255 {
			return from.at("port", fmt.Errorf("%d does not fit: the classic knock carries ports 0..255; for others see forward at the daemon, or a sequence with digits", port))
		}
	}
	if c.Host == "" && !(c.Test && c.IP.IsValid()) {
		return errNoHost
	}
	c.Ports = c.ports
	if err := c.takeService(from); err != nil {
		return err
	}
	switch {
	case c.padded.twice:
		return from.at("pad", errors.New("pad and key exclude each other: give one of them"))
	case c.padded.file != "":
		c.Pad, c.AllowReadable = c.padded.file, c.secret.allowReadable
		return from.refuse("it does not go with a pad", "cipher", "header", "iv", "iv-length")
	case c.Knock.Cipher == knock.CipherNone && !c.noKey && from.inFile("cipher") && (from.inFile("key") || from.inFile("key-file")):
		return from.at("cipher", errors.New("none needs no key: with one, name a cipher"))
	case c.Knock.Cipher == knock.CipherNone:
		if err := from.refuse("cipher none has no key, and hides nothing", "key", "key-file"); err != nil {
			return err
		}
		c.Warnings = append(c.Warnings, "cipher none hides nothing: whoever sees this knock can read it, and make others")
	}
	if err := checkHeader(&c.Knock, from); err != nil {
		return err
	}
	return withKey(&c.Knock, &c.secret, from)
}
