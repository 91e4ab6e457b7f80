package main

import "time"

// killedAlone kills the daemon and nothing else.
func (r *rig) killedAlone() (string, error) { return r.killed(false) }

// killedAll kills also what it started, as systemd does with what is left of a service.
func (r *rig) killedAll() (string, error) { return r.killed(true) }

func (r *rig) killed(all bool) (string, error) {
	var c cell
	if err := r.open(); err != nil {
		return "", err
	}
	if err := r.kill(all); err != nil {
		return "", err
	}
	closed, err := r.closing(&c)
	if err != nil {
		return "", err
	}
	if err := r.start(); err != nil {
		return "", err
	}
	if !closed {
		closed, _, err = r.becomes(false, soon)
		c.say("after a new start: %s", state(!closed))
	}
	return r.leftover(&c, err)
}

// restarted ends the daemon well, and starts another.
func (r *rig) restarted() (string, error) { return r.resumed(r.ending) }

// revived kills it and all its children, and starts another at once, as systemd does if its unit says so.
func (r *rig) revived() (string, error) {
	return r.resumed(func(*cell) error { return r.kill(true) })
}

// resumed sees what a new start makes of an open port.
func (r *rig) resumed(end func(*cell) error) (string, error) {
	var c cell
	if err := r.open(); err != nil {
		return "", err
	}
	if err := end(&c); err != nil {
		return "", err
	}
	open, err := r.isOpen(tryFor)
	if err != nil {
		return "", err
	}
	c.say("%s while it is off", state(open))
	if err := r.start(); err != nil {
		return "", err
	}
	opened := r.opened
	open, _, err = r.becomes(true, soon)
	if err != nil {
		return "", err
	}
	c.say("%s after a new start", state(open))
	if r.opened = opened; open {
		_, err = r.closing(&c)
	}
	return r.leftover(&c, err)
}

// ending tells the daemon to end, and says how long that takes, and whether the port stays open meanwhile.
func (r *rig) ending(c *cell) error {
	begin, lastOpen, done := time.Now(), time.Now(), make(chan error, 1)
	go func() {
		_, err := r.stop(r.ctx, stopLimit)
		done <- err
	}()
	for {
		select {
		case err := <-done:
			c.say("ends after %s", seconds(time.Since(begin)))
			if open := lastOpen.Sub(begin); open > time.Second {
				c.say("the port stays open for %s of them", seconds(open))
			}
			return err
		default:
		}
		if open, err := r.isOpen(tryFor); err != nil {
			return err
		} else if open {
			lastOpen = time.Now()
		}
	}
}

// knockedTwice knocks again before the time is up.
func (r *rig) knockedTwice() (string, error) {
	var c cell
	if err := r.open(); err != nil {
		return "", err
	}
	first := r.opened
	time.Sleep(time.Until(first.Add(min(r.life/2, grace)))) // the clients' own time, not a wait for anything
	packets, err := r.knock()
	if err != nil {
		return "", err
	}
	if err := r.send(packets...); err != nil {
		return "", err
	}
	second := time.Now()
	most, err := r.mostRules(time.Second)
	if err != nil {
		return "", err
	}
	c.say("rules: %d", most)
	closed, at, err := r.becomes(false, time.Until(second.Add(r.life+grace)))
	if err != nil {
		return "", err
	}
	if closed {
		c.say("closes %s after the first knock, %s after the second (of %.0f)",
			seconds(at.Sub(first)), seconds(at.Sub(second)), r.life.Seconds())
	} else {
		c.say("does not close")
	}
	return c.text(), nil
}
