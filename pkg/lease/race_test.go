package lease

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/portknock/knock/pkg/firewall"
)

// TestOpenAgainstStop opens and closes ports from many goroutines while the
// manager stops: nothing may be open afterwards. It runs in real time, so that
// the race detector sees real interleavings.
func TestOpenAgainstStop(t *testing.T) {
	t.Parallel()
	const rounds, openers = 20, 8
	for range rounds {
		fake := firewall.NewFake()
		m := New(fake, Options{Report: func(Event) {}})
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()

		var opening, stopped sync.WaitGroup
		opening.Add(openers)
		for i := range openers {
			stopped.Go(func() { openUntilStopped(t, m, byte(i), opening.Done) })
		}
		opening.Wait() // each has opened one
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		stopped.Wait()
		if got := fake.Dump(); got != "" || m.Len() != 0 {
			t.Fatalf("got %d leases and firewall %q after the stop, want none", m.Len(), got)
		}
	}
}

// openUntilStopped opens ports, most for a time that ends at once, and calls
// first after the first one.
func openUntilStopped(t *testing.T, m *Manager, id byte, first func()) {
	for port := uint16(0); ; port++ {
		r := firewall.Rule{Src: netip.AddrFrom4([4]byte{192, 0, 2, id}), Port: port % 256}
		until := time.Time{}
		if port%4 > 0 {
			until = time.Now().Add(time.Millisecond)
		}
		err := m.Open(t.Context(), r, until)
		if port == 0 {
			first()
		}
		if errors.Is(err, ErrStopped) {
			return
		}
		if port%3 == 0 {
			if err := m.Close(t.Context(), r); errors.Is(err, ErrStopped) {
				return
			}
		}
	}
}
