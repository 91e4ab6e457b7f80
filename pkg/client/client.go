// Package client makes a knock and sends it: one SYN to each port of the sequence, or one datagram where that is a port
// of UDP, in order, waiting for no answer. What a knock says is left to packages knock and sequence, and what the user
// asked for to package config.
package client

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/sequence"
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
// the pause after it is over. If a one-time pad is to be made, it does that instead.
func (c *Client) Run(ctx context.Context) error {
	if c.Config.Other.MakePad != "" {
		return c.makePad()
	}
	way, err := c.findWay(ctx)
	if err != nil {
		return err
	}
	for _, port := range c.knocks() {
		if err := c.knock(ctx, way, port); err != nil {
			return err
		}
	}
	return nil
}

// knocks gives the ports that a knock each is for. A sequence is one knock, whatever it is for.
func (c *Client) knocks() []uint16 {
	if c.Config.Sequence != nil {
		return []uint16{0}
	}
	return c.Config.Ports
}

// knock makes one knock and does with it what the settings say.
func (c *Client) knock(ctx context.Context, w way, port uint16) error {
	steps, err := c.steps(w, port)
	if err != nil {
		return fmt.Errorf("failed to make the knock: %w", err)
	}
	switch {
	case c.Config.Test:
		_, err := fmt.Fprintln(c.Stdout, format(steps))
		return err
	case c.Config.LogToFile != "":
		return appendLog(c.Config.LogToFile, w, steps, time.Now())
	}
	return c.send(ctx, w.host, steps)
}

func (c *Client) send(ctx context.Context, host netip.Addr, steps []sequence.Step) error {
	accepted, err := sendPackets(ctx, host, steps, c.Config.Delay)
	if err != nil {
		return fmt.Errorf("failed to send the knock: %w", err)
	}
	if len(accepted) > 0 {
		c.Warn("the host answered on %s: its firewall does not close the knock ports, so it may not log them either", format(accepted))
	}
	c.Debug("sent to %s", host)
	return nil
}

// format writes ports or steps with a space between two.
func format[T any](list []T) string {
	words := make([]string, len(list))
	for i, each := range list {
		words[i] = fmt.Sprint(each)
	}
	return strings.Join(words, " ")
}
