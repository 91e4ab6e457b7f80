package daemon

import (
	"slices"
	"time"

	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/sequence"
	"github.com/portknock/knock/pkg/trail"
)

// trailSources is how many source addresses what happened to them is remembered of.
const trailSources = 4096

// suspect notes a line that was refused though it is about a packet.
func (s *setup) suspect(line []byte, now time.Time) {
	found, ok := s.decoder.Suspect(line, now)
	pkt := found.Packet
	if !ok || !s.pipeline.isPort(pkt.DstPort) && !(found.Reason == packet.Damaged && pkt.DstPort == 0) {
		return // what else the firewall logs is nobody's knock
	}
	kind, text := trail.Damaged, "a line of the firewall's is cut or damaged"
	switch found.Reason {
	case packet.OtherPrefix:
		kind, text = trail.Prefix, found.Prefix
	case packet.Foreign:
		kind, text = trail.Foreign, "a line like the firewall's was not written by the kernel's logger: anybody may have written it, or the log has another form than log-head or log-regexp says"
	}
	s.trail.Note(pkt.Src, kind, text, now)
}

// isPort tells whether knocks go to port.
func (p *pipeline) isPort(port uint16) bool {
	if len(p.keys) > 0 && port >= p.options.Low && port <= p.options.High {
		return true
	}
	return slices.ContainsFunc(p.events, func(e *event) bool {
		return slices.ContainsFunc(e.Match.Steps, func(s sequence.Step) bool { return s.Port == port })
	})
}
