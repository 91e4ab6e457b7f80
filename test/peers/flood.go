package main

import (
	"errors"
	"fmt"
	"time"
)

// calm is how long a daemon may take to give memory back.
const calm = 75 * time.Second

// goodKnocks is how many there are in a flood, evenly spaced, until one opens the port.
const goodKnocks = 4

// flooded sends the flood, and good knocks within.
func (r *rig) flooded() (string, error) {
	var c cell
	before, _, err := r.memory()
	if err != nil {
		return "", err
	}
	n, rate := r.floods()
	begin, done := time.Now(), make(chan error, 1)
	var took time.Duration
	go func() {
		err := r.flood(n, rate, r.junk)
		took = time.Since(begin)
		done <- err
	}()
	opened, err := r.knocksWithin(&c, begin, time.Duration(n)*time.Second/time.Duration(rate))
	if err := errors.Join(err, <-done); err != nil {
		return "", err
	}
	c.say("%d packets in %s", n, seconds(took))
	return r.calmed(&c, opened, before)
}

// knocksWithin knocks while a flood lasts, and reports whether that opened the port.
func (r *rig) knocksWithin(c *cell, begin time.Time, whole time.Duration) (bool, error) {
	part := whole / (goodKnocks + 1)
	for i := range goodKnocks {
		time.Sleep(time.Until(begin.Add(part * time.Duration(i+1)))) // the client's own time
		packets, err := r.knock()
		if err != nil {
			return false, err
		}
		sent, limit := time.Now(), part
		if i == goodKnocks-1 {
			limit = patience
		}
		opens, err := r.opens(limit, packets...)
		if err != nil {
			return false, err
		}
		if opens {
			c.say("knock %d opens, %s after it began", i+1, seconds(r.opened.Sub(sent)))
			return true, nil
		}
	}
	c.say("none of %d knocks opens", goodKnocks)
	return false, nil
}

// calmed says what is left of a flood: memory, and whether a knock opens.
func (r *rig) calmed(c *cell, opened bool, before int) (string, error) {
	var now, most int
	flooded, noise := time.Now(), time.Now()
	err := eventually(r.ctx, calm, "the memory to be given back", func() (_ bool, err error) {
		if time.Since(noise) > time.Second { // there always is some, and some daemons forget only when they see it
			noise = time.Now()
			if err := r.send(r.junk(0)); err != nil {
				return false, err
			}
		}
		now, most, err = r.memory()
		return now <= before+before/4+1024, err
	})
	if over, _ := r.isOver(); over {
		c.say("it has ended")
		return c.text(), nil
	}
	if err != nil && !errors.Is(err, errInVain) {
		return "", err
	}
	c.say("memory %s before, %s at most, %s after %s",
		megabytes(before), megabytes(most), megabytes(now), seconds(time.Since(flooded)))
	if k, ok := r.daemon.(*knockdaemon); ok {
		c.say("%d lines in the log", k.lines())
	}
	if opened {
		return c.text(), nil
	}
	return r.until(c, "afterwards")
}

func megabytes(kB int) string { return fmt.Sprintf("%.1f MB", float64(kB)/1024) }
