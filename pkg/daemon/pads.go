package daemon

import (
	"errors"

	"github.com/sirupsen/logrus"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/pad"
)

// A padded reader is that of a key with a one-time pad.
type padded struct {
	path     string
	receiver *pad.Receiver
	first    uint16 // the port of byte 0
	place    int    // of the knock that was read last
}

// openPad opens a pad, or gives the one that old has open if it is the same still. A daemon that only says what it would
// do leaves the state alone.
func openPad(c *config.Daemon, k config.Key, old *memory) (*padded, error) {
	o := pad.Options{LookAhead: c.LookAhead, AllowReadable: k.Readable()}
	if old != nil {
		for _, p := range old.pads {
			if same, err := p.receiver.Serves(k.Pad, o); err != nil || same {
				return p, err
			}
		}
	}
	open := pad.OpenReceiver
	if c.Test || c.Replay != "" {
		open = pad.OpenReader
	}
	receiver, err := open(k.Pad, c.StateDir, o)
	if err != nil {
		return nil, err
	}
	return &padded{path: k.Pad, receiver: receiver}, nil
}

// fewLeft is how many knocks a pad still has when its owner is told to make a new one.
const fewLeft = 50

// warn tells of a pad that is nearly used up.
func (p *padded) warn(log *logrus.Logger) {
	if left := p.receiver.Left(); left <= fewLeft {
		log.WithFields(logrus.Fields{"pad": p.path, "knocks_left": left}).Warn("the one-time pad is nearly used up: make a new one, for both ends")
	}
}

func (p *padded) open(ports []uint16) (knock.Payload, bool) {
	var message [pad.Length]byte
	for i, port := range ports {
		message[i] = byte(port - p.first)
	}
	plain, place, err := p.receiver.Open(message[:])
	if err != nil {
		return knock.Payload{}, false
	}
	p.place = place
	payload, err := knock.ParsePayload(plain[:])
	if err != nil { // of the pad all the same, so its part of that is used up
		_ = p.receiver.Use(place)
	}
	return payload, err == nil
}

func (p *padded) refusal([]uint16) string {
	switch err := p.receiver.Use(p.place); {
	case err == nil:
		return ""
	case errors.Is(err, pad.ErrSpent):
		return "its part of the pad was used before: a replay"
	default:
		return "its part of the pad cannot be marked as used: " + err.Error()
	}
}

func (p *padded) close() { _ = p.receiver.Close() }
