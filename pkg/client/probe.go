package client

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/packet"
)

// A reply is what a port makes of a try to connect to it, in the order of how much it tells.
type reply int

const (
	silent   reply = iota // nothing came, or that there is no way
	refused               // the host said no: nobody listens there, or its firewall rejects
	accepted              // a connection
)

func (r reply) String() string { return [...]string{"is silent", "refuses", "is open"}[r] }

// replyOf says how a try ended.
func replyOf(err error) reply {
	switch {
	case err == nil:
		return accepted
	case errors.Is(err, errRefused):
		return refused
	}
	return silent
}

// obstacle gives what a try met with that is neither silence nor a refusal; else nil.
func obstacle(err error) error {
	var op *net.OpError
	if replyOf(err) != silent || !errors.As(err, &op) || op.Timeout() {
		return nil
	}
	return op.Err
}

// A dial tries to connect to a port, once, until ctx is over.
type dial func(ctx context.Context, port uint16) (net.Conn, error)

// keepAlive is how long a connection may be idle before the host is asked whether it is still there.
const keepAlive = 30 * time.Second

func dialer(host netip.Addr) dial {
	return func(ctx context.Context, port uint16) (net.Conn, error) {
		d := net.Dialer{KeepAlive: keepAlive}
		return d.DialContext(ctx, "tcp", netip.AddrPortFrom(host, port).String())
	}
}

// A pace says when tries are made, counted from the beginning of a look.
type pace struct {
	first    []time.Duration // the first tries
	every    time.Duration   // from one to the next after those
	last     time.Duration   // no try begins later
	end      time.Duration   // when the look is over
	lifetime time.Duration   // of a try
}

// The look before the knock tries twice, so that one lost packet is not taken for silence.
var paceBefore = pace{first: []time.Duration{0, silence * 4 / 9}, every: silence, last: silence / 2, end: silence, lifetime: silence}

// at gives when try i is made, counted from 0.
func (p pace) at(i int) time.Duration {
	if i < len(p.first) {
		return p.first[i]
	}
	more := i + 1 - len(p.first)
	return p.first[len(p.first)-1] + time.Duration(more)*p.every
}

// paceAfter is that of the look after knock n, counted from 0. Tries overlap, so that neither a lost packet, nor a long
// way, nor a slow daemon makes it wait for one that is in vain. They come often at first, when a knock opens as a rule.
// What is silent counts as closed once it has had time to answer: more if the way is far, perhaps, since nothing was
// heard before the knock either.
//
// A try at a port that is itself among the knock ports must keep away from the knocks: a daemon that finds it in the
// midst of one does not know the knock. The tries are then fewer; one is so short that the kernel does not repeat it,
// and there is a pause between tries and knocks.
func paceAfter(n int, closing, far, near bool) pace {
	const lifetime = 2500 * time.Millisecond
	pauses := []time.Duration{1500, 2000, 3000, 4000, 5000, 6000}
	end := pauses[min(n, len(pauses)-1)] * time.Millisecond
	p := pace{
		first: []time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 300 * time.Millisecond},
		every: 250 * time.Millisecond, last: end, end: end, lifetime: lifetime,
	}
	if closing && !far {
		p.lifetime = silence
	}
	if closing {
		p.end = end + p.lifetime
	}
	if near {
		p.first, p.every = []time.Duration{300 * time.Millisecond}, 500*time.Millisecond
		p.lifetime, p.end = silence, end+silence+nearPause
	}
	return p
}

// nearPause is how long after the end of the last try at a knock port a knock may begin.
const nearPause = 100 * time.Millisecond

// isNear tells whether a port lies where the knocks go. Of a sequence the host may watch all ports between its first and
// its last.
func (c *Client) isNear(port uint16) bool {
	if c.Config.Sequence == nil {
		first := cmp.Or(c.Config.Knock.PortMin, knock.DefaultPortMin)
		return port >= first && port-first <= 255
	}
	low, high := uint16(65535), uint16(0)
	for _, s := range c.Config.Sequence {
		if s.Proto == packet.TCP {
			low, high = min(low, s.Port), max(high, s.Port)
		}
	}
	return low <= port && port <= high
}

// An answer is the end of a try.
type answer struct {
	target *target
	n      int  // which of the tries at the target it was, counted from 0
	before bool // it was made before the first knock
	late   bool // the look before the knock would not have heard it
	conn   net.Conn
	err    error // why there is no conn
}

func (a answer) close() {
	if a.conn != nil {
		a.conn.Close()
	}
}

// probes are tries that are under way.
type probes struct {
	dial    dial
	answers chan answer
	over    chan struct{} // closed when nobody listens to answers any more
	group   sync.WaitGroup
}

func newProbes(d dial) *probes {
	return &probes{dial: d, answers: make(chan answer), over: make(chan struct{})}
}

// try begins a try, and tells of its end, unless ctx ends it.
func (p *probes) try(ctx context.Context, t *target, before bool, lifetime time.Duration) {
	n := t.tries
	t.tries++
	p.group.Go(func() {
		limited, cancel := context.WithTimeout(ctx, lifetime)
		defer cancel()
		began := time.Now()
		conn, err := p.dial(limited, t.port)
		a := answer{t, n, before, time.Since(began) > silence, conn, err}
		if err != nil && ctx.Err() != nil {
			return
		}
		select {
		case p.answers <- a:
		case <-p.over:
			a.close()
		}
	})
}

// end ends all tries. Their context must be over.
func (p *probes) end() {
	close(p.over)
	p.group.Wait()
}
