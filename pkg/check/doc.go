// Package check looks at a machine and says, before anybody is locked out, whether knocking can work on it: the
// firewall, the log, the settings that must fit both, and what strangers could do all the same.
//
// It changes nothing and takes no lock of the daemon's. The rules of the filter table are followed as a packet from an
// arbitrary address outside would meet them; what a rule depends on that its listing does not tell is called perhaps,
// and is never a problem. The other tables of iptables (raw, mangle, nat) are not read, and of nft's own tables only
// that they are there and what they log with. Of sequences of ports, SYNs to TCP ports and packets to UDP ports are
// followed, and of what is forwarded the connections that are established.
package check

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/ui"
)

// Run looks at the machine for c and writes one finding a line to w, as "ok: …", "note: …" or "problem: …" with
// perhaps a line "  fix: …" behind it; with c.Output OutputJSON one object a line, of level, text and fix; with
// c.Quiet the problems only. It gives nil if there is no problem, an error that counts them if there are some, and
// one of wrong use if c is for a replay. Programs that list rules get 10 s each.
func Run(ctx context.Context, c *config.Daemon, w io.Writer) error {
	if c.Replay != "" {
		return ui.Usage(errors.New("check and replay exclude each other"))
	}
	r := newReport(c, w)
	for _, warning := range c.Warnings {
		r.add(notef("%s", warning))
	}
	m := &machine{config: c, report: r}
	loggers := m.firewall(ctx)
	if len(c.Keys) > 0 {
		m.services()
	}
	m.source(loggers)
	m.sections(time.Now())
	m.state()
	return r.verdict()
}
