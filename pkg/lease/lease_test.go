package lease

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portknock/knock/pkg/firewall"
)

func TestTimes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		seconds  int
		openAt   float64 // still open then
		closedAt float64 // 0: never
	}{
		"one minute":       {60, 59, 60},
		"fifteen minutes":  {900, 899, 900},
		"the longest time": {254 * 60, 254*60 - 1, 254 * 60},
		"no limit":         {0, 7 * 24 * 3600, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				end := ""
				if tt.seconds > 0 {
					end = fmt.Sprintf(" until %d", tt.seconds)
				}
				h.open(ip1, tt.seconds)
				h.at(tt.openAt)
				h.rules("chain\naccept 192.0.2.1 22/tcp" + end + "\n")
				if tt.closedAt == 0 {
					h.reported("0s opened 192.0.2.1 22/tcp")
					return
				}
				h.at(tt.closedAt)
				h.rules("chain\n")
				h.leases()
				h.reported(fmt.Sprintf("0s opened 192.0.2.1 22/tcp until %ds", tt.seconds),
					fmt.Sprintf("%.0fs expired 192.0.2.1 22/tcp", tt.closedAt))
			})
		})
	}
}

func TestRefresh(t *testing.T) {
	tests := map[string]struct {
		first, second int // seconds from the knock, the second one comes after 10 s
		want          string
		end           float64 // 0: never
	}{
		"longer":   {60, 120, " until 130", 130},
		"shorter":  {120, 60, " until 70", 70},
		"to none":  {60, 0, "", 0},
		"to some":  {0, 60, " until 70", 70},
		"the same": {60, 60, " until 70", 70},
	}
	t.Parallel()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.open(ip1, tt.first)
				h.at(10)
				h.fake.Flush() // by somebody else; the knock heals it at once
				h.open(ip1, tt.second)
				h.rules("chain\naccept 192.0.2.1 22/tcp" + tt.want + "\n")
				if tt.end == 0 {
					h.at(100000)
					h.rules("chain\naccept 192.0.2.1 22/tcp\n")
					h.leases("192.0.2.1 22/tcp")
					return
				}
				h.at(tt.end - 1)
				h.rules("chain\naccept 192.0.2.1 22/tcp" + tt.want + "\n")
				h.at(tt.end)
				h.rules("chain\n")
			})
		})
	}
}

func TestClose(t *testing.T) {
	inHouse(t, func(h *house) {
		h.open(ip1, 60)
		h.open(ip2, 0)
		h.at(1)
		h.close(ip1)
		h.rules("chain\naccept 192.0.2.2 22/tcp\n")
		h.leases("192.0.2.2 22/tcp")
		h.at(2)
		h.close(ip1) // closed already: the firewall is asked, nobody is told
		h.close(ip2)
		h.rules("chain\n")
		h.at(29)
		h.calls("add 192.0.2.1 22/tcp", "sync", "add 192.0.2.2 22/tcp", "sync",
			"delete 192.0.2.1 22/tcp", "delete 192.0.2.1 22/tcp", "delete 192.0.2.2 22/tcp")
		h.reported("0s opened 192.0.2.1 22/tcp until 60s", "0s opened 192.0.2.2 22/tcp",
			"1s closed 192.0.2.1 22/tcp", "2s closed 192.0.2.2 22/tcp")
	})
}

// TestRepeatedKnocksAreCheap: whoever repeats recorded knocks, to open or to
// close, makes neither the firewall nor the disk work for each.
func TestRepeatedKnocksAreCheap(t *testing.T) {
	inHouse(t, func(h *house) {
		h.at(0.1)
		for range 1000 { // in 10 s
			time.Sleep(5 * time.Millisecond)
			h.open(ip1, 600)
			time.Sleep(5 * time.Millisecond)
			h.close(ip1)
		}
		h.at(11)
		h.rules("chain\n") // the last word
		h.leases()
		if calls := h.fake.Calls(); len(calls) > 2*54 { // each with a look at the rest
			t.Errorf("got %d changes of the firewall in 10 s, want 2 a second and a few: %v", len(calls), calls)
		}
		if told := strings.Count(h.told(), "\n"); told > 54 {
			t.Errorf("%d changes were told of, want 2 a second and a few", told)
		}
	})
}

func TestRefusals(t *testing.T) {
	inHouse(t, func(h *house) {
		v6 := netip.MustParseAddr("2001:db8::1")
		for what, err := range map[string]error{
			"open of IPv6":          h.Open(port22(v6), 0, By{}),
			"close of IPv6":         h.Close(port22(v6), By{}),
			"open for no time":      h.Open(one, -1, By{}),
			"open of no address":    h.Open(port22(netip.Addr{}), 0, By{}),
			"open of a ban":         h.Open(banOf(ip1), time.Hour, By{}),
			"close of a ban":        h.Close(banOf(ip1), By{}),
			"forward nowhere":       h.Open(firewall.Rule{Src: ip1, Port: 22, Action: firewall.Forward}, 0, By{}),
			"forward of port 0":     h.Close(firewall.Rule{Src: ip1, Action: firewall.Forward, To: inner.To}, By{}),
			"ban of a mapped IPv4":  h.Ban(netip.AddrFrom16(ip1.As16()), time.Hour, true),
			"a ban before it began": h.Ban(ip1, -time.Hour, true),
		} {
			if err == nil {
				t.Errorf("%s: got no error", what)
			}
		}
		synctest.Wait()
		h.calls()
		h.leases()
	})
}

// TestBounds has Managers that were asked for as much as they take, and do not run.
func TestBounds(t *testing.T) {
	t.Parallel()
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	m := New(firewall.NewFake(), Options{})
	for i := range MaxBans {
		if err := m.Ban(address(i), time.Hour, i%2 == 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Ban(ip1, time.Hour, true); !errors.Is(err, ErrFull) {
		t.Errorf("one ban more: got error %v, want ErrFull", err)
	}
	if err := m.Ban(address(0), time.Hour, false); err != nil {
		t.Errorf("one of them anew is none more: %v", err)
	}
	for i := range MaxLeases - MaxBans {
		if err := m.Open(port22(address(i)), 0, By{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Open(two, 0, By{}); !errors.Is(err, ErrFull) {
		t.Errorf("one lease more: got error %v, want ErrFull", err)
	}
	if err := m.Close(two, By{}); err != nil || m.Has(two) {
		t.Errorf("one more to close: got error %v, held %v; want that it takes no room", err, m.Has(two))
	}
	if err := m.Close(port22(address(1)), By{}); err != nil {
		t.Errorf("what is held can always be closed: %v", err)
	}
}

func TestBans(t *testing.T) {
	inHouse(t, func(h *house) {
		h.must(h.Ban(ip1, time.Minute, false))
		h.must(h.Ban(ip2, time.Minute, true))
		synctest.Wait()
		h.rules("chain\ndrop 192.0.2.2 until 60\n")
		ignored := func() []bool { return []bool{h.Ignored(ip1), h.Ignored(ip2)} }
		if got := ignored(); !slices.Equal(got, []bool{true, false}) || !h.Banned(ip1) || !h.Banned(ip2) {
			t.Errorf("ignored: got %v, want the first alone; both are banned", got)
		}
		h.at(1)
		h.kill()
		h.start()
		h.rules("chain\ndrop 192.0.2.2 until 60\n")
		if got := ignored(); !slices.Equal(got, []bool{true, false}) || !h.Banned(ip1) || !h.Banned(ip2) {
			t.Errorf("ignored after a restart: got %v, want the first alone; both are banned", got)
		}
		h.leases("drop 192.0.2.1 60s", "drop 192.0.2.2 60s")
		h.at(60)
		h.rules("chain\n")
		if got := ignored(); !slices.Equal(got, []bool{false, false}) || h.Banned(ip1) || h.Banned(ip2) {
			t.Errorf("ignored at the end: got %v, want none", got)
		}
		h.leases()
		h.reported("0s opened drop 192.0.2.1 until 60s", "0s opened drop 192.0.2.2 until 60s",
			"1s note leases restored: 2, ended meanwhile: 0",
			"60s expired drop 192.0.2.1", "60s expired drop 192.0.2.2")
	})
}

// TestUnban lets go those who should never have been banned.
func TestUnban(t *testing.T) {
	inHouse(t, func(h *house) {
		h.must(h.Ban(ip1, time.Hour, false))
		h.must(h.Ban(ip2, time.Hour, true))
		h.open(ip2, 0)
		h.at(1)
		h.must(h.Unban(func(a netip.Addr) bool { return a == ip2 }))
		h.at(2)
		h.rules("chain\naccept 192.0.2.2 22/tcp\n")
		h.leases("drop 192.0.2.1 3600s", "192.0.2.2 22/tcp")
		h.must(h.Unban(func(netip.Addr) bool { return true }))
		h.at(3)
		h.leases("192.0.2.2 22/tcp")
		if h.Ignored(ip1) {
			t.Error("a ban that was lifted is still in force")
		}
	})
}

// Without a place for rules that drop, a ban is one that the firewall is not told
// of, also if the journal says otherwise.
func TestNoDrops(t *testing.T) {
	inHouse(t, func(h *house) {
		h.must(h.Ban(ip1, time.Hour, true))
		h.at(1)
		h.kill()
		h.options.NoDrops = true
		h.start()
		h.must(h.Ban(ip2, time.Hour, true))
		h.at(2)
		h.rules("chain\n")
		if !h.Ignored(ip1) || !h.Ignored(ip2) {
			t.Error("the bans are not in force")
		}
	})
}

// A ban that is asked for again in another way is in force in that way alone.
func TestBanInAnotherWay(t *testing.T) {
	inHouse(t, func(h *house) {
		h.must(h.Ban(ip1, time.Minute, false))
		h.at(1)
		h.must(h.Ban(ip1, time.Minute, true))
		h.at(2)
		h.rules("chain\ndrop 192.0.2.1 until 61\n")
		if h.Ignored(ip1) || !h.Banned(ip1) {
			t.Error("the firewall drops it, and it is ignored too, or not banned")
		}
		h.at(3)
		h.must(h.Ban(ip1, time.Minute, false))
		h.at(34)
		h.rules("chain\n")
		if !h.Ignored(ip1) {
			t.Error("it is not ignored")
		}
		h.at(64)
		h.leases()
	})
}

// A port of an address is open, or leads somewhere, or is closed: never two of these.
func TestOneUseOfAPort(t *testing.T) {
	inHouse(t, func(h *house) {
		r := port22(ip1)
		forward := func(to string) firewall.Rule {
			return firewall.Rule{Src: ip1, Port: 22, Action: firewall.Forward, To: netip.MustParseAddrPort(to)}
		}
		udp := firewall.Rule{Src: ip1, Port: 22, Proto: firewall.UDP}
		h.must(h.Open(udp, 0, By{}))
		h.must(h.Open(forward("10.0.0.5:22"), 0, By{}))
		h.at(1)
		h.rules("chain\nforward chain\nforward 192.0.2.1 22/tcp to 10.0.0.5:22\naccept 192.0.2.1 22/udp\n")
		h.must(h.Open(forward("10.0.0.6:22"), time.Minute, By{}))
		h.at(2)
		h.rules("chain\nforward chain\nforward 192.0.2.1 22/tcp to 10.0.0.6:22 until 61\naccept 192.0.2.1 22/udp\n")
		h.must(h.Close(r, By{})) // whatever it leads to
		h.at(3)
		h.rules("chain\nforward chain\naccept 192.0.2.1 22/udp\n")
		h.must(h.Open(forward("10.0.0.6:22"), 0, By{}))
		h.must(h.Open(r, 0, By{})) // before the other has begun
		h.at(4)
		h.rules("chain\nforward chain\naccept 192.0.2.1 22/tcp\naccept 192.0.2.1 22/udp\n")
		h.leases("192.0.2.1 22/tcp", "192.0.2.1 22/udp")
	})
}

// What cannot be opened closes nothing in its place.
func TestRefusedOpenKeepsTheForward(t *testing.T) {
	t.Parallel()
	broken := false
	inHouseOf(t, func(h *house) {
		write := h.write
		h.write = func(r record) error {
			if broken {
				return errBroken
			}
			if write == nil {
				return nil
			}
			return write(r)
		}
	}, func(h *house) {
		forward := firewall.Rule{Src: ip1, Port: 22, Action: firewall.Forward, To: netip.MustParseAddrPort("10.0.0.5:22")}
		h.must(h.Open(forward, 0, By{}))
		h.at(1)
		broken = true
		h.must(h.Open(port22(ip1), 0, By{}))
		h.at(2)
		h.rules("chain\nforward chain\nforward 192.0.2.1 22/tcp to 10.0.0.5:22\n")
		h.leases("192.0.2.1 22/tcp to 10.0.0.5:22")
	})
}

// Who hears of a refusal, and looks, finds nothing that waits.
func TestRefusedWaitsNoMore(t *testing.T) {
	t.Parallel()
	heard := 0
	inHouseOf(t, func(h *house) {
		h.write = func(record) error { return errBroken }
		report := h.options.Report
		h.options.Report = func(e Event) {
			report(e)
			if got := h.Leases(); e.Kind == Refused && len(got) > 0 {
				t.Errorf("there is %+v, want nothing", got)
			}
			heard++
		}
	}, func(h *house) {
		h.must(h.Open(port22(ip1), 0, By{}))
		h.at(1)
		if heard != 1 {
			t.Errorf("heard %d times, want once", heard)
		}
	})
}
