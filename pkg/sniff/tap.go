package sniff

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/packet"
)

// A state is what is known of the interface.
type state int

const (
	unknown state = iota
	up
	down
	missing
	failing // it cannot be listened to, or not be found out about
)

// A tap is a Sniffer at work.
type tap struct {
	*Sniffer
	ours   *Ours
	handle func(packet.Packet)

	index    int // of the interface that is listened to; 0: none
	loopback bool
	sockets  []*socket
	fds      []unix.PollFd // the end's, and then those of sockets
	state    state
	noAddrs  bool // this machine's addresses could not be read
	lost     losses
	buf      [snap]byte
}

// look listens to the interface that has the name now, and reports what has changed.
func (t *tap) look() {
	if time.Since(t.ours.read) >= readEvery {
		t.readAddrs()
	}
	t.count()
	t.lost.tell(time.Now(), t.report)
	link, err := find(t.name)
	switch {
	case err != nil:
		t.become(failing, err) // and goes on listening
		return
	case link == nil:
		t.close()
		t.become(missing, nil)
		return
	case link.Index != t.index || !t.bound():
		replaced := t.index != 0
		t.close()
		if err := t.open(link); err != nil {
			t.close()
			t.become(failing, err)
			return
		}
		if replaced && t.state == up {
			t.report("interface was replaced", nil)
		}
	}
	if link.Flags&net.FlagUp == 0 {
		t.become(down, nil)
		return
	}
	if t.state != up {
		t.readAddrs() // it comes with its own
	}
	t.become(up, nil)
}

// find gives the interface of a name, nil if there is none. It asks for all of them: to ask for one that is missing
// by its name would have the kernel look for a module of that name, each time.
func find(name string) (*net.Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("failed to list the interfaces: %w", err)
	}
	for _, link := range all {
		if link.Name == name {
			return &link, nil
		}
	}
	return nil, nil
}

func (t *tap) become(s state, err error) {
	if s == t.state {
		return
	}
	was := t.state
	t.state = s
	switch {
	case s == missing:
		t.report("interface is not there", nil)
	case s == down:
		t.report("interface is down", nil)
	case s == failing:
		t.report("interface cannot be sniffed", err)
	case was != unknown:
		t.report("interface is sniffed now", nil)
	}
}

func (t *tap) readAddrs() {
	err := t.ours.Refresh()
	if err != nil && !t.noAddrs {
		t.report("addresses cannot be read", err)
	} else if err == nil && t.noAddrs {
		t.report("addresses can be read again", nil)
	}
	t.noAddrs = err != nil
}

// open begins to listen to link.
func (t *tap) open(link *net.Interface) error {
	wide := widened(t.classes, maxSpans)
	for _, f := range families {
		s, err := newSocket(link, f, wide, t.buffer)
		if err != nil {
			return err
		}
		t.sockets = append(t.sockets, s)
		t.fds = append(t.fds, unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN})
	}
	t.index, t.loopback = link.Index, link.Flags&net.FlagLoopback != 0
	return nil
}

func (t *tap) close() {
	t.count()
	for _, s := range t.sockets {
		s.close()
	}
	t.index, t.sockets, t.fds = 0, nil, t.fds[:1]
}

// bound tells whether the sockets still belong to the interface. Another can have come by its number.
func (t *tap) bound() bool {
	return !slices.ContainsFunc(t.sockets, func(s *socket) bool { return s.index() != t.index })
}

// count asks the kernel for what it has dropped.
func (t *tap) count() {
	for _, s := range t.sockets {
		t.lost.add(s.drops())
	}
}

// read waits for packets, for as long as given at most, and hands on some of those that are there.
func (t *tap) read(wait time.Duration) {
	n, err := unix.Poll(t.fds, int(max(0, wait+time.Millisecond-1)/time.Millisecond))
	if err != nil || n == 0 {
		return // a signal, or nothing
	}
	for i, s := range t.sockets {
		if t.fds[1+i].Revents == 0 {
			continue
		}
		if err := t.drain(s); err != nil {
			t.close() // the next look opens it anew
			t.become(failing, err)
			return
		}
	}
}

// drain hands on what s has, at most some packets: the other family, and the end, have their turn.
func (t *tap) drain(s *socket) error {
	for range 64 {
		n, err := unix.Read(s.fd, t.buf[:])
		switch {
		case err == nil:
			if p, err := packet.DecodeIP(t.buf[:n]); err == nil && t.takes(p) {
				t.handle(p)
				if err := t.refilter(); err != nil {
					return err
				}
			}
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			return nil
		case errors.Is(err, unix.ENETDOWN):
			return nil // told once; the socket listens on if the interface comes up again
		default:
			return fmt.Errorf("failed to read packets from %q: %w", t.name, err)
		}
	}
	return nil
}

// refilter has the kernel pick out other packets, if others are wanted now.
func (t *tap) refilter() error {
	if !t.changed {
		return nil
	}
	t.changed = false
	wide := widened(t.classes, maxSpans)
	for _, s := range t.sockets {
		if err := s.filter(wide, t.index); err != nil {
			return err
		}
	}
	return nil
}

// takes tells whether p is wanted, and one that the kernel would let in.
func (t *tap) takes(p packet.Packet) bool {
	wanted := false
	for i := range t.classes {
		wanted = wanted || t.classes[i].has(p)
	}
	if !wanted || p.Src.IsUnspecified() || p.Src.IsMulticast() || p.Src == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return false
	}
	if !t.loopback && (p.Src.IsLoopback() || p.Dst.IsLoopback() || t.ours.knows(p.Src)) {
		return false
	}
	return t.ours.Has(p.Dst)
}
