package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// Kmsg hands on what the kernel itself logs, with no syslog daemon and no file between.
type Kmsg struct {
	path string
	o    Options
}

// NewKmsg makes a Kmsg. It starts nothing.
func NewKmsg(o Options) *Kmsg { return &Kmsg{path: "/dev/kmsg", o: o.whole()} }

// Run hands the first line of every message that the kernel logs after its
// start to handle, as dmesg prints it and without its newline, until ctx ends;
// then it returns nil. The slice is valid only during the call, and all calls
// come from Run's own goroutine. What processes write to /dev/kmsg is left out,
// and so are fragments of messages. Bytes that are not printable ASCII, and the
// backslash, are \xNN, as the kernel shows them: a line has no newline in it, and
// begins where the kernel began it.
//
// The stamps are of the kernel's own clock. That is not the one that a wall
// clock is kept right with: it stands still while the machine sleeps, and in
// months of uptime the two drift apart by seconds or minutes. How old a line is
// must not be judged by it, nor need be: none is older than Run.
//
// The kernel keeps the last messages in a ring (log_buf_len, often 128 KiB to
// 1 MiB): those that it writes over before they are read are lost. How many is
// counted and reported at once, then once a minute at most. It does not limit
// how many packets a firewall's rule logs; "-m limit" of the rule does.
//
// An error is one of opening or reading /dev/kmsg. It wraps fs.ErrPermission if
// only CAP_SYSLOG may (the sysctl kernel.dmesg_restrict), and fs.ErrNotExist
// where there is none, as in many containers.
func (k *Kmsg) Run(ctx context.Context, handle func(line []byte)) error {
	f, err := k.open()
	if err != nil {
		return err
	}
	defer f.Close()
	k.o.Started()
	return k.follow(ctx, f, handle)
}

// Allowed gives nil if this process may read the kernel's log, and else Run's error.
func (k *Kmsg) Allowed() error {
	f, err := k.open()
	if err != nil {
		return err
	}
	return f.Close()
}

// open opens the log at its end.
func (k *Kmsg) open() (*os.File, error) {
	f, err := os.OpenFile(k.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err == nil {
		if _, err = f.Seek(0, io.SeekEnd); err == nil {
			return f, nil
		}
		f.Close()
	}
	return nil, fmt.Errorf("failed to read the kernel's log: %w", err)
}

// follow reads f, which gives one record with each read.
func (k *Kmsg) follow(ctx context.Context, f *os.File, handle func(line []byte)) error {
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	r := records{from: f, buf: make([]byte, maxRecord)}
	for {
		if err := f.SetReadDeadline(time.Now().Add(lookEvery / 2)); err != nil {
			return fmt.Errorf("failed to wait for the kernel's log: %w", err)
		}
		if ctx.Err() != nil { // before that deadline was set: it took the place of the one set by stop
			return nil
		}
		err := r.read(handle)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("failed to read the kernel's log: %w", err)
		}
		k.o.Looked()
		if n, ok := r.lost.due(time.Now()); ok {
			k.o.Report("messages of the kernel lost", fmt.Errorf("%d were written over before they were read", n))
		}
	}
}

// records reads the messages of the kernel's log.
type records struct {
	from io.Reader
	buf  []byte
	line []byte
	next uint64 // the sequence number of the next, if one was read
	lost losses
}

// read hands on lines until there is an error, if only that it is time to look at something else.
func (r *records) read(handle func(line []byte)) error {
	for {
		n, err := r.from.Read(r.buf)
		switch {
		case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.EINVAL):
			// Written over, or longer than any kernel's: the next one's number tells what is missing.
			continue
		case err != nil:
			return err
		}
		if line, ok := r.take(r.buf[:n]); ok {
			handle(line)
		}
	}
}

// take gives the line of a record, if it is the kernel's. It is valid until the next call.
func (r *records) take(b []byte) (line []byte, ok bool) {
	rec, ok := parseRecord(b)
	if !ok {
		return nil, false
	}
	if r.next > 0 && rec.seq > r.next {
		r.lost.count += rec.seq - r.next
	}
	r.next = rec.seq + 1
	if !rec.kernel {
		return nil, false
	}
	r.line = rec.appendLine(r.line[:0])
	return r.line, true
}

// losses counts what is to be reported now and then.
type losses struct {
	count uint64
	told  time.Time
}

// lossReports is the least time between two reports of losses.
const lossReports = time.Minute

// due gives what to report at now, and forgets it.
func (l *losses) due(now time.Time) (n uint64, ok bool) {
	if l.count == 0 || !l.told.IsZero() && now.Sub(l.told) < lossReports {
		return 0, false
	}
	n, l.count, l.told = l.count, 0, now
	return n, true
}
