package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// A cell is what a cell of the table says, in parts.
type cell []string

func (c *cell) say(format string, args ...any) { *c = append(*c, fmt.Sprintf(format, args...)) }

func (c *cell) text() string { return strings.Join(*c, "; ") }

// seconds words a time.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// closing says when the port closes, or that it does not within the grace.
func (r *rig) closing(c *cell) (closed bool, err error) {
	closed, at, err := r.becomes(false, time.Until(r.opened.Add(r.life+grace)))
	if closed {
		c.say("closes %s after it opened (of %.0f)", seconds(at.Sub(r.opened)), r.life.Seconds())
	} else {
		c.say("still open %s after its end", seconds(time.Since(r.opened)-r.life))
	}
	return closed, err
}

// leftover says how many rules are left that open the port, when there should be none.
func (r *rig) leftover(c *cell, err error) (string, error) {
	if err != nil {
		return "", err
	}
	n, err := r.rules()
	if n > 0 {
		c.say("rules left: %d", n)
	}
	return c.text(), err
}

func state(open bool) string {
	if open {
		return "open"
	}
	return "closed"
}

// again says what a good knock does.
func (r *rig) again(c *cell) (string, error) {
	opens, err := r.knocks(soon)
	if opens {
		c.say("the next knock opens")
	} else {
		c.say("the next knock does not open")
	}
	return c.text(), err
}

// waitOver says whether the daemon ends by itself.
func (r *rig) waitOver(c *cell, limit time.Duration) (over bool, err error) {
	begin := time.Now()
	err = eventually(r.ctx, limit, "the daemon to end", r.isOver)
	switch {
	case err == nil:
		c.say("ends after %s", seconds(time.Since(begin)))
		return true, nil
	case errors.Is(err, errInVain):
		c.say("runs on")
		return false, nil
	}
	return false, err
}

// until knocks until that opens the port, for some time.
func (r *rig) until(c *cell, since string) (string, error) {
	begin := time.Now()
	for tries := 1; time.Since(begin) < long; tries++ {
		opens, err := r.knocks(soon)
		if err != nil {
			return "", err
		}
		if opens {
			c.say("%s: knock %d opens, %s later", since, tries, seconds(r.opened.Sub(begin)))
			return c.text(), nil
		}
	}
	if over, _ := r.isOver(); over {
		c.say("it has ended")
	}
	c.say("%s: no knock opens for %.0f s", since, long.Seconds())
	return c.text(), nil
}
