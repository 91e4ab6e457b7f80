package test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/knock"
)

var (
	crashRounds = flag.Int("crash-rounds", 60, "how often TestCrashes kills the daemon")
	crashSeed   = flag.Uint64("crash-seed", 1, "what TestCrashes draws its knocks and instants from")
)

// A wish is what a rule can be: what somebody asked for, or what it was before.
type wish struct {
	at   time.Time // when it was asked for
	open bool
	end  time.Time // zero: no limit
}

// is tells whether a rule is as w says: one whose end has come may be gone.
func (w wish) is(open bool, end, now time.Time) bool {
	const slack = 3 * time.Second // from the writing of the log to the lease
	switch {
	case open:
		return w.open && w.end.IsZero() == end.IsZero() && end.Sub(w.end).Abs() < slack
	case w.open:
		return !w.end.IsZero() && now.After(w.end.Add(-slack))
	default:
		return true
	}
}

// crashes are the rounds of TestCrashes.
type crashes struct {
	*lab
	random *rand.Rand
	wishes map[string][]wish // by "ADDRESS PORT": what it was at the last start, and what was asked for since
}

// TestCrashes kills the daemon at random instants while knocks arrive. After each
// start the rules are the leases of the journal, each once; none has ended; each is
// what was asked for, and not what was before something that the daemon had said it
// had done; and nothing of anybody else's was touched.
func TestCrashes(t *testing.T) {
	t.Parallel()
	c := &crashes{newGate(t, "iptables"), rand.New(rand.NewPCG(*crashSeed, 1)), map[string][]wish{}}
	before := c.foreign()
	for round := range *crashRounds {
		d := c.daemon()
		c.check()
		if t.Failed() {
			t.Fatalf("in round %d of seed %d", round, *crashSeed)
		}
		life := time.Duration(c.random.IntN(150)) * time.Millisecond
		for end := time.Now().Add(life); time.Now().Before(end); {
			c.knock()
			time.Sleep(time.Duration(c.random.IntN(30)) * time.Millisecond) // knocks come when they come
		}
		d.kill()
		c.trust(d)
		c.wantForeign(before)
	}
	d := c.daemon()
	c.check()
	d.stop()
	c.wantRules()
	c.wantForeign(before)
}

// knock asks for one of a few rules to be opened or closed.
func (c *crashes) knock() {
	p := knock.Payload{
		IP:   netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + c.random.IntN(4))}),
		Port: []uint8{22, 80}[c.random.IntN(2)],
		Time: []uint8{knock.Forever, 1, 1, 254, knock.Close}[c.random.IntN(5)],
	}
	name := fmt.Sprintf("%s %d", p.IP, p.Port)
	w := wish{at: time.Now(), open: p.Time != knock.Close}
	if w.open && p.Time != knock.Forever {
		w.end = w.at.Add(time.Duration(p.Time) * time.Minute)
	}
	if c.wishes[name] == nil {
		c.wishes[name] = []wish{{}} // closed
	}
	c.wishes[name] = append(c.wishes[name], w)
	c.say(p)
}

// trust takes the daemon at its word: what it said it had done was done, so that
// only what was asked for about then or later can be in force instead.
func (c *crashes) trust(d *runningDaemon) {
	c.t.Helper()
	for _, e := range d.events() {
		done := wish{open: true}
		switch e["msg"] {
		case "rule closed", "rule expired":
			done.open = false
		case "rule opened", "rule refreshed":
			if e["until"] != "no limit" {
				done.end = d.timeOf(e, "until")
			}
		default:
			continue
		}
		done.at = d.timeOf(e, "time")
		name := fmt.Sprint(e["ip"], " ", e["port"])
		// A rule changes twice a second at most: a wish can wait for that long.
		older := func(w wish) bool { return w.at.Before(done.at.Add(-1500 * time.Millisecond)) }
		c.wishes[name] = append([]wish{done}, slices.DeleteFunc(c.wishes[name], older)...)
	}
}

// check compares the rules with the journal and with the wishes, and takes them
// for granted from then on.
func (c *crashes) check() {
	c.t.Helper()
	rules := c.open()
	slices.Sort(rules)
	leases, ends := c.journal()
	if diff := cmp.Diff(leases, rules); diff != "" {
		c.t.Errorf("rules are not leases (-journal +firewall):\n%s", diff)
	}
	now := time.Now()
	for name, end := range c.ends() {
		if end.Sub(ends[name]).Abs() > 2*time.Second || end.Before(now.Add(-2*time.Second)) {
			c.t.Errorf("at %v %s ends at %v in the firewall, and at %v in the journal", now, name, end, ends[name])
		}
	}
	for name, wishes := range c.wishes {
		open, end := slices.Contains(rules, name), ends[name]
		if !slices.ContainsFunc(wishes, func(w wish) bool { return w.is(open, end, now) }) {
			c.t.Errorf("at %v %s is open: %t, until %v; want one of %v", now, name, open, end, wishes)
		}
		c.wishes[name] = []wish{{now, open, end}}
	}
	for _, name := range rules {
		if c.wishes[name] == nil {
			c.t.Errorf("%s is open, and nobody asked for it", name)
		}
	}
	c.wantJump()
}
