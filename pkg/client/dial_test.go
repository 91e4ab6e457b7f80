package client

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestDialPackets(t *testing.T) {
	t.Parallel()
	a, acceptedA := listen(t)
	b, acceptedB := listen(t)
	closed := closedPort(t)
	accepted, err := dialPackets(t.Context(), loopback, tcp(max(a, b), closed, min(a, b), min(a, b)), 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint16{min(a, b), max(a, b)}, accepted); diff != "" {
		t.Errorf("accepted (-want +got)\n%s", diff)
	}
	for _, ch := range []<-chan uint16{acceptedA, acceptedB} {
		select {
		case <-ch:
		case <-time.After(10 * time.Second):
			t.Error("no connection came in")
		}
	}
}

func TestDialPacketsOverIPv6(t *testing.T) {
	t.Parallel()
	conn := datagrams(t, netip.IPv6Loopback())
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	open := netip.MustParseAddrPort(l.Addr().String()).Port()
	heard := netip.MustParseAddrPort(conn.LocalAddr().String()).Port()
	accepted, err := dialPackets(t.Context(), netip.IPv6Loopback(), append(tcp(open), udp(heard), udp(heard)), 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint16{open}, accepted); diff != "" {
		t.Errorf("accepted (-want +got)\n%s", diff)
	}
	wantDatagrams(t, conn, time.Now().Add(10*time.Second), 2)
}

// Whoever takes a source port between the look at it and its use does not stop the knock.
func TestDialFromPortInUse(t *testing.T) {
	t.Parallel()
	taken, _ := listen(t)
	port, _ := listen(t)
	d := dials{host: loopback, source: taken, answers: make(chan ending, 1)}
	defer d.running.Wait()
	if err := d.connect(t.Context(), tcp(port)[0]); err != nil {
		t.Fatal(err)
	}
	select {
	case a := <-d.answers:
		if a.err != nil {
			t.Errorf("error %v, want a connection from another port", a.err)
		}
	case <-time.After(10 * time.Second):
		t.Error("no answer")
	}
}

func TestDialsStopWithTheirContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := dialPackets(ctx, loopback, tcp(closedPort(t), closedPort(t)), time.Hour)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// No socket and no goroutine outlives the call, also if nobody answers.
func TestDialsEnd(t *testing.T) {
	host := netip.MustParseAddr("127.77.0.5")
	steps := append(tcp(deaf(t, host), closedPort(t)), udp(closedPort(t)))
	dialOnce := func() {
		began := time.Now()
		if _, err := dialPackets(t.Context(), host, steps, 0); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took >= lifetime {
			t.Errorf("took %v, want not to wait for an answer", took)
		}
	}
	dialOnce() // the first socket makes the runtime open files of its own
	files, goroutines := openFiles(t), runtime.NumGoroutine()
	dialOnce()
	if after := openFiles(t); after != files {
		t.Errorf("%d files open, want %d", after, files)
	}
	if after := runtime.NumGoroutine(); after > goroutines {
		t.Errorf("%d goroutines, want %d", after, goroutines)
	}
}

// What a host answers, or does not, is none of the knock's business; that a packet could not leave is.
func TestIsNotSent(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"refused":         {os.NewSyscallError("connect", unix.ECONNREFUSED), false},
		"unreachable":     {os.NewSyscallError("connect", unix.EHOSTUNREACH), false},
		"no answer":       {os.ErrDeadlineExceeded, false},
		"own firewall":    {os.NewSyscallError("connect", unix.EPERM), true},
		"network is down": {os.NewSyscallError("connect", unix.ENETDOWN), true},
		"too many files":  {os.NewSyscallError("socket", unix.EMFILE), true},
		"port in use":     {os.NewSyscallError("bind", unix.EADDRINUSE), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := isNotSent(reason(&net.OpError{Op: "dial", Err: test.err}))
			if got != test.want {
				t.Errorf("isNotSent(%v) = %v", test.err, got)
			}
		})
	}
}
