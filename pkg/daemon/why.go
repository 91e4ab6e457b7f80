package daemon

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/portknock/knock/pkg/control"
	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/lease"
	"github.com/portknock/knock/pkg/tracker"
	"github.com/portknock/knock/pkg/trail"
)

// why tells what was seen from an address, and why that opened nothing.
func (d *Daemon) why(src netip.Addr) control.Why {
	now := time.Now()
	w := inquiry{src: src, now: now, started: d.started}
	var open []lease.Lease // to src, or a ban of it
	for _, l := range d.leases.Leases() {
		if l.Rule.Src == src {
			open = append(open, l)
		} else if l.By.From == src && !l.Closing {
			w.elsewhere = true
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	w.setup = d.setup
	notes := d.trail.Of(src, now)
	w.findLast(notes)
	w.addWindows()
	w.addNotes(notes)
	w.addProgress()
	return control.Why{Address: src, Verdict: w.verdict(open), Findings: w.findings, Open: leasesOf(open)}
}

// An inquiry collects what is known of one address.
type inquiry struct {
	setup    *setup
	src      netip.Addr
	now      time.Time
	started  time.Time // the daemon
	findings []control.Finding
	// For the verdict: the newest things that speak for themselves, and what the packets that came since lack.
	last      trail.Entry // the newest Refused or Accepted; of both at once, Refused
	elsewhere bool        // what it knocked for is open to another address
	other     string      // of a line that was not taken
	lacks     string
}

// findLast looks for the last word on its knocks.
func (w *inquiry) findLast(notes []trail.Entry) {
	for _, e := range notes {
		if (e.Kind == trail.Refused || e.Kind == trail.Accepted) && e.Last.After(w.last.Last) {
			w.last = e
		}
	}
}

// isRefused tells whether the last word was no. That stands until there is another whole knock.
func (w *inquiry) isRefused() bool { return !w.last.Last.IsZero() && w.last.Kind == trail.Refused }

func (w *inquiry) add(kind, text string, count int, last time.Time) {
	w.findings = append(w.findings, control.Finding{Kind: kind, Text: text, Count: uint64(count), Last: &last})
}

// addWindows looks at the SYNs to knock ports, and what each key makes of the last ones.
func (w *inquiry) addWindows() {
	p := w.setup.pipeline
	if len(p.keys) == 0 {
		return
	}
	tries := p.tracker.Recent(w.src, w.now)
	if len(tries) == 0 {
		return
	}
	last := tries[len(tries)-1]
	w.add("syns", fmt.Sprintf("SYNs to knock ports, the last to %d", last.DstPort), len(tries), last.At)
	if last.EndsKnock {
		return
	}
	for i := len(tries) - 1; i >= 0; i-- {
		if tries[i].EndsKnock {
			tries = tries[i+1:]
			break
		}
	}
	fresh, shortest := w.since(tries), 0
	for _, k := range p.keys {
		if shortest == 0 || k.length < shortest {
			shortest = k.length
		}
	}
	isKnock := w.addTries(tries)
	switch {
	case fresh == 0 || w.isRefused() && fresh < shortest || isKnock:
	case len(tries) < shortest:
		w.lacks = fmt.Sprintf("only %d SYNs of the %d of a knock were seen: the others were lost, or not logged, or it stood still for more than %s",
			len(tries), shortest, w.setup.config.QueueTimeout)
	default:
		w.lacks = "its SYNs are no knock of any key: another passphrase, IV, header or port-min at the two ends, or some were lost or came in another order"
	}
}

// since counts the tries after the last word on its knocks.
func (w *inquiry) since(tries []tracker.Try) (n int) {
	for _, t := range tries {
		if t.At.After(w.last.Last) {
			n++
		}
	}
	return n
}

// addTries looks at what each key makes of the last tries, and tells whether one finds a knock.
func (w *inquiry) addTries(tries []tracker.Try) (isKnock bool) {
	for _, k := range w.setup.pipeline.keys {
		if len(tries) < k.length {
			continue
		}
		ports := make([]uint16, k.length)
		for i, t := range tries[len(tries)-k.length:] {
			ports[i] = t.DstPort
		}
		err := k.reader.try(ports)
		isKnock = isKnock || err == nil
		if err != nil {
			w.add("window", fmt.Sprintf("%s: the last %d SYNs: %v", k.title(), k.length, err), 0, tries[len(tries)-1].At)
		}
	}
	return isKnock
}

// addProgress looks how far the address is in each sequence.
func (w *inquiry) addProgress() {
	p := w.setup.pipeline
	if p.sequences == nil {
		return
	}
	for _, s := range p.sequences.Progress(w.src, w.now) {
		if w.last.Last.After(s.Last) {
			continue // what is left of a try before one that was read
		}
		e := p.events[s.Section]
		text := fmt.Sprintf("%s: %d of %d packets", e.title(), s.Done, s.Of)
		switch took := s.Last.Sub(s.First); {
		case s.Spoiled:
			text += fmt.Sprintf(", with %d others among them, which is too many", s.Strays)
		case s.Done == s.Of && took > e.Match.Timeout:
			text += fmt.Sprintf(" in %s, and seq_timeout is %s", took.Round(time.Second), e.Match.Timeout)
		}
		w.add("sequence", text, 0, s.Last)
		if w.isRefused() && s.Done < s.Of {
			continue
		}
		w.lacks = cmp.Or(w.lacks, "a sequence is not complete: "+text)
	}
}

// addNotes looks at what happened to the address alone.
func (w *inquiry) addNotes(notes []trail.Entry) {
	for _, e := range notes {
		kind, text := "", e.Text
		switch e.Kind {
		case trail.Refused:
			kind = "refused"
		case trail.Accepted:
			kind = "accepted"
		case trail.Copy:
			kind, text = "copies", "packets that had been seen before: sent again, or logged twice"
		case trail.Old:
			kind = "stamp"
			w.other = "its lines are " + e.Text + ": the log's clock or time zone is not this machine's, or the log was read again"
		case trail.Prefix:
			kind, text = "prefix", fmt.Sprintf("lines with the prefix %q, want %q (log-prefix)", e.Text, strings.TrimRight(w.setup.config.Lines.Prefix, " "))
			w.other = cmp.Or(w.other, "the firewall's lines about it have another prefix than log-prefix says")
		case trail.Foreign, trail.Damaged:
			kind = "line"
			w.other = cmp.Or(w.other, e.Text)
		case trail.Ignored:
			kind, text = "ignored", "packets ignored while it was banned"
		}
		w.add(kind, text, int(e.Count), e.Last)
	}
}

// sinceStart tells how much there is to know, if the daemon has not seen all that it would remember.
func (w *inquiry) sinceStart() string {
	if up := w.now.Sub(w.started); up < time.Hour {
		return fmt.Sprintf(" since the daemon was started %s ago", up.Round(time.Second))
	}
	return ""
}

// verdict says in one sentence why nothing is open, or what is.
func (w *inquiry) verdict(open []lease.Lease) string {
	waiting, closing := 0, 0
	for _, l := range open {
		switch {
		case l.Rule.Action == firewall.Drop && !l.Closing:
			return "it is banned, because it guessed knocks: name it in never-ban and reload to lift that"
		case l.Closing:
			closing++
		case l.Waiting:
			waiting++
		}
	}
	switch {
	case len(open) > waiting+closing:
		return "something is open to it"
	case waiting > 0:
		return "its knock was heeded, and is not yet in the firewall, which is tried again: the log says why"
	case w.lacks != "":
		return w.lacks
	case w.isRefused():
		return "its knock was refused: " + w.last.Text
	case w.elsewhere:
		return "what it knocked for is open to another address than its own: " + w.last.Text
	case !w.last.Last.IsZero():
		return "its knock was heeded, and nothing is open any more: " + w.last.Text
	case w.other != "":
		return w.other
	case len(w.findings) > 0:
		return "nothing that it sent was a knock"
	}
	return "nothing was seen from it" + w.sinceStart() + ": its packets do not arrive, the firewall does not log them, or the knock comes from another address"
}
