package control

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Write writes s as a person reads it at now: what is open comes first.
func (s Status) Write(w io.Writer, now time.Time) error {
	var p page
	p.line("knockdaemon %s, process %d, up %s; %s", s.Version, s.Process, span(now.Sub(s.Started)), watching(s.Sources))
	for _, source := range s.Sources {
		if !source.Watching {
			p.line("%s", away(source, now))
		}
	}
	p.leases(s.Leases, now, "nothing is open")
	p.keys(s.Keys, now)
	p.counters(s.Counters)
	return p.flush(w, "the status")
}

// Write writes w as a person reads it at now.
func (y Why) Write(w io.Writer, now time.Time) error {
	var p page
	p.line("%s: %s", y.Address, y.Verdict)
	if len(y.Findings) > 0 {
		p.row("what", "times", "last", "")
	}
	for _, f := range y.Findings {
		times := "-"
		if f.Count > 0 {
			times = strconv.FormatUint(f.Count, 10)
		}
		p.row(f.Kind, times, ago(f.Last, now, "-"), f.Text)
	}
	p.leases(y.Open, now, "nothing is open to "+y.Address.String())
	return p.flush(w, "the answer")
}

// Write writes c as a person reads it, a line for each lease.
func (c Closed) Write(w io.Writer) error {
	var p page
	if len(c.Closed) == 0 {
		p.line("nothing was open to %s", c.Target)
	}
	for _, l := range sorted(c.Closed, time.Time{}) {
		switch {
		case l.By == "":
			p.line("closed %s, which was open to %s", port(l), l.Address)
		default:
			p.line("closed %s, which was open to %s by %s", port(l), l.Address, l.By)
		}
	}
	return p.flush(w, "what was closed")
}

// A page is text with columns, which are as wide as they need to be. What it is given is made printable.
type page struct {
	out   bytes.Buffer
	cells bytes.Buffer      // of the table
	table *tabwriter.Writer // nil: none is begun
}

func (p *page) line(format string, a ...any) {
	p.end()
	p.out.WriteString(printable(fmt.Sprintf(format, a...)) + "\n")
}

// row adds a row to the table, which it begins if need be, below an empty line.
func (p *page) row(cells ...string) {
	if p.table == nil {
		p.out.WriteByte('\n')
		p.table = tabwriter.NewWriter(&p.cells, 0, 0, 2, ' ', 0)
	}
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	fmt.Fprintln(p.table, strings.Join(cells, "\t")) // into a bytes.Buffer
}

// end ends the table. Where the last cells of a row are empty, no spaces are left in their place.
func (p *page) end() {
	if p.table == nil {
		return
	}
	_ = p.table.Flush() // into a bytes.Buffer
	for line := range strings.Lines(p.cells.String()) {
		p.out.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	p.table = nil
	p.cells.Reset()
}

func (p *page) flush(w io.Writer, what string) error {
	p.end()
	if _, err := p.out.WriteTo(w); err != nil {
		return fmt.Errorf("failed to write %s: %w", what, err)
	}
	return nil
}

// leases adds a table of what is open, or the line nothing, and one of who is banned.
func (p *page) leases(leases []Lease, now time.Time, nothing string) {
	var open, bans []Lease
	for _, l := range sorted(leases, now) {
		if l.Action == Ban {
			bans = append(bans, l)
		} else {
			open = append(open, l)
		}
	}
	p.end()
	if len(open) == 0 {
		p.line("%s", nothing)
	} else {
		p.row("open to", "port", "for", "by", "knocked from")
	}
	for _, l := range open {
		p.row(l.Address.String(), port(l), left(l, now), cmp.Or(l.By, "-"), address(l.From))
	}
	p.end()
	if len(bans) > 0 {
		p.row("banned", "for", "by")
	}
	for _, l := range bans {
		p.row(l.Address.String(), left(l, now), cmp.Or(l.By, "-"))
	}
	p.end()
}

func (p *page) keys(keys []Key, now time.Time) {
	if len(keys) == 0 {
		return
	}
	limited := ""
	for _, k := range keys {
		if k.Left != nil {
			limited = "left"
		}
	}
	p.row("knocks of", "accepted", "refused", "last accepted", limited)
	for _, k := range keys {
		left := ""
		if k.Left != nil {
			left = strconv.Itoa(*k.Left)
		}
		p.row(k.Name, strconv.FormatUint(k.Accepted, 10), strconv.FormatUint(k.Refused, 10), ago(k.Last, now, "never"), left)
	}
	p.end()
}

// counters adds those that have counted something.
func (p *page) counters(counters []Counter) {
	for _, c := range counters {
		if c.Value != 0 {
			p.row(strings.ReplaceAll(c.Name, "_", " "), strconv.FormatFloat(c.Value, 'f', -1, 64))
		}
	}
	p.end()
}

// watching tells of the sources that are watched.
func watching(sources []Source) string {
	var names []string
	for _, s := range sources {
		if s.Watching {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		return "watching nothing"
	}
	return "watching " + strings.Join(names, ", ")
}

// away tells of a source that is not watched.
func away(s Source, now time.Time) string {
	text := "not watching " + s.Name
	if !s.Since.IsZero() {
		text += " for " + span(now.Sub(s.Since))
	}
	if s.Problem != "" {
		text += ": " + s.Problem
	}
	return text
}

// port gives "22/tcp", or "2222/tcp to 10.0.0.5:22".
func port(l Lease) string {
	text := fmt.Sprintf("%d/%s", l.Port, l.Proto)
	if l.To != "" {
		text += " to " + l.To
	}
	return text
}

func address(a netip.Addr) string {
	if !a.IsValid() {
		return "-"
	}
	return a.String()
}

// left tells how long l has.
func left(l Lease, now time.Time) string {
	switch {
	case l.Closing:
		return "closing"
	case l.Waiting:
		return "not yet in force"
	case l.Until == nil:
		return "no limit"
	}
	return span(l.Until.Sub(now))
}

func ago(t *time.Time, now time.Time, never string) string {
	if t == nil {
		return never
	}
	return span(now.Sub(*t)) + " ago"
}

// span gives d in at most two units, "3 d 4 h" or "42 s", rounded down. A clock that was set makes none negative.
func span(d time.Duration) string {
	d = max(0, d)
	for _, u := range []struct {
		size, next time.Duration
		name, less string
	}{
		{24 * time.Hour, time.Hour, "d", "h"},
		{time.Hour, time.Minute, "h", "min"},
		{time.Minute, time.Second, "min", "s"},
	} {
		if d < u.size {
			continue
		}
		if rest := d % u.size / u.next; rest > 0 {
			return fmt.Sprintf("%d %s %d %s", d/u.size, u.name, rest, u.less)
		}
		return fmt.Sprintf("%d %s", d/u.size, u.name)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}
