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
	codec   *knock.Codec
	allow   config.Allow
	decide  func(decision)
}

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
	p := &pipeline{codec: codec, allow: c.Allow, decide: decide}
	low, high := codec.Ports()
	p.tracker = tracker.New(tracker.Options{
		Length: codec.Len(), Low: low, High: high, Timeout: c.QueueTimeout, MaxPackets: c.MaxPackets,
	}, p.match)
	return p, nil
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
	d := decision{src, payload, refusal(p.allow, src, payload)}
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
