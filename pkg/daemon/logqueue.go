package daemon

import (
	"bytes"
	"io"
	"sync"
	"time"
)

const (
	// logQueue is how many lines wait for a reader of the daemon's log that is slow.
	logQueue = 1024
	// flushLimit is how long the last lines may take.
	flushLimit = time.Second
)

// A logWriter hands lines on without ever waiting: a log collector that hangs must not make the daemon deaf. What does
// not fit into its queue is lost and counted.
type logWriter struct {
	to      io.Writer
	report  func(lost int) []byte // makes the line that tells of lost ones
	lines   chan []byte
	written chan struct{} // closed when all is written

	mu     sync.Mutex // guards what is below, and sending on lines
	closed bool
	lost   int
}

// newLogWriter starts a goroutine, which close ends.
func newLogWriter(to io.Writer, report func(lost int) []byte) *logWriter {
	w := &logWriter{to: to, report: report, lines: make(chan []byte, logQueue), written: make(chan struct{})}
	go func() {
		defer close(w.written)
		for line := range w.lines {
			w.to.Write(line) // there is no other place to say that it failed
			if lost := w.takeLost(); lost > 0 {
				w.to.Write(w.report(lost))
			}
		}
	}()
	return w
}

// Write never fails.
func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		select {
		case w.lines <- bytes.Clone(line):
		default:
			w.lost++
		}
	}
	return len(line), nil
}

func (w *logWriter) takeLost() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	lost := w.lost
	w.lost = 0
	return lost
}

// close waits until the lines are written, but not for ever.
func (w *logWriter) close() {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.lines)
	}
	w.mu.Unlock()
	select {
	case <-w.written:
	case <-time.After(flushLimit):
	}
}
