package firewall

import (
	"net"
	"os/exec"
	"testing"
	"time"
)

// lag is by how much the kernel's idea of the second may be late: it is kept by
// the clock's tick.
const lag = 20 * time.Millisecond

// host is a network namespace with a loopback interface.
func host(t *testing.T, variant string) kernel {
	t.Helper()
	k := newKernel(t, variant)
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("failed to set up lo: %v: %s", err, out)
	}
	return k
}

// listen gives a TCP listener in the namespace, and its port.
func listen(t *testing.T) (net.Listener, uint16) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, uint16(l.Addr().(*net.TCPAddr).Port)
}

// dial makes one try to connect, with one SYN, and reports when it was made at
// the earliest and at the latest, and whether it was let in.
func dial(l net.Listener) (from, to time.Time, open bool) {
	from = time.Now()
	c, err := net.DialTimeout("tcp4", l.Addr().String(), 400*time.Millisecond)
	to = time.Now()
	if err == nil {
		c.Close()
	}
	return from, to, err == nil
}

// dialing gives dials to l.
func dialing(l net.Listener) func() (from, to time.Time, open bool) {
	return func() (from, to time.Time, open bool) { return dial(l) }
}

// watch dials until it is answered otherwise than with before, and checks that
// this comes at end and not a moment sooner or later.
func watch(t *testing.T, dial func() (from, to time.Time, open bool), before bool, end time.Time) {
	t.Helper()
	inLastSecond := false
	for time.Now().Before(end.Add(5 * time.Second)) {
		from, to, open := dial()
		if open != before {
			if to.Before(end) {
				t.Errorf("let in: %v, %v before the end", open, end.Sub(to))
			}
			if !inLastSecond {
				t.Errorf("let in: %v, not once in the last second", before)
			}
			return
		}
		if from.After(end.Add(lag)) {
			t.Errorf("let in: %v, still %v after the end", open, from.Sub(end))
		}
		inLastSecond = inLastSecond || !from.Before(end.Add(-time.Second+lag))
		time.Sleep(5 * time.Millisecond) // between two tries
	}
	t.Errorf("let in: %v, 5 s after the end", before)
}

// TestEnd sends packets: the second before the end matches, the end does not.
func TestEnd(t *testing.T) {
	t.Parallel()
	for _, variant := range variants {
		t.Run(variant+"/accept", func(t *testing.T) {
			t.Parallel()
			k := host(t, variant)
			k.admin("-P INPUT DROP\n-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT")
			l, port := listen(t)
			f := k.firewall("KNOCK")
			k.must(f.Setup(t.Context()))
			if _, _, open := dial(l); open {
				t.Fatal("let in without a rule")
			}
			end := time.Now().Truncate(time.Second).Add(3 * time.Second)
			k.must(f.Add(t.Context(), Entry{rule("127.0.0.1", port), end.Add(999 * time.Millisecond)}))
			watch(t, dialing(l), true, end)
		})
		t.Run(variant+"/drop", func(t *testing.T) {
			t.Parallel()
			k := host(t, variant)
			k.admin("-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT") // or else nothing is tracked before the drop
			l, _ := listen(t)
			other, port := listen(t)
			f := k.firewall("KNOCK")
			k.must(f.Setup(t.Context()))
			client, server := connect(t, l)
			end := time.Now().Truncate(time.Second).Add(3 * time.Second)
			k.must(f.Add(t.Context(), Entry{drop("127.0.0.1"), end}))
			k.must(f.Add(t.Context(), Entry{rule("127.0.0.1", port), end.Add(time.Minute)}))
			if _, _, open := dial(other); !open {
				t.Error("an accept does not win over a drop")
			}
			for _, c := range []net.Conn{client, server} {
				c.SetDeadline(end.Add(-time.Second)) // which is while it drops
			}
			if _, err := client.Write([]byte("x")); err != nil {
				t.Error(err)
			}
			if _, err := server.Read(make([]byte, 1)); err != nil {
				t.Errorf("a standing connection: %v", err)
			}
			watch(t, dialing(l), false, end)
		})
	}
}

// connect gives both ends of a connection.
func connect(t *testing.T, l net.Listener) (client, server net.Conn) {
	t.Helper()
	client, err := net.DialTimeout("tcp4", l.Addr().String(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}
