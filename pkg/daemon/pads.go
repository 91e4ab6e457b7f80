package daemon

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"

	"github.com/sirupsen/logrus"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/pad"
)

// A padded reader is that of a key with a one-time pad.
type padded struct {
	key      string // its name
	receiver *pad.Receiver
	log      *logrus.Logger
	first    uint16 // the port of byte 0
	place    int    // of the knock that was read last
	last     []byte // that one; nil: none
}

// openPad opens a pad, or gives the one that old has open if it is the same still, by whatever name. A daemon that only
// says what it would do leaves the state alone. Two keys cannot have one pad: m holds those of the keys before.
func (m memory) openPad(c *config.Daemon, k config.Key, old memory, log *logrus.Logger) (*padded, error) {
	if p, err := m.padOf(k); err != nil || p != nil {
		return nil, cmp.Or(err, fmt.Errorf("the one-time pad %q is that of two keys: give each its own", k.Pad))
	}
	if p, err := old.padOf(k); err != nil || p != nil {
		return p, err
	}
	open := pad.OpenReceiver
	if c.Test || c.Replay != "" {
		open = pad.OpenReader
	}
	receiver, err := open(k.Pad, c.StateDir, pad.Options{LookAhead: c.LookAhead, AllowReadable: k.Readable()})
	if err != nil {
		return nil, err
	}
	return &padded{key: k.Name, receiver: receiver, log: log}, nil
}

// padOf gives the pad of k, if m has it.
func (m memory) padOf(k config.Key) (*padded, error) {
	for _, one := range m {
		if one.pad == nil {
			continue
		}
		if same, err := one.pad.receiver.Is(k.Pad); err != nil || same {
			return one.pad, err
		}
	}
	return nil, nil
}

// fewLeft is how many knocks a pad still has when its owner is told, with each of them, to make a new one.
const fewLeft = 20

// warn tells of a pad that is used up, or nearly.
func (p *padded) warn() {
	left := p.receiver.Left()
	if left > fewLeft || p.log == nil {
		return
	}
	msg := "the one-time pad is nearly used up: make a new one, for both ends"
	if left == 0 {
		msg = "the one-time pad is used up: make a new one, for both ends"
	}
	p.log.WithFields(logrus.Fields{"key": p.key, "knocks_left": left}).Warn(msg)
}

func (p *padded) open(ports []uint16) (knock.Payload, bool) {
	message := p.message(ports)
	plain, place, err := p.receiver.Open(message[:])
	if err != nil {
		return knock.Payload{}, false
	}
	p.place, p.last = place, append(p.last[:0], message[:]...)
	payload, err := knock.ParsePayload(plain[:])
	if err != nil { // of the pad all the same, so its part of that is used up
		_ = p.receiver.Use(place)
	}
	return payload, err == nil
}

// try takes the knock that was read last for one still: it is sent again as it was.
func (p *padded) try(ports []uint16) error {
	message := p.message(ports)
	if bytes.Equal(p.last, message[:]) {
		return nil
	}
	_, _, err := p.receiver.Open(message[:])
	return err
}

// message gives the bytes that ports stand for.
func (p *padded) message(ports []uint16) (message [pad.Length]byte) {
	for i, port := range ports {
		message[i] = byte(port - p.first)
	}
	return message
}

func (p *padded) refusal([]uint16) string {
	switch err := p.receiver.Use(p.place); {
	case err == nil:
		p.warn()
		return ""
	case errors.Is(err, pad.ErrSpent):
		return "its part of the pad was used before: a replay"
	default:
		return "its part of the pad cannot be marked as used: " + err.Error()
	}
}

func (p *padded) close() {
	if err := p.receiver.Close(); err != nil && p.log != nil {
		p.log.WithError(err).WithField("key", p.key).Error("the place in the one-time pad could not be written down: make a new one, for both ends")
	}
}
