package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/knock"
)

// Replay reads the log that c.Replay names (-: in) to its end and writes to out one line for each knock that it
// holds, and a summary. It asks neither the clock nor the firewall: the time is what the lines' stamps say. A stamp
// without a year is of the last twelve months.
func Replay(c *config.Daemon, in io.Reader, out io.Writer) error {
	if c.Replay != "-" {
		f, err := os.Open(c.Replay)
		if err != nil {
			return fmt.Errorf("failed to open the log: %w", err)
		}
		defer f.Close()
		in = f
	}
	r := &replay{report: textReport(out)}
	if c.Output == config.OutputJSON {
		r.report = jsonReport(out)
	}
	var err error
	if r.pipeline, err = newPipeline(c, r.decide); err != nil {
		return err
	}
	pads, err := openMemory(c, nil, nil)
	if err != nil {
		return err
	}
	defer pads.close(nil)
	pads.serve(r.pipeline)
	return r.run(c, in)
}

type replay struct {
	*pipeline
	report func(any) error
	err    error // the first of report

	lines, packets, knocks uint64
}

// run decodes blocks of lines, each in a goroutine of its own, and tracks their packets in the order of the log.
func (r *replay) run(c *config.Daemon, in io.Reader) error {
	began := time.Now()
	d, err := startDecoding(c, in, began)
	if err != nil {
		return err
	}
	for b := range d.blocks {
		<-b.decoded
		r.lines += b.lines
		r.packets += uint64(len(b.packets))
		for i := range b.packets {
			r.observe(b.packets[i], b.packets[i].At)
		}
		d.free <- b
	}
	if d.err != nil {
		return d.err
	}
	r.tell(replaySummary{r.lines, r.packets, r.knocks, time.Since(began).Seconds()})
	if r.err != nil {
		return fmt.Errorf("failed to write: %w", r.err)
	}
	return nil
}

func (r *replay) decide(d decision) {
	r.knocks++
	r.tell(newReplayedKnock(r.now, d))
}

func (r *replay) tell(v any) {
	if err := r.report(v); err != nil && r.err == nil {
		r.err = err
	}
}

// A replayedKnock is a decision as the replay writes it.
type replayedKnock struct {
	At      time.Time   `json:"at"`
	Src     netip.Addr  `json:"src"`
	Key     string      `json:"key,omitempty"`
	Section string      `json:"section,omitempty"`
	Action  string      `json:"action"` // open, close, or what a section does
	IP      *netip.Addr `json:"ip,omitempty"`
	Port    *uint16     `json:"port,omitempty"`
	Minutes *uint8      `json:"minutes,omitempty"` // 0: no limit, or to be closed
	Allowed bool        `json:"allowed"`
	Refusal string      `json:"refusal,omitempty"`

	says string
}

func newReplayedKnock(at time.Time, d decision) replayedKnock {
	k := replayedKnock{At: at, Src: d.src, Allowed: d.refusal == "", Refusal: d.refusal, says: d.String()}
	if kind, name := d.who(); name != "" {
		k.says = fmt.Sprintf("%s %s: %s", kind, name, k.says)
	}
	if d.event != nil {
		k.Section, k.Action = d.event.Name, d.String()
		return k
	}
	port, minutes := uint16(d.payload.Port), d.payload.Time
	k.Key, k.Action, k.IP, k.Port, k.Minutes = d.key.Name, "open", &d.payload.IP, &port, &minutes
	if d.payload.Time == knock.Close {
		k.Action, minutes = "close", 0
	}
	return k
}

func (k replayedKnock) String() string {
	verdict := "allowed"
	if !k.Allowed {
		verdict = "refused: " + k.Refusal
	}
	return fmt.Sprintf("%s %s: %s: %s", k.At.Format(time.RFC3339), k.Src, k.says, verdict)
}

type replaySummary struct {
	Lines   uint64  `json:"lines"`
	Packets uint64  `json:"packets"`
	Knocks  uint64  `json:"knocks"`
	Seconds float64 `json:"seconds"`
}

func (s replaySummary) String() string {
	return fmt.Sprintf("%d lines, %d packets, %d knocks, %.3f s", s.Lines, s.Packets, s.Knocks, s.Seconds)
}

func textReport(w io.Writer) func(any) error {
	return func(v any) error { _, err := fmt.Fprintln(w, v); return err }
}

func jsonReport(w io.Writer) func(any) error {
	e := json.NewEncoder(w)
	return func(v any) error { return e.Encode(v) }
}
