package check

import (
	"fmt"
	"time"
)

// clock compares the stamps with the clock, and the last one with the time at which the log was written to.
func (l *logFile) clock(t *tail, now time.Time) []finding {
	ahead, behind := t.newest.Sub(now), l.changed.Sub(t.last)
	switch {
	case t.newest.IsZero():
		return []finding{notef("the lines of %q carry no time: one that is read again cannot be told from a new one", l.path)}
	case ahead > l.lineAge:
		return []finding{problemf("the newest line of %q is stamped %s from now: lines more than %v off (line-age) open nothing", l.path, rough(ahead), l.lineAge).
			fixed("%s", clockFix(ahead))}
	case !t.last.IsZero() && behind > l.lineAge && isZone(behind):
		return []finding{problemf("the last line of %q was stamped %s before it was written: lines more than %v off (line-age) open nothing", l.path, rough(behind), l.lineAge).
			fixed("%s", clockFix(behind))}
	case !t.last.IsZero() && behind > l.lineAge:
		return []finding{notef("the last line of %q is stamped %s before the log was last changed: if nobody else changed it, the logger's clock is slow "+
			"(imkmsg's is after a suspend: use imklog), and lines more than %v off (line-age) open nothing", l.path, rough(behind), l.lineAge)}
	}
	return nil
}

// isZone tells whether two clocks that differ by d may show the times of two zones.
func isZone(d time.Duration) bool {
	const step, slack = 30 * time.Minute, 90 * time.Second
	off := d.Abs() - d.Abs().Round(step)
	return d.Abs() > step/2 && d.Abs() < 27*time.Hour && off.Abs() <= slack
}

func clockFix(d time.Duration) string {
	if isZone(d) {
		return "let logger and daemon run with one time zone (TZ, /etc/localtime), or have the logger write times with their zone (RFC 3339)"
	}
	return "set the clock; after a suspend imkmsg's times are wrong: use imklog"
}

// age says how old the newest line is.
func age(t, now time.Time) string {
	if t.IsZero() {
		return "of unknown age"
	}
	if d := now.Sub(t); d >= 0 {
		return "the newest " + rough(d) + " ago"
	}
	return "the newest now"
}

// rough gives a duration as a person would say it.
func rough(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
	case d >= time.Hour:
		return fmt.Sprintf("%d h %d min", int(d/time.Hour), int(d%time.Hour/time.Minute))
	case d >= time.Minute:
		return fmt.Sprintf("%d min", int(d/time.Minute))
	}
	return fmt.Sprintf("%d s", int(d/time.Second))
}

// count gives "1 packet", "2 packets".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
