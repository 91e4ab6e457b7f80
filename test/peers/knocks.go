package main

import (
	"errors"
	"time"
)

// duplicated sends the second packet of a knock twice in a row, or the only one.
func (r *rig) duplicated() (string, error) {
	return r.disturbed(func(p []packet) []packet {
		if len(p) == 1 {
			return append(p, p[0])
		}
		return append(p[:2:2], p[1:]...)
	})
}

// retransmitted sends the first packet again after the second, or the only one again: the kernel does so after a second
// with a SYN that nobody answered, and knocks may be slower than that.
func (r *rig) retransmitted() (string, error) {
	return r.disturbed(func(p []packet) []packet {
		if len(p) == 1 {
			return append(p, p[0])
		}
		return append(append(p[:2:2], p[0]), p[2:]...)
	})
}

// swapped sends the third packet before the second. Each keeps its source port: they were numbered in the order of the
// knock, which is what knockclient does too.
func (r *rig) swapped() (string, error) {
	packets, err := r.knock()
	if err != nil {
		return "", err
	}
	if len(packets) == 1 {
		return "– (one packet)", nil
	}
	return r.disturbed(func(p []packet) []packet {
		p[1], p[2] = p[2], p[1]
		return p
	})
}

// disturbed knocks with packets that something happened to, and then with a good knock if they were in vain.
func (r *rig) disturbed(by func([]packet) []packet) (string, error) {
	var c cell
	packets, err := r.knock()
	if err != nil {
		return "", err
	}
	opens, err := r.opens(soon, by(packets)...)
	if err != nil {
		return "", err
	}
	if opens {
		n, err := r.mostRules(time.Second)
		c.say("opens, rules: %d", n)
		return c.text(), err
	}
	c.say("does not open")
	return r.again(&c)
}

// replayed sends a knock again when the port has closed, from other source ports.
func (r *rig) replayed() (string, error) {
	var c cell
	packets, err := r.knock()
	if err != nil {
		return "", err
	}
	if opens, err := r.opens(patience, packets...); err != nil || !opens {
		return "", errors.Join(err, errNoOpening)
	}
	if closed, err := r.closing(&c); err != nil || !closed {
		return c.text(), err
	}
	c = nil // when it closes is not the question
	opens, err := r.opens(soon, r.fresh(packets)...)
	if opens {
		c.say("opens it again")
	} else {
		c.say("does not open")
	}
	return c.text(), err
}
