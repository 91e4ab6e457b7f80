// Package client makes a knock and sends it: one SYN to each port of the sequence, in order, waiting for no answer.
// What a knock says is left to package knock, what the user asked for to package config.
package client

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/knock"
)

// A Client sends one knock.
type Client struct {
	Config *config.Client
	Stdout io.Writer                     // gets the sequence, if nothing is to be sent
	Warn   func(format string, a ...any) // tells the user what may not be as he thinks
	Debug  func(format string, a ...any) // tells the user how it goes
}

// Run makes the knock and does with it what the settings say: send it, print it or log it. Nothing is sent if
// anything is wrong with the host, the route to it or the knock. It returns as soon as the last knock has left and
// the pause after it is over.
func (c *Client) Run(ctx context.Context) error {
	codec, err := knock.New(c.Config.Knock)
	if err != nil {
		return err
	}
	way, err := c.findWay(ctx)
	if err != nil {
		return err
	}
	payload := knock.Payload{IP: c.Config.IP, Port: c.Config.Port, Time: c.Config.Time}
	if !payload.IP.IsValid() {
		payload.IP = way.src
		if isPrivate(way.src) && !isPrivate(way.host) {
			c.Warn("%s is a private address: if it is translated on the way, give the one that the host sees with -ip", way.src)
		}
	}
	sequence, err := codec.Seal(payload)
	if err != nil {
		return fmt.Errorf("failed to make the knock: %w", err)
	}
	c.Debug("%s: %s", payload, format(sequence))
	switch {
	case c.Config.Test:
		_, err := fmt.Fprintln(c.Stdout, format(sequence))
		return err
	case c.Config.LogToFile != "":
		return appendLog(c.Config.LogToFile, way, sequence, time.Now())
	}
	return c.send(ctx, way.host, sequence)
}

func (c *Client) send(ctx context.Context, host netip.Addr, sequence []uint16) error {
	accepted, err := sendSYNs(ctx, host, sequence, c.Config.Delay)
	if err != nil {
		return fmt.Errorf("failed to send the knock: %w", err)
	}
	if len(accepted) > 0 {
		c.Warn("the host answered on %s: its firewall does not close the knock ports, so it may not log them either", format(accepted))
	}
	c.Debug("sent to %s", host)
	return nil
}

func format(ports []uint16) string {
	var b strings.Builder
	for i, port := range ports {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprint(&b, port)
	}
	return b.String()
}
