package check

import (
	"time"

	"github.com/portknock/knock/pkg/packet"
)

// A logFile is what is known of the log besides its lines.
type logFile struct {
	path      string
	options   packet.Options
	lineAge   time.Duration
	changed   time.Time // it was written to
	rotated   bool      // an older part of it lies beside it
	counted   uint64    // packets that the firewall says it has logged for us
	rules     int       // how many rules say so
	namespace bool      // this is not the host's own network namespace
}

// judge says what the lines mean.
func (l *logFile) judge(t *tail, now time.Time) []finding {
	return append(l.packets(t, now), l.company(t)...)
}

// company tells of others who write to the log.
func (l *logFile) company(t *tail) []finding {
	const fix = "follow a log that only the firewall's lines go to: examples/rsyslog.conf makes one"
	switch {
	case t.programs == 0 || l.options.Regexp != "":
		return nil
	case l.options.Head == packet.HeadDmesg || l.options.Head == packet.HeadUlogd:
		return []finding{problemf("programs write to %q too (%s), and log-head = %s takes each line for the firewall's: strangers can forge knocks",
			l.path, count(t.programs, "line"), l.options.Head).fixed(fix)}
	}
	return []finding{notef("programs write to %q too (%s): a local user can forge knocks there", l.path, count(t.programs, "line")).fixed(fix)}
}

// packets says what the lines about packets mean.
func (l *logFile) packets(t *tail, now time.Time) []finding {
	switch {
	case t.knocks > 0:
		return append([]finding{okf("%q holds %s to knock ports, logged%s, %s", l.path, count(t.knocks, "packet"), l.form(), age(t.newest, now))},
			l.clock(t, now)...)
	case len(t.forms) > 0 && l.options.Regexp == "":
		return []finding{l.misfit(t)}
	case t.damaged > 0 && t.ours == 0:
		return []finding{problemf("%q holds only lines of the firewall's that are cut or damaged (%s)", l.path, count(t.damaged, "line"))}
	}
	return []finding{l.silence(t)}
}

func (l *logFile) form() string {
	if l.options.Regexp != "" {
		return " as log-regexp says"
	}
	return " " + prefixText(l.options.Prefix)
}

// misfit tells of lines that other settings would take.
func (l *logFile) misfit(t *tail) finding {
	f, n := t.common()
	if head := l.options.Head; f.head != head {
		p := problemf("%q holds %s to knock ports whose lines begin as those of log-head = %s, and log-head is %s", l.path, count(n, "packet"), f.head, head)
		switch {
		case f.head == packet.HeadSyslog:
			return p.fixed("set log-head = syslog")
		case t.programs > 0:
			return p.fixed("follow a log that only the firewall's lines go to: examples/rsyslog.conf makes one")
		}
		return p.fixed("set log-head = %s, if nobody else writes to that log", f.head)
	}
	return problemf("%q holds %s to knock ports logged %s, and log-prefix is %q", l.path, count(n, "packet"), prefixText(f.prefix), l.options.Prefix).
		fixed(`set log-prefix = "%s", or give the firewall's rule --log-prefix "%s"`, f.prefix, l.options.Prefix)
}

// silence tells of a log without a line of ours.
func (l *logFile) silence(t *tail) finding {
	const knock = "knock once, and run -check again"
	switch {
	case l.rules > 0 && l.counted > 0 && !l.rotated && t.ours == 0:
		f := problemf("the firewall has logged %s, and %q holds none of them", count(int(min(l.counted, 1<<30)), "packet"), l.path)
		if l.options.Head == packet.HeadUlogd {
			return f.fixed("have ulogd's LOGEMU write there, and read the group of the NFLOG rule")
		}
		if l.namespace {
			return f.fixed("this is a network namespace (a container, say): the kernel logs for it only with sysctl net.netfilter.nf_log_all_netns=1 on the host")
		}
		return f.fixed("have the kernel's lines written there: examples/rsyslog.conf, with imklog or imkmsg loaded")
	case l.rules > 0 && l.counted == 0:
		return notef("the firewall has logged no packet yet: " + knock)
	}
	return notef("%q holds no packet to a knock port yet: %s", l.path, knock)
}
