// Package client makes a knock and sends it: one SYN to each port of the sequence, or one datagram where that is a port
// of UDP, in order, waiting for no answer. If it is told to, it then looks whether the ports are as they should be, and
// knocks again if not. What a knock says is left to packages knock and sequence, and what the user asked for to package
// config.
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/sequence"
	"github.com/portknock/knock/pkg/ui"
)

// A Client sends one knock, or some more until it has done what it should.
type Client struct {
	Config   *config.Client
	Stdin    io.Reader                     // goes to the port, if that is asked for
	Stdout   io.Writer                     // gets the sequence, if nothing is to be sent, or what became of it
	Progress io.Writer                     // a terminal that shows how it goes, until it is over; nil: none does
	Warn     func(format string, a ...any) // tells the user what may not be as he thinks
	Debug    func(format string, a ...any) // tells the user how it goes

	answered bool                // the user was told that the knock ports are not closed
	parts    map[uint16][]uint16 // of the one-time pad: what they have sealed, by the port that is asked for
}

// Run makes the knock and does with it what the settings say: send it, print it or log it. Nothing is sent if
// anything is wrong with the host, the route to it or the knock. If nothing is to be done after it, Run returns as soon
// as the last knock has left and the pause after it is over. Else it looks at the ports, knocks again as often as it
// may, and says on Stdout how it ended; an error of [ui.StatusShut] or [ui.StatusBefore] is about that. If all is well
// and there is a command to run, Run does not return, but on Windows. If a one-time pad is to be made, it does that
// instead.
func (c *Client) Run(ctx context.Context) error {
	if c.Config.Other.MakePad != "" {
		return c.makePad()
	}
	o := newOutcome(c.Config)
	conn, err := c.pursue(ctx, o)
	if c.Config.After.Proxy && err != nil && ctx.Err() != nil {
		return ui.Status(nil, ui.StatusFailed) // ssh ends it so when it has no more use for it
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if err := c.tell(o, err); err != nil {
		return err
	}
	switch {
	case conn != nil:
		return c.carry(ctx, conn)
	case c.Config.After.Exec != "":
		return replace(c.Config.After.Exec, o.environment(os.Environ()))
	}
	return nil
}

// pursue knocks, and looks what becomes of it if that is asked for. It gives the connection that bytes are to be carried
// over, if any are.
func (c *Client) pursue(ctx context.Context, o *outcome) (net.Conn, error) {
	w, err := c.findWay(ctx)
	o.setWay(w)
	if err != nil {
		return nil, err
	}
	if a := c.Config.After; a.Verify || a.Proxy || a.Exec != "" {
		return c.verify(ctx, w, o)
	}
	for _, port := range c.knocks() {
		if err := c.knock(ctx, w, port); err != nil {
			return nil, err
		}
		o.Knocks++
	}
	return nil, nil
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
	if len(accepted) > 0 && !c.answered {
		c.answered = true
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
