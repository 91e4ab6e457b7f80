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
	text strings.Builder
}

func (g *gated) Write(b []byte) (int, error) {
	<-g.gate
	return g.text.Write(b)
}

func TestLogWriterNeverWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		to := &gated{gate: make(chan struct{})}
		w := newLogWriter(to)
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
				fmt.Fprintf(&want, "knockdaemon: warning: %d lines of this log were lost, it was read too slowly\n", lost)
			}
		}
		want.WriteString("after\n")
		if got := to.text.String(); got != want.String() {
			t.Errorf("got %d bytes, want %d:\n%.300s", len(got), want.Len(), got)
		}
	})
}

// A reader that hangs for good holds up the daemon's end for a moment only.
func TestLogWriterCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, to := io.Pipe()
		w := newLogWriter(to)
		fmt.Fprintln(w, "nobody reads this")
		w.close() // in a bubble it would be a deadlock if it waited for ever
		r.Close()
	})
}
