package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// A contender is a daemon that is compared.
type contender struct {
	title string
	life  time.Duration // the shortest time that it opens a port for
	make  func(*lab, settings) (daemon, error)
}

// settings are what a fault asks for.
type settings struct {
	life    time.Duration // how long a knock opens the port
	header  bool          // knockdaemon: a knock carries an IV of its own
	logDisk bool          // knockdaemon: the firewall's log is on the small disk
}

// A daemon is a contender that is configured in a lab.
type daemon interface {
	command() *exec.Cmd       // runs it in the foreground, at the gate
	reports() []string        // the files that it writes what it has to say to
	ready() string            // what it says when it sees packets
	knock() ([]packet, error) // as its client sends it, one more at each call
	junk(n int) packet        // number n of a flood, each from another address
	floods() (n, rate int)    // how many packets and how many a second
	spoil() error             // makes its configuration one that it refuses to start with
}

// A rig is a daemon that runs in a lab.
type rig struct {
	*lab
	daemon
	*process
	settings
	opened time.Time // when the port was last seen to open
}

// newRig builds a lab with a running daemon, and throws it away if it fails.
func newRig(ctx context.Context, o options, c *contender, s settings) (*rig, error) {
	l, err := newLab(ctx, o)
	if err != nil {
		return nil, err
	}
	if s.life == 0 {
		s.life = c.life
	}
	r := &rig{lab: l, settings: s}
	r.daemon, err = c.make(l, s)
	if err == nil {
		err = r.start()
	}
	if err != nil {
		return nil, errors.Join(err, l.tearDown())
	}
	return r, nil
}

var errEnded = errors.New("the daemon has ended")

// start starts the daemon and waits until it sees packets, or for errEnded.
func (r *rig) start() (err error) {
	for _, file := range r.reports() { // the last run's
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if r.process, err = r.spawn("daemon", r.command()); err != nil {
		return err
	}
	return eventually(r.ctx, patience, "the daemon to be ready", func() (bool, error) {
		if strings.Contains(r.words(), r.ready()) {
			return true, nil
		}
		if over, _ := r.isOver(); over {
			return false, fmt.Errorf("%w; it said: %s", errEnded, r.words())
		}
		return false, nil
	})
}

// words gives all that the daemon has said since its start.
func (r *rig) words() string {
	var all strings.Builder
	for _, file := range r.reports() {
		text, _ := os.ReadFile(file) // it may have nothing to say yet
		all.Write(text)
	}
	return all.String()
}

var errNoOpening = errors.New("a good knock opens nothing")

// open knocks, and insists that it opens the port.
func (r *rig) open() error {
	opens, err := r.knocks(patience)
	if err == nil && !opens {
		err = fmt.Errorf("%w; the daemon said: %s", errNoOpening, r.words())
	}
	return err
}

// knocks knocks, and reports whether that opens the port.
func (r *rig) knocks(limit time.Duration) (bool, error) {
	packets, err := r.knock()
	if err != nil {
		return false, err
	}
	return r.opens(limit, packets...)
}

// opens sends packets, and reports whether they open the port.
func (r *rig) opens(limit time.Duration, packets ...packet) (bool, error) {
	if err := r.send(packets...); err != nil {
		return false, err
	}
	opens, at, err := r.becomes(true, limit)
	if opens {
		r.opened = at
	}
	return opens, err
}

// becomes waits until the port is open or not, and says since when. Twice the same is believed, for one try may be
// lost on a busy machine.
func (r *rig) becomes(open bool, limit time.Duration) (bool, time.Time, error) {
	var since time.Time
	limitOfTry := tryFor
	if open {
		limitOfTry /= 5 // to see soon when it opens
	}
	err := eventually(r.ctx, limit, "the port", func() (bool, error) {
		now := time.Now()
		got, err := r.isOpen(limitOfTry)
		if err != nil || got != open {
			since = time.Time{}
			return false, err
		}
		if since.IsZero() {
			since = now
			return false, nil
		}
		return true, nil
	})
	if errors.Is(err, errInVain) {
		return false, since, nil
	}
	return err == nil, since, err
}
