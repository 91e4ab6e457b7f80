package nflog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/packet"
)

// lookEvery is how often there is a sign of life, and how often a group that is taken is tried.
const lookEvery = 250 * time.Millisecond

// Options are the settings of a Listener.
type Options struct {
	// Group is the number that the firewall's rules name, 0..65535.
	Group uint16
	// Report, if not nil, gets what an operator should know: the group is taken by another program, is free again,
	// packets were lost (once a minute at most). It is called on changes, never for each packet, and from Run's
	// goroutine. The error may be nil.
	Report func(msg string, err error)
	// Started, if not nil, is called once: when the group is bound, or when it is known to be taken.
	Started func()
	// Looked, if not nil, is called as a sign of life, at least twice a second.
	Looked func()
}

// A Listener hands on the packets that the firewall hands over.
type Listener struct {
	o      Options
	buffer int // bytes
}

// New makes a Listener. It starts nothing.
func New(o Options) *Listener {
	if o.Report == nil {
		o.Report = func(string, error) {}
	}
	if o.Started == nil {
		o.Started = func() {}
	}
	if o.Looked == nil {
		o.Looked = func() {}
	}
	return &Listener{o: o, buffer: bufferSize}
}

// Run hands every packet to handle that a rule for the group sees after its start and that came in by an interface and
// has none to go out by, until ctx ends; then it returns nil. All calls come from Run's own goroutine, and in the order
// of the packets. At is left zero.
//
// Those are the packets of the chains INPUT and PREROUTING. A rule in PREROUTING also sees what is on its way to other
// hosts; it should name a destination. A packet that two rules hand over comes twice, and one that packet.DecodeIP
// refuses does not come at all.
//
// A group has one listener at a time: while another program has it, Run tries again, four times a second. Packets that
// come faster than they are read are lost. How many is told by the next one that comes, and reported, the first time at
// once.
//
// An error is one of asking the kernel for the group or reading from it. It wraps fs.ErrPermission if CAP_NET_ADMIN is
// what lacks.
func (l *Listener) Run(ctx context.Context, handle func(packet.Packet)) error {
	c, err := dial(l.buffer)
	if err != nil {
		return fmt.Errorf("failed to reach the firewall: %w", err)
	}
	defer c.Close()
	bound, err := l.bind(ctx, c)
	if err != nil {
		return fmt.Errorf("failed to bind NFLOG group %d: %w", l.o.Group, err)
	}
	if !bound {
		return nil
	}
	if err := l.listen(ctx, c, handle); err != nil {
		return fmt.Errorf("failed to read from NFLOG group %d: %w", l.o.Group, err)
	}
	return nil
}

// bind waits for the group, or for ctx.
func (l *Listener) bind(ctx context.Context, c *conn) (bound bool, err error) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for taken := false; ; taken = true {
		err := c.bind(l.o.Group)
		switch {
		case err == nil && taken:
			l.o.Report(fmt.Sprintf("NFLOG group %d is free again", l.o.Group), nil)
			return true, nil
		case err == nil:
			l.o.Started()
			return true, nil
		case !errors.Is(err, errTaken):
			return false, err
		case !taken:
			l.o.Report(fmt.Sprintf("NFLOG group %d is taken", l.o.Group), err)
			l.o.Started()
		}
		l.o.Looked()
		select {
		case <-ctx.Done():
			return false, nil
		case <-ticker.C:
		}
	}
}

// listen hands on packets until ctx ends.
func (l *Listener) listen(ctx context.Context, c *conn, handle func(packet.Packet)) error {
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var t tally
	for {
		if err := c.SetReadDeadline(time.Now().Add(lookEvery)); err != nil {
			return err
		}
		if ctx.Err() != nil { // before that deadline was set: it took the place of the one set by stop
			return nil
		}
		for {
			b, err := c.receive()
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil && !errors.Is(err, unix.ENOBUFS) { // that some were lost, their numbers tell
				return err
			}
			l.take(b, &t, handle)
		}
		l.o.Looked()
		if n := t.due(time.Now()); n > 0 {
			l.o.Report("packets of the firewall lost", fmt.Errorf("%d came faster than they were read", n))
		}
	}
}

// take hands on the packets in b.
func (l *Listener) take(b []byte, t *tally, handle func(packet.Packet)) {
	for m, rest, ok := cutMessage(b); ok; m, rest, ok = cutMessage(rest) {
		if m.kind != typePacket {
			continue // the end of a batch
		}
		e, ok := parseEntry(m.body)
		if !ok || e.group != l.o.Group {
			continue
		}
		t.add(e)
		if e.in == 0 || e.out != 0 || e.family != familyIPv4 && e.family != familyIPv6 {
			continue // sent or forwarded here, or of a bridge, whose packets may be for anybody
		}
		if p, err := packet.DecodeIP(e.payload); err == nil {
			handle(p)
		}
	}
}
