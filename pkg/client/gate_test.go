package client

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/ui"
)

// A gate is a host that is knocked at, in a bubble.
type gate struct {
	err     error           // what a try ends with
	rejects bool            // what is closed is refused
	seldom  bool            // but once a second only, and not at first
	listens bool            // somebody does on the ports
	trip    time.Duration   // to the host and back
	latency time.Duration   // from a knock's arrival to what it does
	deaf    int             // how many knocks it does not hear
	allowed map[uint16]bool // nil: all ports
	lost    map[int]bool    // tries whose packets do not arrive, counted from 1
	closing bool            // what a knock does

	mu        sync.Mutex      // guards what follows
	open      map[uint16]bool // now
	conns     []net.Conn      // the host's ends
	next      time.Time       // when it may refuse again
	began     time.Time       // when all did
	knockedAt []time.Duration // since then
	triedAt   []time.Duration // since then
	flying    int             // tries that wait for an answer
	disturbed int             // knocks that began meanwhile
}

func (g *gate) knock(ctx context.Context, port uint16) error {
	synctest.Wait() // tries that end at this very moment have ended
	g.mu.Lock()
	g.knockedAt = append(g.knockedAt, time.Since(g.began))
	if g.flying > 0 {
		g.disturbed++
	}
	g.mu.Unlock()
	if err := sleepUntil(ctx, time.Now().Add(160*time.Millisecond)); err != nil {
		return err
	}
	if g.deaf--; g.deaf >= 0 || g.allowed != nil && !g.allowed[port] {
		return nil
	}
	time.AfterFunc(g.trip/2+g.latency, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.open[port] = !g.closing
	})
	return nil
}

func (g *gate) dial(ctx context.Context, port uint16) (net.Conn, error) {
	defer g.ends()
	if g.err != nil {
		return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", g.err)}
	}
	if !g.arrives() || sleepUntil(ctx, time.Now().Add(g.trip/2)) != nil {
		return drop(ctx)
	}
	g.mu.Lock()
	open := g.open[port]
	refuses := open || g.rejects && g.mayReject()
	g.mu.Unlock()
	if !refuses || sleepUntil(ctx, time.Now().Add(g.trip/2)) != nil {
		return drop(ctx)
	}
	if !open || !g.listens {
		return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", errRefused)}
	}
	ours, its := net.Pipe()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns = append(g.conns, its)
	return ours, nil
}

// mayReject tells whether a try at what is closed is refused.
func (g *gate) mayReject() bool {
	if g.next.IsZero() {
		g.next = g.began.Add(time.Second)
	}
	if g.seldom && time.Now().Before(g.next) {
		return false
	}
	g.next = time.Now().Add(time.Second)
	return true
}

// arrives tells whether the next try does.
func (g *gate) arrives() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.triedAt = append(g.triedAt, time.Since(g.began))
	g.flying++
	return !g.lost[len(g.triedAt)]
}

func (g *gate) ends() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flying--
}

func drop(ctx context.Context) (net.Conn, error) {
	<-ctx.Done()
	return nil, &net.OpError{Op: "dial", Err: context.DeadlineExceeded}
}

// wantGone insists that all connections but kept ones are closed.
func (g *gate) wantGone(t *testing.T, kept int) {
	t.Helper()
	for _, c := range g.conns {
		if err := c.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			continue // the other end is closed
		}
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			kept--
		}
	}
	if kept != 0 {
		t.Errorf("%d connections too few are kept of %d", kept, len(g.conns))
	}
}

var gateWay = way{src: netip.MustParseAddr("192.0.2.2"), host: netip.MustParseAddr("192.0.2.1"), open: netip.MustParseAddr("192.0.2.2")}

// pursued has a client look at a gate, and gives what it said, as the command would.
func pursued(t *testing.T, c config.Client, g *gate) (stdout, stderr string, status int) {
	t.Helper()
	g.began, g.open = time.Now(), orEmpty(g.open)
	c.Host = "gate"
	client, out, _ := newTestClient(c)
	terminal := new(bytes.Buffer)
	client.Progress = terminal
	line, _ := client.showProgress()
	v := client.newVerifier()
	v.dial, v.knock, v.show = g.dial, g.knock, line.show
	g.closing = v.closing
	o := newOutcome(client.Config)
	w := gateWay
	if c.Sequence != nil {
		w.open = netip.Addr{}
	}
	o.setWay(w)
	err := v.run(t.Context())
	line.clear()
	o.setVerified(v)
	kept := 0
	if v.conn != nil {
		kept = 1
	}
	g.wantGone(t, kept)
	if kept == 1 {
		v.conn.Close()
	}
	if shown := terminal.String(); !c.After.Proxy && !strings.HasSuffix(shown, " \r") || strings.Contains(shown, "\n") {
		t.Errorf("the terminal shows %q, want a line that was taken away", shown)
	}
	var said strings.Builder
	status = ui.Fail(&said, "knockclient", client.tell(o, err))
	return out.String(), said.String(), status
}

func orEmpty(m map[uint16]bool) map[uint16]bool {
	if m == nil {
		return map[uint16]bool{}
	}
	return m
}
