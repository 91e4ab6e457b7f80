package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// A fault is what happens to a daemon in a lab.
type fault struct {
	title    string
	settings settings
	alone    bool // it loads the machine
	ours     bool // it can happen to knockdaemon only
	measure  func(*rig) (string, error)
}

// A job is one cell of a table.
type job struct {
	fault     *fault
	contender *contender
}

// A table has a row for each fault and a column for each contender.
type table struct {
	faults     []fault
	contenders []contender

	mu    sync.Mutex // guards cells
	cells map[job]string
}

func newTable(faults []fault, contenders []contender) *table {
	return &table{faults: faults, contenders: contenders, cells: map[job]string{}}
}

// measure fills in the cells, several at a time, and then one by one those that load the machine.
func (t *table) measure(ctx context.Context, o options) error {
	var together, alone []job
	for c := range slices.Backward(t.contenders) { // knockdaemon first: its times are the longest
		for f := range t.faults {
			j := job{&t.faults[f], &t.contenders[c]}
			switch {
			case j.fault.ours && c != len(t.contenders)-1:
				t.cells[j] = "–"
			case j.fault.alone:
				alone = append(alone, j)
			default:
				together = append(together, j)
			}
		}
	}
	return errors.Join(t.work(ctx, o, together, o.parallel), t.work(ctx, o, alone, 1))
}

// work does jobs, so many at a time.
func (t *table) work(ctx context.Context, o options, jobs []job, parallel int) (err error) {
	var wait sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for _, j := range jobs {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			cell, failed := t.do(ctx, o, j)
			t.mu.Lock()
			defer t.mu.Unlock()
			if failed != nil {
				cell = "not measured"
				err = errors.Join(err, fmt.Errorf("failed to measure %q of %s: %w", j.fault.title, j.contender.title, failed))
			}
			t.cells[j] = cell
			fmt.Fprintf(os.Stderr, "%s  %s: %s: %s\n", time.Now().Format(time.TimeOnly), j.contender.title, j.fault.title, cell)
		})
	}
	wait.Wait()
	return err
}

// do builds a lab, has a fault happen there, and takes the lab away.
func (t *table) do(ctx context.Context, o options, j job) (cell string, err error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	r, err := newRig(ctx, o, j.contender, j.fault.settings)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, r.tearDown()) }()
	return j.fault.measure(r)
}

// print prints the table in markdown.
func (t *table) print(w io.Writer) {
	row := func(cells ...string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }
	head, line := []string{"fault"}, []string{"---"}
	for _, c := range t.contenders {
		head, line = append(head, c.title), append(line, "---")
	}
	row(head...)
	row(line...)
	for f := range t.faults {
		cells := []string{t.faults[f].title}
		for c := range t.contenders {
			cells = append(cells, t.cells[job{&t.faults[f], &t.contenders[c]}])
		}
		row(cells...)
	}
}
