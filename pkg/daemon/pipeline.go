package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/lease"
	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/sequence"
	"github.com/portknock/knock/pkg/tracker"
)

// A pipeline is the way of a knock from a packet to a decision. The live daemon and the replay share it; they differ
// in what the time is and in what is done with a decision.
type pipeline struct {
	keys    []*key
	tracker *tracker.Tracker
	options tracker.Options
	asked   *matcher  // by the tracker
	now     time.Time // of the packet that is looked at

	events    []*event
	sequences *sequence.Matcher // nil: there are no events
	foreign   []netip.Addr      // that sequences are sent to; some may be ours
	ours      func(netip.Addr) bool

	decide func(decision)
	moved  func(*event) // it has other steps now, or none
}

// A decision is what a knock asked for, and why it is refused.
type decision struct {
	src     netip.Addr
	refusal string // empty: it is heeded

	key     *key // whose knock it is, sealed
	payload knock.Payload

	event *event // or which sequence it is
	port  uint16 // that it asks for, if the event is one of a dynamic port
}

// String says what is asked for: "open 192.0.2.1 port 22 for 15 min".
func (d decision) String() string {
	if d.event != nil {
		return d.event.says(d.src, d.port)
	}
	if to, ok := d.forward(); ok {
		return fmt.Sprintf("%s, forwarded to %s", d.payload, to)
	}
	return d.payload.String()
}

// who names the key or the section: it is empty for the key at the top of the configuration.
func (d decision) who() (kind, name string) {
	if d.event != nil {
		return "section", d.event.Name
	}
	return "key", d.key.Name
}

// title names it for an operator: "key alice", "section openSSH", "key" for the one at the top.
func (d decision) title() string {
	if d.event != nil {
		return d.event.title()
	}
	return d.key.title()
}

// by says who asks, for the leases to remember.
func (d decision) by() lease.By {
	return lease.By{Who: d.title(), From: d.src}
}

// tally is where it counts.
func (d decision) tally() *tally {
	if d.event != nil {
		return d.event.tally
	}
	return d.key.tally
}

// forward tells where the port that a sealed knock names leads to, if not here.
func (d decision) forward() (netip.AddrPort, bool) {
	for _, f := range d.key.Forward {
		if f.Port.Port == uint16(d.payload.Port) && f.Port.Proto == packet.TCP {
			return f.To, true
		}
	}
	return netip.AddrPort{}, false
}

func newPipeline(c *config.Daemon, decide func(decision)) (*pipeline, error) {
	p := &pipeline{decide: decide, moved: func(*event) {}, asked: new(matcher)}
	var (
		lengths []int
		err     error
	)
	if p.keys, lengths, err = newKeys(c.Keys); err != nil {
		return nil, err
	}
	low, high := c.KnockPorts()
	p.options = tracker.Options{Lengths: lengths, Low: low, High: high, Timeout: c.QueueTimeout, MaxPackets: c.MaxPackets}
	if len(p.keys) == 0 {
		p.options.MaxPackets = 1 // none is ever looked at
	}
	p.tracker = tracker.New(p.options, p.asked.match)
	p.asked.pipeline = p
	return p, p.setEvents(c)
}

// A matcher is what a tracker asks: the pipeline that it serves now.
type matcher struct{ pipeline *pipeline }

func (m *matcher) match(src netip.Addr, ports []uint16) bool { return m.pipeline.match(src, ports) }

// succeed lets p go on with what old remembers of packets, unless p needs another kind of memory.
func (p *pipeline) succeed(old *pipeline) {
	p.succeedSequences(old)
	p.succeedTallies(old)
	if p.options.Same(old.options) {
		p.tracker, p.asked = old.tracker, old.asked
		p.asked.pipeline = p
	}
}

// newDecoder makes a decoder of the log's lines. Times since boot count from boot.
func newDecoder(c *config.Daemon, boot time.Time) (*packet.Decoder, error) {
	lines := c.Lines
	lines.Boot = boot
	if c.Source.Kmsg && c.Replay == "" {
		lines.Head = packet.HeadDmesg
	}
	return packet.NewDecoder(lines)
}

// observe looks at one packet, and tells what it was for sealed knocks.
func (p *pipeline) observe(pkt packet.Packet, now time.Time) tracker.Verdict {
	p.now = now
	if p.sequences != nil {
		p.observeSequences(pkt)
	}
	if len(p.keys) == 0 || p.isForeign(pkt) {
		return tracker.Ignored
	}
	return p.tracker.Observe(pkt, now)
}

// sequenceStats counts what became of packets of sequences.
func (p *pipeline) sequenceStats() sequence.Stats {
	if p.sequences == nil {
		return sequence.Stats{}
	}
	return p.sequences.Stats()
}

// isForeign tells whether a packet is for another host, that some sequence is sent to.
func (p *pipeline) isForeign(pkt packet.Packet) bool {
	return len(p.foreign) > 0 && slices.Contains(p.foreign, pkt.Dst) && !p.ours(pkt.Dst)
}

// match tells the tracker whether ports are a knock to heed. One that is refused is not: the window moves on. What one
// key refuses may be another one's.
func (p *pipeline) match(src netip.Addr, ports []uint16) bool {
	var refused decision
	for _, k := range p.keys {
		if k.length != len(ports) {
			continue
		}
		if k.isAgain(ports) {
			return true
		}
		payload, ok := k.reader.open(ports)
		if !ok {
			continue
		}
		d := decision{src: src, key: k, payload: payload, refusal: k.reader.refusal(ports)}
		if d.refusal == "" {
			d.refusal = k.refusal(src, payload, p.now)
		}
		if d.refusal == "" {
			k.heed(ports)
			p.decide(d)
			return true
		}
		if refused.key == nil {
			refused = d
		}
	}
	if refused.key != nil {
		p.decide(refused)
	}
	return false
}
