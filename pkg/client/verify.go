package client

import (
	"context"
	"net"
	"slices"
	"time"

	"github.com/portknock/knock/pkg/knock"
)

// A target is a port, and what is known of it.
type target struct {
	port   uint16
	before reply // the most that it said before the knock
	after  reply // the most that it said since; what it said last if it is to be closed
	done   bool  // it is as it should be
	tries  int
	open   int   // the last try that did not fail, if it is to be closed
	shut   []int // the tries since then that did
	no     []int // the tries that it refused, if it is to be opened
	why    error // what lies in the way, if anything does
}

// A verifier knocks until its targets are as they should be.
type verifier struct {
	targets  []*target
	together bool // one knock is for all targets
	closing  bool
	keep     bool // a connection, which is all that is asked for: no look before the knock
	near     bool // tries to connect could disturb a knock
	retries  int
	dial     dial
	knock    func(ctx context.Context, port uint16) error
	show     func(v *verifier, round int) // a round begins; 0: the look before the first knock

	began  time.Time // of the first knock
	knocks int       // sent so far
	conn   net.Conn  // that is kept
}

// verify knocks, and looks at the ports.
func (c *Client) verify(ctx context.Context, w way, o *outcome) (net.Conn, error) {
	line, knocker := c.showProgress()
	defer line.clear()
	v := c.newVerifier()
	v.dial, v.show = dialer(w.host), line.show
	v.knock = func(ctx context.Context, port uint16) error { return knocker.knock(ctx, w, port) }
	err := v.run(ctx)
	o.setVerified(v)
	return v.conn, err
}

func (c *Client) newVerifier() *verifier {
	v := &verifier{
		together: c.Config.Sequence != nil,
		closing:  c.closing(),
		keep:     c.Config.After.Proxy,
		retries:  c.Config.After.Retries,
	}
	for _, port := range c.Config.Ports {
		v.targets = append(v.targets, &target{port: port})
		v.near = v.near || c.isNear(port)
	}
	return v
}

// closing tells whether the knock closes its ports. What a sequence does, only the host knows.
func (c *Client) closing() bool { return c.Config.Sequence == nil && c.Config.Time == knock.Close }

// run knocks and looks, until all is well or there is nothing more to try, which is no error.
func (v *verifier) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	p := newProbes(v.dial)
	defer p.end()
	defer cancel()
	if !v.keep {
		v.show(v, 0)
		if err := v.look(ctx, p, paceBefore, true); err != nil {
			return err
		}
	}
	v.began = time.Now()
	for n := range v.retries + 1 {
		v.show(v, n+1)
		if err := v.knockAll(ctx, n == 0); err != nil {
			return err
		}
		if err := v.look(ctx, p, paceAfter(n, v.closing, v.wasSilent(), v.near), false); err != nil || v.settled(false) {
			return err
		}
	}
	return nil
}

// knockAll knocks for the targets that are not as they should be, or at first for all: a knock renews what is open.
func (v *verifier) knockAll(ctx context.Context, first bool) error {
	for _, t := range v.targets {
		if t.done && !first {
			continue
		}
		if err := v.knock(ctx, t.port); err != nil {
			return err
		}
		v.knocks++
		if v.together {
			break
		}
	}
	return nil
}

// look tries to connect to the targets that are not as they should be, until all are or the time is over. Tries may go
// on while the next knock is sent if they do not disturb it.
func (v *verifier) look(ctx context.Context, p *probes, pace pace, before bool) error {
	began := time.Now()
	phase, cancel := context.WithDeadline(ctx, began.Add(pace.end))
	defer cancel()
	trying := ctx
	if before {
		trying = phase
	}
	next := time.NewTimer(pace.at(0))
	defer next.Stop()
	for i := 0; !v.settled(before); {
		select {
		case <-phase.Done():
			return ctx.Err()
		case a := <-p.answers:
			v.take(a)
		case <-next.C:
			for _, t := range v.targets {
				if !t.settled(before) {
					p.try(trying, t, before, pace.lifetime)
				}
			}
			if i++; pace.at(i) <= pace.last {
				next.Reset(time.Until(began.Add(pace.at(i))))
			}
		}
	}
	return nil
}

// settled tells whether there is nothing more to learn: before the knock, or after it.
func (v *verifier) settled(before bool) bool {
	return !slices.ContainsFunc(v.targets, func(t *target) bool { return !t.settled(before) })
}

func (t *target) settled(before bool) bool { return t.done || before && t.before != silent }

// wasOpen tells whether a target that is to be opened was open before the knock.
func (v *verifier) wasOpen(t *target) bool { return !v.closing && t.before == accepted }

// take learns from the end of a try.
func (v *verifier) take(a answer) {
	t, r := a.target, replyOf(a.err)
	if v.keep && r == accepted && !t.done {
		t.after, t.done, v.conn = r, true, a.conn
		return
	}
	a.close()
	switch {
	case a.before:
		t.before = max(t.before, r)
		t.done = t.done || v.wasOpen(t)
	case t.done:
	case v.closing:
		if t.why = obstacle(a.err); a.err == nil || !isNotSent(a.err) { // else nothing is learnt
			t.takeShut(a.n, r)
		}
	default:
		t.takeOpen(a, r)
		t.done = r == accepted || !v.keep && inRow(t.no)
	}
}

// wasSilent tells whether a target did not answer before the knock.
func (v *verifier) wasSilent() bool {
	return slices.ContainsFunc(v.targets, func(t *target) bool { return t.before == silent })
}

// enough is how many tries, of which none later than the last that did not fail, must fail for a port to be closed: each
// can have been lost on the way. So many tries in a row must be refused for one to be open where nobody listens.
const enough = 3

// takeOpen learns from a try at a target that is to be opened. One that was silent and refuses now has its port open,
// unless it is a host that rejects what is closed and was not heard before the knock: because of a long way, or because
// it rejects only so often (Linux: once a second, icmp_ratelimit), and so not several tries in a row.
func (t *target) takeOpen(a answer, r reply) {
	t.after, t.why = max(t.after, r), obstacle(a.err)
	if r == refused && t.before == silent && !a.late {
		t.no = append(t.no, a.n)
	}
}

// inRow tells whether enough tries follow each other.
func inRow(tries []int) bool {
	slices.Sort(tries)
	for i := range len(tries) - enough + 1 {
		if tries[i+enough-1]-tries[i] == enough-1 {
			return true
		}
	}
	return false
}

// takeShut learns from try n at a target that is to be closed. A try that is in vain ends later than one that is not.
func (t *target) takeShut(n int, r reply) {
	t.after = r
	if r == accepted {
		t.open = max(t.open, n)
	} else {
		t.shut = append(t.shut, n)
	}
	t.shut = slices.DeleteFunc(t.shut, func(failed int) bool { return failed < t.open })
	t.done = len(t.shut) >= enough
}
