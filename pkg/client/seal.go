package client

import (
	"cmp"
	"fmt"

	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/pad"
	"github.com/portknock/knock/pkg/sequence"
)

// steps gives what is to be sent to open or close a port, in order. A sequence says itself what that is.
func (c *Client) steps(w way, port uint16) ([]sequence.Step, error) {
	if steps := c.Config.Sequence; steps != nil {
		c.Debug("sequence: %s", format(steps))
		return steps, nil
	}
	payload := knock.Payload{IP: w.open, Port: uint8(port), Time: c.Config.Time}
	ports, err := c.seal(payload)
	if err != nil {
		return nil, err
	}
	c.Debug("%s: %s", payload, format(ports))
	steps := make([]sequence.Step, len(ports))
	for i, port := range ports {
		steps[i] = sequence.Step{Proto: packet.TCP, Port: port}
	}
	return steps, nil
}

func (c *Client) seal(p knock.Payload) ([]uint16, error) {
	if c.Config.Pad != "" {
		return c.sealWithPad(p)
	}
	codec, err := knock.New(c.Config.Knock)
	if err != nil {
		return nil, err
	}
	return codec.Seal(p)
}

// fewLeft is when the user hears that his pad comes to its end.
const fewLeft = 10

// sealWithPad uses up a part of the pad, and gives the same again for a knock that is sent again: that tells nobody
// anything, and whoever knocks at a host that hears nothing would soon be further in the pad than the host looks ahead.
func (c *Client) sealWithPad(p knock.Payload) (ports []uint16, err error) {
	port := uint16(p.Port)
	if c.parts[port] == nil {
		if ports, err = c.usePart(p); err != nil {
			return nil, err
		}
		if c.parts == nil {
			c.parts = make(map[uint16][]uint16)
		}
		c.parts[port] = ports
	}
	return c.parts[port], nil
}

// usePart seals with the next part of the pad. It is used up also by a knock that is not sent: the same part may be used
// for no other.
func (c *Client) usePart(p knock.Payload) ([]uint16, error) {
	plain, err := p.Bytes()
	if err != nil {
		return nil, err
	}
	sender, err := pad.OpenSender(c.Config.Pad, pad.Options{AllowReadable: c.Config.AllowReadable})
	if err != nil {
		return nil, err
	}
	message, err := sender.Seal(plain)
	if err != nil {
		return nil, err
	}
	if sender.Used() == 1 {
		c.Warn("this is the first knock with this one-time pad here: if it has been knocked with before, both ends need a new one")
	}
	switch left := sender.Left(); {
	case c.Config.Test || c.Config.LogToFile != "":
		c.Warn("nothing is sent, but the knock's part of the one-time pad is used up: knocks left: %d", left)
	case left <= fewLeft:
		c.Warn("the one-time pad comes to its end, make a new one for both ends: knocks left: %d", left)
	}
	first := cmp.Or(c.Config.Knock.PortMin, knock.DefaultPortMin)
	ports := make([]uint16, len(message))
	for i, b := range message {
		ports[i] = first + uint16(b)
	}
	return ports, nil
}

// makePad makes a one-time pad, and says what is to be done with it.
func (c *Client) makePad() error {
	if err := pad.Make(c.Config.Other.MakePad, c.Config.Other.Knocks); err != nil {
		return err
	}
	if c.Config.Quiet {
		return nil
	}
	_, err := fmt.Fprintf(c.Stdout, "%s: good for %d knocks; copy it to the host by a safe way, such as scp, "+
		"mode 0600, and say pad = FILE there; here knock with -pad %[1]s\n", c.Config.Other.MakePad, c.Config.Other.Knocks)
	return err
}
