package daemon

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/tracker"
)

// A pipeline is the way of a knock from a packet to a decision. The live daemon and the replay share it; they differ
// in what the time is and in what is done with a decision.
type pipeline struct {
	tracker *tracker.Tracker
	options tracker.Options
	asked   *matcher // by the tracker
	codec   *knock.Codec
	allow   config.Allow
	blocks  judge
	decide  func(decision)
}

// A judge records the ciphertext block of each knock, and says why it must not be heeded, or nothing.
type judge interface{ refusal(block [8]byte) string }

// A decision is what a knock asked for, and why it is refused.
type decision struct {
	src     netip.Addr
	payload knock.Payload
	refusal string // empty: it is heeded
}

func newPipeline(c *config.Daemon, decide func(decision)) (*pipeline, error) {
	codec, err := knock.New(c.Knock)
	if err != nil {
		return nil, err
	}
	low, high := codec.Ports()
	p := &pipeline{codec: codec, allow: c.Allow, blocks: newSeenBlocks(c.Knock.Header), decide: decide, options: tracker.Options{
		Length: codec.Len(), Low: low, High: high, Timeout: c.QueueTimeout, MaxPackets: c.MaxPackets,
	}}
	p.asked = new(matcher)
	p.tracker = tracker.New(p.options, p.asked.match)
	p.asked.pipeline = p
	return p, nil
}

// A matcher is what a tracker asks: the pipeline that it serves now.
type matcher struct{ pipeline *pipeline }

func (m *matcher) match(src netip.Addr, ports []uint16) bool { return m.pipeline.match(src, ports) }

// succeed lets p go on with what the tracker of old remembers, unless p needs another kind of tracker.
func (p *pipeline) succeed(old *pipeline) {
	if p.options == old.options {
		p.tracker, p.asked = old.tracker, old.asked
		p.asked.pipeline = p
	}
}

// newDecoder makes a decoder of the log's lines. Times since boot count from boot.
func newDecoder(c *config.Daemon, boot time.Time) (*packet.Decoder, error) {
	lines := c.Lines
	lines.Boot = boot
	return packet.NewDecoder(lines)
}

// match tells the tracker whether ports are a knock to heed. One that is refused is not: the window moves on.
func (p *pipeline) match(src netip.Addr, ports []uint16) bool {
	payload, err := p.codec.Open(ports)
	if err != nil {
		return false
	}
	d := decision{src, payload, p.blocks.refusal(p.codec.Block(ports))}
	if d.refusal == "" {
		d.refusal = refusal(p.allow, src, payload)
	}
	p.decide(d)
	return d.refusal == ""
}

// refusal says why a knock is not heeded, or nothing. Closing is allowed for any time, but not for any port or
// address: whoever may not open a door has no business closing it.
func refusal(a config.Allow, src netip.Addr, p knock.Payload) string {
	switch {
	case a.Ports != nil && !a.Ports[p.Port]:
		return fmt.Sprintf("port %d is not in allow-ports", p.Port)
	case a.IPs != nil && !contains(a.IPs, p.IP):
		return fmt.Sprintf("%s is not in allow-ips", p.IP)
	case a.MatchSource && p.IP != src:
		return fmt.Sprintf("it came from %s and names %s (match-source)", src, p.IP)
	case a.MaxTime > 0 && p.Time == knock.Forever:
		return fmt.Sprintf("no time limit, max-time is %d", a.MaxTime)
	case a.MaxTime > 0 && p.Time != knock.Close && int(p.Time) > a.MaxTime:
		return fmt.Sprintf("%d minutes, max-time is %d", p.Time, a.MaxTime)
	}
	return ""
}

func contains(networks []netip.Prefix, ip netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}
