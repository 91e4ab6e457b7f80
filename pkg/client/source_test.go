package client

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// wantNumbered insists on n consecutive source ports from 49152..65535.
func wantNumbered(t *testing.T, sources []int, n int) {
	t.Helper()
	if len(sources) != n {
		t.Fatalf("%d source ports, want %d", len(sources), n)
	}
	for i, source := range sources {
		if source != sources[0]+i || source < 49152 || source > 65535 {
			t.Fatalf("source ports %v, want consecutive ones from 49152..65535", sources)
		}
	}
}

// sourcesOf gives the source ports that sockets are bound to.
func sourcesOf(t *testing.T, fds []int) (sources []int) {
	t.Helper()
	for _, fd := range fds {
		name, err := unix.Getsockname(fd)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, name.(*unix.SockaddrInet4).Port)
	}
	return sources
}

// Every number of the range is chosen, and none beyond.
func TestChooseSource(t *testing.T) {
	t.Parallel()
	const n = 16380 // of 16384, which leaves 5
	seen := map[uint16]bool{}
	for range 1000 {
		seen[chooseSource(n)] = true
	}
	for first := uint16(49152); first <= 49156; first++ {
		if !seen[first] {
			t.Errorf("%d was not chosen in 1000 times", first)
		}
		delete(seen, first)
	}
	if len(seen) > 0 {
		t.Errorf("chosen: %v", seen)
	}
}

// A knock leaves from consecutive source ports, in order.
func TestSourcePorts(t *testing.T) {
	t.Parallel()
	for name, send := range senders {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			port := netip.MustParseAddrPort(l.Addr().String()).Port()
			if _, err := send(t.Context(), loopback, tcp(port, port, port, port, port, port, port, port), 0); err != nil {
				t.Fatal(err)
			}
			if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			var sources []int
			for range 8 {
				conn, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				sources = append(sources, int(netip.MustParseAddrPort(conn.RemoteAddr().String()).Port()))
				conn.Close()
			}
			wantNumbered(t, sources, 8)
		})
	}
}

// Where a source port is in use, others are tried; and when all were in vain, the kernel chooses. No socket is left over.
func TestSourcePortsInUse(t *testing.T) {
	before := openFiles(t)
	taken, err := newSockets(loopback, 8, chooseSource)
	if err != nil {
		t.Fatal(err)
	}
	inUse := uint16(sourcesOf(t, taken)[7])

	calls := 0
	fds, err := newSockets(loopback, 8, func(n int) uint16 {
		if calls++; calls == 1 {
			return min(inUse, 1<<16-8)
		}
		return chooseSource(n)
	})
	if err != nil {
		t.Fatal(err)
	}
	if calls < 2 {
		t.Errorf("%d tries, want 2 or more", calls)
	}
	wantNumbered(t, sourcesOf(t, fds), 8)
	closeFiles(fds)

	fds, err = newSockets(loopback, 8, func(int) uint16 { return min(inUse, 1<<16-8) })
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range sourcesOf(t, fds) {
		if source != 0 {
			t.Errorf("a socket is bound to %d, want to none", source)
		}
	}
	closeFiles(fds)
	wantFreeSource(t, min(inUse, 1<<16-8))
	closeFiles(taken)
	if after := openFiles(t); after != before {
		t.Errorf("%d files open, want %d", after, before)
	}
}

// wantFreeSource insists that of the source ports that somebody uses none is called free.
func wantFreeSource(t *testing.T, inUse uint16) {
	t.Helper()
	calls := 0
	source := freeSource(loopback, 8, func(n int) uint16 {
		if calls++; calls == 1 {
			return inUse
		}
		return chooseSource(n)
	})
	if calls < 2 || source < 49152 || source > 1<<16-8 {
		t.Errorf("%d after %d tries, want a source port after 2 or more", source, calls)
	}
	if source := freeSource(loopback, 8, func(int) uint16 { return inUse }); source != 0 {
		t.Errorf("%d is called free, want none", source)
	}
}

// That no more files can be opened is an error.
func TestNoSocket(t *testing.T) {
	steps := slices.Repeat(tcp(deaf(t, loopback)), 24) // that no socket comes free by an answer
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = uint64(openFiles(t) + 4)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	}()
	for name, send := range senders {
		_, err := send(t.Context(), loopback, steps, 0)
		if !errors.Is(err, unix.EMFILE) {
			t.Errorf("%s: error %v, want that there are too many files", name, err)
		}
	}
}
