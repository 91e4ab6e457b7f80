package daemon

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/onetime"
	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/sequence"
	"github.com/portknock/knock/pkg/sniff"
)

// An event is a section of the configuration about a sequence of ports.
type event struct {
	config.Event
	once *onetime.File // its sequences, each of which counts once; nil: there is only one
	list func(path string) (*onetime.File, error)

	tally *tally
}

// title is how an operator reads of e: "section openSSH".
func (e *event) title() string { return "section " + e.Name }

// setEvents makes what looks for the sequences of events.
func (p *pipeline) setEvents(c *config.Daemon) (err error) {
	var sections []sequence.Section
	for _, one := range c.Events {
		e := &event{Event: one, tally: new(tally)}
		if one.OneTime != "" {
			if e.list = onetime.Open; c.Test || c.Replay != "" {
				e.list = onetime.OpenReader
			}
			if e.once, err = e.list(one.OneTime); err != nil {
				return fmt.Errorf("[%s]: %w", one.Name, err)
			}
			e.Match.Steps = e.once.Steps()
		}
		p.events = append(p.events, e)
		sections = append(sections, e.Match)
		if t := one.Match.Target; t.IsValid() && !slices.Contains(p.foreign, t) {
			p.foreign = append(p.foreign, t)
		}
	}
	p.ours = ownAddresses(c)
	if len(sections) > 0 {
		p.sequences, err = sequence.New(sections, sequence.Options{Ours: p.ours})
	}
	return err
}

// ownAddresses tells which addresses are this machine's. A log that is replayed may be another machine's.
func ownAddresses(c *config.Daemon) func(netip.Addr) bool {
	if c.Replay != "" {
		return func(netip.Addr) bool { return false }
	}
	return sniff.NewOurs(nil).Has
}

// succeedSequences lets p go on with the tries that old remembers, if it looks for the same.
func (p *pipeline) succeedSequences(old *pipeline) {
	same := func(a, b *event) bool { return reflect.DeepEqual(a.Match, b.Match) }
	if slices.EqualFunc(p.events, old.events, same) {
		p.sequences = old.sequences
	}
}

// observeSequences looks whether a packet ends a sequence.
func (p *pipeline) observeSequences(pkt packet.Packet) {
	for _, m := range p.sequences.Observe(pkt, p.now) {
		e := p.events[m.Section]
		d := decision{src: m.Src, event: e, port: m.Port}
		if e.once != nil { // it has been seen on its way, heeded or not
			d.refusal = p.useUp(m.Section, e)
		}
		if d.refusal == "" {
			d.refusal = e.refusal(m)
		}
		p.decide(d)
	}
}

// useUp marks a sequence that counts once, and says why the knock must not be heeded, or nothing. A list that somebody
// has changed meanwhile is taken up anew: if the sequence is the first of it still, it is marked there, and if not, the
// next knock is one of the new list.
func (p *pipeline) useUp(section int, e *event) (refusal string) {
	err := e.once.Use()
	if err != nil {
		if list, listErr := e.list(e.OneTime); listErr == nil {
			e.once = list
			if slices.Equal(list.Steps(), e.Match.Steps) {
				err = list.Use()
			}
		}
	}
	if err != nil {
		refusal = "its sequence cannot be marked as used: " + err.Error()
	}
	if !slices.Equal(e.Match.Steps, e.once.Steps()) {
		e.Match.Steps = e.once.Steps()
		p.sequences.Replace(section, e.Match.Steps)
		p.moved(e)
	}
	return refusal
}

// refusal says why a sequence that came is not heeded, or nothing.
func (e *event) refusal(m sequence.Match) string {
	switch {
	case e.AllowIPs != nil && !contains(e.AllowIPs, m.Src):
		return fmt.Sprintf("%s is not in allow-ips", m.Src)
	case e.Match.Digits != 0 && !e.Dynamic.Contains(m.Port):
		return fmt.Sprintf("port %d is not in allow_ports", m.Port)
	case !m.Src.Is4() && e.OpensPorts():
		return "it came from an IPv6 address, and ports are opened to IPv4 addresses only"
	}
	return ""
}

// opens gives the rules that e puts in for src; port is the one that a knock asked for, if e leaves that to it.
func (e *event) opens(src netip.Addr, port uint16) (rules []firewall.Rule) {
	if e.Match.Digits != 0 {
		rules = append(rules, config.PortProto{Port: port, Proto: packet.TCP}.Rule(src))
	}
	for _, p := range e.Open {
		rules = append(rules, p.Rule(src))
	}
	for _, f := range e.Forward {
		rules = append(rules, f.Rule(src))
	}
	return rules
}

// says tells what a knock of src does, in words: "close 80/tcp, open 22/tcp for 15 min, run /bin/true".
func (e *event) says(src netip.Addr, port uint16) string {
	var parts []string
	for _, p := range e.Close {
		parts = append(parts, "close "+p.String())
	}
	limit := " without time limit"
	if e.Time > 0 {
		limit = fmt.Sprintf(" for %d min", e.Time/time.Minute)
	}
	if e.Match.Digits != 0 {
		parts = append(parts, "open "+config.PortProto{Port: port, Proto: packet.TCP}.String()+limit)
	}
	for _, p := range e.Open {
		parts = append(parts, "open "+p.String()+limit)
	}
	for _, f := range e.Forward {
		parts = append(parts, fmt.Sprintf("forward %s to %s%s", f.Port, f.To, limit))
	}
	if job, ok := e.job(src); ok {
		parts = append(parts, saysOf(job))
	}
	return strings.Join(parts, ", ")
}
