package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/portknock/knock/pkg/packet"
)

func (s *site) anyGood(logs []logged) bool {
	if s.from.Interface != "" {
		return true // it was seen before any rule
	}
	for _, l := range logs {
		if s.fits(l) == "" {
			return true
		}
	}
	return false
}

// logging says how a knock is logged, and whether that is as it must be.
func (s *site) logging(p *path, k knockPort) (found []issue, good bool) {
	if s.from.Interface != "" {
		return nil, false // no rule needs to
	}
	for _, l := range p.logs {
		if s.fits(l) == "" && l.sure == always {
			return nil, true
		}
	}
	for _, l := range p.logs {
		misfit := s.fits(l)
		switch {
		case l.limit != nil:
			found = append(found, issue{problem, "not every packet to ", " is " + s.logged() + ", for " + l.limit.String() +
				" counts them: one knock that is missing spoils the whole sequence",
				"take the limit out, or count each source by itself: " + s.roomyLimit()})
		case misfit == "":
			found = append(found, issue{note, "perhaps ", " is " + s.logged() + " by " + l.rule.String() + ": what it depends on cannot be told from here", ""})
		}
		if misfit != "" && l.sure > few {
			found = append(found, issue{problem, "", " is logged " + misfit + ", by " + l.rule.String(), s.refit(l)})
		}
	}
	if len(found) > 0 || s.loggedElsewhere() {
		return found, false
	}
	return []issue{s.unlogged(p, k)}, false
}

// roomyLimit is a limit that lets a whole knock through.
func (s *site) roomyLimit() string {
	return fmt.Sprintf("-m hashlimit --hashlimit-name knock --hashlimit-mode srcip --hashlimit-burst %d --hashlimit-upto 60/min", 2*s.world.knock)
}

// verbs say what a verdict does.
var verbs = map[string]string{"ACCEPT": "lets in", "DROP": "drops", "REJECT": "refuses"}

// unlogged tells of a path without a log.
func (s *site) unlogged(p *path, k knockPort) issue {
	last := p.last()
	for _, l := range p.late {
		if s.fits(l) == "" && last.rule != nil {
			return issue{problem, last.String() + " " + verbs[last.verdict] + " ", " before it is " + s.logged(),
				fmt.Sprintf("put %s above it (examples/firewall.sh does)", l.rule)}
		}
	}
	s.missing[k.port.Proto].mustPrecede(last)
	return issue{problem, "", " is not " + s.logged() + ", so no knock is seen", addLogRule}
}

// target is that of a rule as the daemon needs it.
func (s *site) target() string {
	switch {
	case s.from.NFLOG:
		return fmt.Sprintf("NFLOG --nflog-group %d", s.from.Group)
	case s.lines.Prefix != "":
		return fmt.Sprintf(`LOG --log-prefix "%s"`, s.lines.Prefix)
	}
	return "LOG"
}

// logged says what a rule must have done with a packet: "logged", "sent to NFLOG group 5".
func (s *site) logged() string {
	if s.from.NFLOG {
		return fmt.Sprintf("sent to NFLOG group %d", s.from.Group)
	}
	return "logged"
}

// logs says that a rule does so with what; withPrefix goes on.
func (s *site) logs(what string) string {
	if s.from.NFLOG {
		return "sends " + what
	}
	return "logs " + what
}

// loggedElsewhere tells whether a table of nft's logs as the daemon needs it.
func (s *site) loggedElsewhere() bool {
	return slices.ContainsFunc(s.others, s.suits)
}

// suits tells whether t logs as the daemon needs it.
func (s *site) suits(t nftTable) bool {
	if s.from.NFLOG {
		return slices.Contains(t.groups, s.from.Group)
	}
	return t.logs(s.lines.Prefix)
}

// fits says why the daemon would not take what a rule logs; "" if it would.
func (s *site) fits(l logged) string {
	if s.from.NFLOG {
		return s.fitsGroup(l.rule)
	}
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

// minCopy is how many bytes of a packet tell a knock: an IPv4 head without options, and a TCP head.
const minCopy = 40

// fitsGroup says why what a rule does brings no packet to the NFLOG group; "" if it does.
func (s *site) fitsGroup(r *rule) string {
	if r.target != "NFLOG" {
		return "by the kernel or for ulogd, and not " + s.logged()
	}
	group := arg(r.args, "--nflog-group")
	if group == "" {
		group = "0" // which is not listed
	}
	if group != strconv.Itoa(int(s.from.Group)) {
		return "for NFLOG group " + group + ", and nflog is " + strconv.Itoa(int(s.from.Group))
	}
	if size := arg(r.args, "--nflog-size"); size != "" {
		if n, err := strconv.Atoi(size); err == nil && n < minCopy {
			return fmt.Sprintf("with %d bytes of each packet, and a knock takes %d", n, minCopy)
		}
	}
	return ""
}

// refit says how to make a rule and the daemon's settings agree.
func (s *site) refit(l logged) string {
	got := logPrefix(l.rule)
	switch toUlogd := l.rule.target != "LOG"; {
	case s.from.NFLOG:
		return "use the target " + s.target() + " there"
	case s.from.Kmsg && toUlogd:
		return "use the target LOG, or set nflog to the group in place of kmsg"
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
	if s.from.NFLOG {
		return fmt.Sprintf(" to NFLOG group %d", s.from.Group)
	}
	if s.lines.Regexp != "" {
		return ""
	}
	return " " + prefixText(s.lines.Prefix)
}
