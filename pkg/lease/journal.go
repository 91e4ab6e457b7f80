package lease

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/journal"
)

// maxJournal bounds what is read, in bytes: MaxLeases of the longest.
const maxJournal = MaxLeases * 512

// fileOf is the journal at path.
func fileOf(path string) journal.File[record] {
	return journal.File[record]{Path: path, Form: "knockdaemon-journal", Version: 1, Max: maxJournal, Check: record.check}
}

// record is what a journal holds.
type record struct {
	Saved  time.Time `json:"saved"` // by the wall clock
	Boot   string    `json:"boot"`  // which boot the times since boot are of
	Leases []saved   `json:"leases"`
}

// saved is a lease in the journal. Of one without a limit the three times are
// zero; the others end at the earliest that any of them says.
type saved struct {
	IP     netip.Addr     `json:"ip"`
	Port   uint16         `json:"port,omitempty"`
	Action string         `json:"action"`           // accept, forward, drop, or ignore: a ban without a rule
	Proto  string         `json:"proto,omitempty"`  // udp; none: tcp
	To     netip.AddrPort `json:"to,omitzero"`      // where it is forwarded
	Until  time.Time      `json:"until,omitzero"`   // by the wall clock
	End    time.Duration  `json:"end_ns,omitempty"` // since boot
	Left   time.Duration  `json:"left_ns,omitempty"`
	By     string         `json:"by,omitempty"` // who had it opened, as [By] has it
	From   netip.Addr     `json:"from,omitzero"`
}

// Actions in a journal, and its one protocol.
const (
	actionAccept  = "accept"
	actionForward = "forward"
	actionDrop    = "drop"
	actionIgnore  = "ignore"

	protoUDP = "udp"
)

// check refuses what no Manager writes.
func (r record) check() error {
	if len(r.Leases) > MaxLeases {
		return fmt.Errorf("it holds %d leases, more than %d", len(r.Leases), MaxLeases)
	}
	for _, s := range r.Leases {
		if err := s.check(); err != nil {
			return err
		}
	}
	return nil
}

func (s saved) check() error {
	limited := s.End != 0
	r, _ := s.rule()
	switch {
	case s.Action != actionAccept && s.Action != actionForward && s.Action != actionDrop && s.Action != actionIgnore:
		return fmt.Errorf("%q is no action", s.Action)
	case s.Proto != "" && s.Proto != protoUDP:
		return fmt.Errorf("%q is no protocol", s.Proto)
	case r.Action == firewall.Drop && !limited:
		return fmt.Errorf("a ban of %s has no end", s.IP)
	case limited != !s.Until.IsZero() || limited != (s.Left != 0) || s.End < 0 || s.Left < 0:
		return fmt.Errorf("the lease of %s has half an end", s.IP)
	}
	return r.Check()
}

// savedOf gives a rule without an end as it stands in a journal.
func savedOf(r firewall.Rule, silent bool, by By) saved {
	s := saved{IP: r.Src, Port: r.Port, Action: actionAccept, To: r.To, By: by.Who, From: by.From}
	switch {
	case silent:
		s.Action = actionIgnore
	case r.Action == firewall.Drop:
		s.Action = actionDrop
	case r.Action == firewall.Forward:
		s.Action = actionForward
	}
	if r.Proto == firewall.UDP {
		s.Proto = protoUDP
	}
	return s
}

// rule gives the rule of s, and whether it is a ban that has none in the firewall.
func (s saved) rule() (r firewall.Rule, silent bool) {
	r = firewall.Rule{Src: s.IP, Port: s.Port, To: s.To, Action: firewall.Drop}
	switch s.Action {
	case actionAccept:
		r.Action = firewall.Accept
	case actionForward:
		r.Action = firewall.Forward
	}
	if s.Proto == protoUDP {
		r.Proto = firewall.UDP
	}
	return r, s.Action == actionIgnore
}

// left is how long s has still to go at now, in the given boot; r holds s. The
// time since boot tells it if that is the same boot's. After another one the wall
// clock does, which may be wrong: so never more than there was, and less of it if
// the clock cannot be believed.
func (s saved) left(r record, now journal.Instant, boot string) time.Duration {
	left := min(s.Until.Sub(now.Wall), s.Left)
	switch {
	case r.of(boot):
		left = min(left, s.End-now.Boot)
	case !r.believable(now, boot):
		left = min(left, s.Left-2*syncEvery)
	}
	return left
}

// of tells whether r was written in the given boot.
func (r record) of(boot string) bool { return boot != "" && boot == r.Boot }

// believable tells whether the clocks can say how long ago r was written: not if
// it was in another boot, and the wall clock has not got as far as it was then.
func (r record) believable(now journal.Instant, boot string) bool {
	return r.of(boot) || now.Wall.After(r.Saved)
}
