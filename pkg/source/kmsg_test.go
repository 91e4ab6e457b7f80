package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// steps is a kernel's log that gives what it is told to, with each read.
type steps []any

func (s *steps) Read(b []byte) (int, error) {
	if len(*s) == 0 {
		return 0, io.EOF
	}
	next := (*s)[0]
	*s = (*s)[1:]
	if err, ok := next.(error); ok {
		return 0, &fs.PathError{Op: "read", Path: "/dev/kmsg", Err: err}
	}
	return copy(b, next.(string)), nil
}

func TestRecords(t *testing.T) {
	t.Parallel()
	one, two, five := "4,1,1000000,-;one\n", "4,2,2000000,-;two\n", "4,5,5000000,-;five\n"
	tests := map[string]struct {
		from steps
		want []string
		lost uint64
		err  error
	}{
		"all there": {steps{one, two}, []string{"[    1.000000] one", "[    2.000000] two"}, 0, io.EOF},
		"written over": {
			steps{one, syscall.EPIPE, five},
			[]string{"[    1.000000] one", "[    5.000000] five"}, 3, io.EOF,
		},
		"written over before the first": {steps{syscall.EPIPE, five}, []string{"[    5.000000] five"}, 0, io.EOF},
		"written over twice": {
			steps{one, syscall.EPIPE, syscall.EPIPE, five, syscall.EPIPE, "4,9,9000000,-;nine\n"},
			[]string{"[    1.000000] one", "[    5.000000] five", "[    9.000000] nine"}, 6, io.EOF,
		},
		"a user's count in the row": {
			steps{one, "12,2,2000000,-;a user's\n", "30,3,2000000,-;x\n", "4,4,2000000,c;x\n", five},
			[]string{"[    1.000000] one", "[    5.000000] five"}, 0, io.EOF,
		},
		"one too long":  {steps{one, syscall.EINVAL, "4,3,3000000,-;three\n"}, []string{"[    1.000000] one", "[    3.000000] three"}, 1, io.EOF},
		"garbage":       {steps{one, "garbage", two}, []string{"[    1.000000] one", "[    2.000000] two"}, 0, io.EOF},
		"other failure": {steps{one, syscall.EIO, two}, []string{"[    1.000000] one"}, 0, syscall.EIO},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := records{from: &tt.from, buf: make([]byte, maxRecord)}
			var got []string
			err := r.read(func(line []byte) { got = append(got, string(line)) })
			if !errors.Is(err, tt.err) || r.lost.count != tt.lost {
				t.Errorf("ended with %v, %d lost; want %v, %d", err, r.lost.count, tt.err, tt.lost)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLossesAreToldOnceAMinute(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	var (
		l   losses
		got []string
	)
	for second := range 150 {
		if second < 100 && second > 0 {
			l.count++
		}
		if n, ok := l.due(start.Add(time.Duration(second) * time.Second)); ok {
			got = append(got, fmt.Sprint(second, "s: ", n))
		}
	}
	if diff := cmp.Diff([]string{"1s: 1", "61s: 60", "121s: 38"}, got); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
}

// kmsgRig is a Kmsg that follows a socket, which keeps records apart as /dev/kmsg does.
type kmsgRig struct {
	rig
	kernel *os.File // where records are written
	looks  atomic.Int32
	ended  chan error
}

func newKmsgRig(t *testing.T) *kmsgRig {
	t.Helper()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	check(t, err)
	r := &kmsgRig{rig: rig{t: t}, kernel: os.NewFile(uintptr(pair[0]), "kernel"), ended: make(chan error, 1)}
	f := os.NewFile(uintptr(pair[1]), "kmsg")
	k := NewKmsg(Options{Looked: func() { r.looks.Add(1) }, Report: func(msg string, err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.reports = append(r.reports, fmt.Sprintf("%s: %v", msg, err))
	}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		r.ended <- k.follow(ctx, f, func(line []byte) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.lines = append(r.lines, string(line))
		})
	}()
	r.stop = sync.OnceFunc(cancel)
	t.Cleanup(func() {
		cancel()
		r.kernel.Close()
		f.Close()
	})
	return r
}

func (r *kmsgRig) write(records ...string) {
	r.t.Helper()
	for _, rec := range records {
		_, err := r.kernel.WriteString(rec)
		check(r.t, err)
	}
}

// end waits for follow's end, and tells how long it took.
func (r *kmsgRig) end() (took time.Duration, err error) {
	r.t.Helper()
	start := time.Now()
	select {
	case err := <-r.ended:
		return time.Since(start), err
	case <-time.After(10 * time.Second):
		r.t.Fatal("still running")
		return 0, nil
	}
}

func TestKmsgWaits(t *testing.T) {
	t.Parallel()
	r := newKmsgRig(t)
	if !eventually(func() bool { return r.looks.Load() >= 3 }) {
		t.Fatal("no sign of life")
	}
	r.write("4,1,1000000,-;one\n")
	r.want("[    1.000000] one")
	r.write("12,2,1000000,-;a user's\n", "4,9,9000000,-;nine\n")
	r.want("[    1.000000] one", "[    9.000000] nine")
	r.wantReport("messages of the kernel lost: 6 were written over before they were read")
	r.stop()
	if _, err := r.end(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestKmsgFails(t *testing.T) {
	t.Parallel()
	r := newKmsgRig(t)
	r.kernel.Close()
	if _, err := r.end(); !errors.Is(err, io.EOF) {
		t.Errorf("ended with %v, want EOF", err)
	}
}

// The kernel may log without a pause: that holds up neither the signs of life nor the end.
func TestKmsgNeverIdle(t *testing.T) {
	t.Parallel()
	r := newKmsgRig(t)
	check(t, r.kernel.SetWriteDeadline(time.Now().Add(20*time.Second)))
	go func() {
		for {
			if _, err := r.kernel.WriteString("30,1,1,-;x\n"); err != nil {
				return
			}
		}
	}()
	if !eventually(func() bool { return r.looks.Load() >= 3 }) {
		t.Fatal("no sign of life")
	}
	r.stop()
	if _, err := r.end(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestKmsgAtStart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "kmsg")
	write(t, file, "4,1,1000000,-;one\n")
	tests := map[string]struct {
		path string
		want error // nil for any
	}{
		"not there":      {file + ".not", fs.ErrNotExist},
		"a regular file": {file, nil},
		"a bit bucket":   {"/dev/null", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := NewKmsg(Options{})
			k.path = tt.path
			err := k.Run(t.Context(), func(line []byte) { t.Errorf("line %q", line) })
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("Run: %v, want %v", err, tt.want)
			}
		})
	}
}
