package control

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"
)

// Answers are what a daemon can be asked. The functions may be called from several goroutines at once. Those of a name
// in an answer (of sources, of keys, of counters) are different in each list.
type Answers struct {
	// Status tells how the daemon is. It is asked at every look at the metrics too.
	Status func() Status
	// Why tells what the daemon knows of packets from an address, which may be one that it has never seen.
	Why func(netip.Addr) Why
	// Close closes what the target names and gives what that was, as it was before; nothing was open: none. ctx ends
	// with the daemon and after half a minute, but not when the one who asks goes away.
	Close func(context.Context, Target) ([]Lease, error)
}

// A Status is what a daemon is doing.
type Status struct {
	Version  string    `json:"version"`
	Process  int       `json:"process"` // its number
	Started  time.Time `json:"started"`
	Sources  []Source  `json:"sources"`  // where packets come from
	Leases   []Lease   `json:"leases"`   // what is open, forwarded or banned
	Keys     []Key     `json:"keys"`     // what opens
	Counters []Counter `json:"counters"` // since Started
}

// A Source is one place where packets come from.
type Source struct {
	Name     string    `json:"name"` // "/var/log/knock.log", "eth0"
	Watching bool      `json:"watching"`
	Since    time.Time `json:"since"`             // it is as Watching says; zero: not known
	Problem  string    `json:"problem,omitempty"` // why it is not watched
}

// The actions of a Lease.
const (
	Open    = "open"
	Forward = "forward"
	Ban     = "ban"
)

// A Lease is what one address may do, or with a Ban may not do, for a time.
type Lease struct {
	Address netip.Addr `json:"address"`
	Port    uint16     `json:"port"`         // of a Ban 0
	Proto   string     `json:"proto"`        // "tcp" or "udp"; of a Ban ""
	Action  string     `json:"action"`       // Open, Forward or Ban
	To      string     `json:"to,omitempty"` // of a Forward: "10.0.0.5:22"
	By      string     `json:"by"`           // what it was opened with: "key alice", "section openSSH", "key"
	From    netip.Addr `json:"from"`         // who knocked; "" if that is not known
	Until   *time.Time `json:"until"`        // null: no limit
	// Left is the whole seconds until Until, at least 0, when the answer was made; null: no limit. Serve fills it in.
	Left    *int64 `json:"left_seconds"`
	Waiting bool   `json:"waiting"` // it was granted, and the firewall is still being told, or refuses
	Closing bool   `json:"closing"` // it has ended, and the firewall is being told
}

// A Key is something that opens: a key, or a section with a sequence.
type Key struct {
	Name     string     `json:"name"` // "key", "key alice", "section openSSH"
	Accepted uint64     `json:"accepted"`
	Refused  uint64     `json:"refused"`
	Last     *time.Time `json:"last"` // when a knock was accepted; null: none was
	Left     *int       `json:"left"` // knocks left of a one-time pad or a list; null: there is no end of them
}

// A Counter is a number that the daemon keeps.
type Counter struct {
	Name  string  `json:"name"` // "knocks_accepted": lower case, digits and underscores; a metric is called after it
	Help  string  `json:"help"` // one sentence
	Value float64 `json:"value"`
	Gauge bool    `json:"gauge"` // it also goes down
}

// A Why is what is known of packets from one address, and why they open nothing.
type Why struct {
	Address  netip.Addr `json:"address"`
	Verdict  string     `json:"verdict"` // one sentence
	Findings []Finding  `json:"findings"`
	Open     []Lease    `json:"open"` // what is open to Address, or banned for it
}

// A Finding is one kind of thing that was seen of an address.
type Finding struct {
	Kind  string     `json:"kind"` // one word: "syns", "window", "refused", "prefix"
	Text  string     `json:"text"`
	Count uint64     `json:"count"` // how often; 0: it is not a thing to count
	Last  *time.Time `json:"last"`  // null: not known
}

// A Closed is what was closed for somebody who asked for it.
type Closed struct {
	Target Target  `json:"target"`
	Closed []Lease `json:"closed"` // as it was before
}

// sorted gives leases in the order of their addresses and ports, with Left as it is at now.
func sorted(leases []Lease, now time.Time) []Lease {
	leases = append([]Lease{}, leases...) // never nil, which would be null
	for i, l := range leases {
		leases[i].Left = nil
		if l.Until != nil {
			seconds := int64(max(0, l.Until.Sub(now)) / time.Second)
			leases[i].Left = &seconds
		}
	}
	slices.SortStableFunc(leases, func(a, b Lease) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Proto, b.Proto),
			cmp.Compare(a.Action, b.Action))
	})
	return leases
}

// tidy gives s as it is sent: in order, and with lists where there is nothing to list.
func (s Status) tidy(now time.Time) Status {
	s.Sources = append([]Source{}, s.Sources...)
	s.Leases = sorted(s.Leases, now)
	s.Keys = append([]Key{}, s.Keys...)
	s.Counters = append([]Counter{}, s.Counters...)
	return s
}

func (w Why) tidy(now time.Time) Why {
	w.Findings = append([]Finding{}, w.Findings...)
	w.Open = sorted(w.Open, now)
	return w
}
