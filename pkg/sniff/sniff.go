package sniff

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/packet"
)

const (
	// lookEvery is how often the interface is looked at.
	lookEvery = 400 * time.Millisecond
	// readEvery is how often this machine's addresses are read, whatever comes.
	readEvery = 3 * time.Second
	// bufferSize is how much of the kernel's memory, in bytes, packets that wait may fill, for each of IPv4 and IPv6.
	bufferSize = 4 << 20
)

// Options are the settings of a Sniffer.
type Options struct {
	// Interface is the name of the interface, which need not exist: 1 to 15 bytes. It is the one that the firewall
	// would name: a VLAN's packets come by the VLAN's interface, those of a bridge or a bond by its own.
	Interface string
	// Wants are the packets to hand on. There are no more than 64 combinations of protocol and flags; of
	// none nothing is handed on.
	Wants []Want
	// Targets are destinations that count beside this machine's own addresses.
	Targets []netip.Addr
	// Report, if not nil, gets what an operator should know: the interface is not there, is down, is back, was
	// replaced, cannot be sniffed; packets were lost (once a minute at most). It is called on changes, never for
	// each packet, and from Run's goroutine. The error may be nil.
	Report func(msg string, err error)
	// Started, if not nil, is called once: when Run listens, or knows that the interface cannot be listened to yet.
	Started func()
	// Looked, if not nil, is called after each look at the interface: a sign of life, at least twice a second.
	Looked func()
}

// A Sniffer hands on the packets that an interface receives.
type Sniffer struct {
	name    string
	classes []class
	changed bool // since the kernel's filters were made
	targets []netip.Addr
	report  func(msg string, err error)
	started func()
	looked  func()
	buffer  int
}

// New gives a Sniffer, and starts nothing. The errors are those of a name that no interface can have, and of Wants
// that are none, too many, or match nothing.
func New(o Options) (*Sniffer, error) {
	if n := o.Interface; n == "" || len(n) > 15 || n == "." || n == ".." || strings.ContainsAny(n, "/: \t\n\v\f\r\x00") {
		return nil, fmt.Errorf("%q cannot be the name of an interface: 1 to 15 bytes, no blank, slash or colon", n)
	}
	classes, err := classesOf(o.Wants)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(o.Targets, func(a netip.Addr) bool { return !a.IsValid() }) {
		return nil, errors.New("a target is no address")
	}
	s := &Sniffer{name: o.Interface, classes: classes, targets: slices.Clone(o.Targets), report: o.Report, started: o.Started, looked: o.Looked, buffer: bufferSize}
	if s.report == nil {
		s.report = func(string, error) {}
	}
	if s.started == nil {
		s.started = func() {}
	}
	if s.looked == nil {
		s.looked = func() {}
	}
	return s, nil
}

// SetWants has other packets handed on from now on. It is for the function that Run calls with each packet, and costs
// none of those that are wanted before and after. The errors are those of New, and change nothing.
func (s *Sniffer) SetWants(wants []Want) error {
	classes, err := classesOf(wants)
	if err != nil {
		return err
	}
	s.classes, s.changed = classes, true
	return nil
}

// Run hands every wanted packet that comes in by the interface to handle, until ctx ends; then it returns nil. All
// calls come from Run's own goroutine, and it is the network namespace of its start that is sniffed.
//
// A packet counts if it is addressed to this machine, by its link head and by its IP head: to an address of any
// interface, or a target. It does not if the kernel would refuse it unseen: a broken IP head, a source that is this
// machine's own address or nobody's, 127.0.0.0/8 or ::1 on any interface but the loopback. A later fragment does not
// count, nor does TCP or UDP behind an extension header of IPv6.
//
// The interface is looked at more than twice a second. One that is missing, down or replaced is waited for; what
// it receives between its return and the next look is not seen. The only errors are those of the start: without
// CAP_NET_RAW it is one that wraps fs.ErrPermission.
func (s *Sniffer) Run(ctx context.Context, handle func(packet.Packet)) error {
	if err := Allowed(); err != nil {
		return err
	}
	w, err := newWaker(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	t := &tap{Sniffer: s, ours: NewOurs(s.targets), handle: handle, fds: []unix.PollFd{w.poll()}}
	defer t.close()
	t.look()
	s.started()
	s.looked()
	next := time.Now().Add(lookEvery)
	for ctx.Err() == nil {
		t.read(time.Until(next))
		if !time.Now().Before(next) {
			t.look()
			s.looked()
			next = time.Now().Add(lookEvery)
		}
	}
	return nil
}
