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
	return r.run(c, in)
}

type replay struct {
	*pipeline
	now    time.Time // the stamp of the packet that the tracker is looking at
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
			r.now = b.packets[i].At
			r.tracker.Observe(b.packets[i], r.now)
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
	At      time.Time  `json:"at"`
	Src     netip.Addr `json:"src"`
	Action  string     `json:"action"` // open, close
	IP      netip.Addr `json:"ip"`
	Port    uint8      `json:"port"`
	Minutes uint8      `json:"minutes"` // 0: no limit, or to be closed
	Allowed bool       `json:"allowed"`
	Refusal string     `json:"refusal,omitempty"`

	payload knock.Payload
}

func newReplayedKnock(at time.Time, d decision) replayedKnock {
	k := replayedKnock{at, d.src, "open", d.payload.IP, d.payload.Port, d.payload.Time, d.refusal == "", d.refusal, d.payload}
	if d.payload.Time == knock.Close {
		k.Action, k.Minutes = "close", 0
	}
	return k
}

func (k replayedKnock) String() string {
	verdict := "allowed"
	if !k.Allowed {
		verdict = "refused: " + k.Refusal
	}
	return fmt.Sprintf("%s %s: %s: %s", k.At.Format(time.RFC3339), k.Src, k.payload, verdict)
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
