package check

import (
	"fmt"
	"strings"

	"github.com/portknock/knock/pkg/packet"
)

func (s *site) anyGood(logs []logged) bool {
	for _, l := range logs {
		if s.fits(l) == "" {
			return true
		}
	}
	return false
}

// logging says how a knock is logged, and whether that is as it must be.
func (s *site) logging(p *path) (found []issue, good bool) {
	for _, l := range p.logs {
		if s.fits(l) == "" && l.sure == always {
			return nil, true
		}
	}
	for _, l := range p.logs {
		misfit := s.fits(l)
		switch {
		case l.limit != nil:
			found = append(found, issue{problem, "not every packet to TCP ", " is logged, for " + l.limit.String() +
				" counts them: one knock that is missing spoils the whole sequence",
				"take the limit out, or count each source by itself: " + s.roomyLimit()})
		case misfit == "":
			found = append(found, issue{note, "perhaps TCP ", " is logged by " + l.rule.String() + ": what it depends on cannot be told from here", ""})
		}
		if misfit != "" && l.sure > few {
			found = append(found, issue{problem, "TCP ", " is logged " + misfit + ", by " + l.rule.String(), s.refit(l)})
		}
	}
	if len(found) > 0 || s.loggedElsewhere() {
		return found, false
	}
	return []issue{s.unlogged(p)}, false
}

// roomyLimit is a limit that lets a whole knock through.
func (s *site) roomyLimit() string {
	return fmt.Sprintf("-m hashlimit --hashlimit-name knock --hashlimit-mode srcip --hashlimit-burst %d --hashlimit-upto 60/min", 2*s.world.knock)
}

// verbs say what a verdict does.
var verbs = map[string]string{"ACCEPT": "lets in", "DROP": "drops", "REJECT": "refuses"}

// unlogged tells of a path without a log.
func (s *site) unlogged(p *path) issue {
	last := p.last()
	for _, l := range p.late {
		if s.fits(l) == "" && last.rule != nil {
			return issue{problem, last.String() + " " + verbs[last.verdict] + " TCP ", " before it is logged",
				fmt.Sprintf("put %s above it (examples/firewall.sh does)", l.rule)}
		}
	}
	place := "-A " + input
	if last.rule != nil {
		place = fmt.Sprintf("-I %s %d", last.rule.chain, last.rule.number)
	}
	prefix := ""
	if s.lines.Prefix != "" {
		prefix = fmt.Sprintf(` --log-prefix "%s"`, s.lines.Prefix)
	}
	return issue{problem, "TCP ", " is not logged, so no knock is seen",
		fmt.Sprintf("%s %s -p tcp --syn --dport %d:%d -j LOG%s", s.program, place, s.portMin, s.portMin+255, prefix)}
}

// loggedElsewhere tells whether a table of nft's logs as the daemon needs it.
func (s *site) loggedElsewhere() bool {
	for _, t := range s.others {
		if t.logs(s.lines.Prefix) {
			return true
		}
	}
	return false
}

// fits says why the daemon would not take what a rule logs; "" if it would.
func (s *site) fits(l logged) string {
	if s.lines.Regexp != "" {
		return "" // what it takes is not to be told
	}
	ulogd := s.lines.Head == packet.HeadUlogd
	switch toUlogd := l.rule.target != "LOG"; {
	case toUlogd && !ulogd:
		return "for ulogd to write"
	case !toUlogd && ulogd:
		return "by the kernel, and not for ulogd"
	}
	if got := logPrefix(l.rule); trimmed(got) != trimmed(s.lines.Prefix) {
		return fmt.Sprintf("%s, and log-prefix is %q", prefixText(got), s.lines.Prefix)
	}
	return ""
}

// refit says how to make a rule and the daemon's settings agree.
func (s *site) refit(l logged) string {
	got := logPrefix(l.rule)
	switch toUlogd := l.rule.target != "LOG"; {
	case toUlogd && s.lines.Head != packet.HeadUlogd:
		return "use the target LOG, or have ulogd's LOGEMU write a log of its own, and set log-head = ulogd"
	case !toUlogd && s.lines.Head == packet.HeadUlogd:
		return "use the target NFLOG, or set log-head = syslog"
	}
	return fmt.Sprintf(`give that rule --log-prefix "%s", or set log-prefix = "%s"`, s.lines.Prefix, got)
}

// logPrefix is what a rule writes before IN=.
func logPrefix(r *rule) string {
	for _, name := range []string{"--log-prefix", "--nflog-prefix", "--ulog-prefix"} {
		if prefix := arg(r.args, name); prefix != "" {
			return prefix
		}
	}
	return ""
}

// trimmed is a prefix as the daemon compares it: spaces before IN= do not matter.
func trimmed(prefix string) string { return strings.TrimRight(prefix, " ") }

func prefixText(prefix string) string {
	if trimmed(prefix) == "" {
		return "without a prefix"
	}
	return fmt.Sprintf("with prefix %q", prefix)
}

// withPrefix is how the daemon wants a knock to be logged.
func (s *site) withPrefix() string {
	if s.lines.Regexp != "" {
		return ""
	}
	return " " + prefixText(s.lines.Prefix)
}
