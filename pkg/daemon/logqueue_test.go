package daemon

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

// gated is a reader of the log that hangs until it is let go.
type gated struct {
	gate chan struct{}
	next io.Writer
}

func (g *gated) Write(b []byte) (int, error) {
	<-g.gate
	return g.next.Write(b)
}

func lostLine(lost int) []byte { return fmt.Appendf(nil, "%d lost\n", lost) }

// In JSON, what tells of lost lines is JSON as well.
func TestLostLinesAreToldInTheLogsForm(t *testing.T) {
	t.Parallel()
	j := newJournal()
	to := &gated{gate: make(chan struct{}), next: j}
	log := newTestLog(t, load(t, "-log=l", "-output=json"), to)
	for range 2 * logQueue {
		log.Info("line")
	}
	close(to.gate)
	j.wait(t, "lines of this log were lost, it is read too slowly")
}

func TestLogWriterNeverWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		to := &gated{gate: make(chan struct{}), next: &text}
		w := newLogWriter(to, lostLine)
		for i := range 3 * logQueue {
			fmt.Fprintf(w, "line %d\n", i)
			synctest.Wait()
		}
		close(to.gate)
		synctest.Wait()
		fmt.Fprintln(w, "after")
		w.close()
		fmt.Fprintln(w, "too late")

		var want strings.Builder
		lost := 2*logQueue - 1 // one is in the hands of the goroutine, the queue is full of others
		for i := range logQueue + 1 {
			fmt.Fprintf(&want, "line %d\n", i)
			if i == 0 {
				want.Write(lostLine(lost))
			}
		}
		want.WriteString("after\n")
		if got := text.String(); got != want.String() {
			t.Errorf("got %d bytes, want %d:\n%.300s", len(got), want.Len(), got)
		}
	})
}

// A reader that hangs for good holds up the daemon's end for a moment only.
func TestLogWriterCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, to := io.Pipe()
		w := newLogWriter(to, lostLine)
		fmt.Fprintln(w, "nobody reads this")
		w.close() // in a bubble it would be a deadlock if it waited for ever
		r.Close()
	})
}
