package sniff

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// A stranger who sends to addresses that are not ours causes one reading a second.
func TestOurs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := NewOurs([]netip.Addr{netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("::ffff:192.0.2.10"), netip.MustParseAddr("fe80::9%eth0")})
		list, reads := []string{"192.0.2.1/24", "::1/128", "2001:db8::1/64", "fe80::1/64"}, 0
		var err error
		o.list = func() (addrs []net.Addr, _ error) {
			reads++
			for _, text := range list {
				ip, n, err := net.ParseCIDR(text)
				if err != nil {
					t.Fatal(err)
				}
				addrs = append(addrs, &net.IPNet{IP: ip, Mask: n.Mask})
			}
			return addrs, err
		}
		has := func(want bool, wantReads int, texts ...string) {
			t.Helper()
			for _, text := range texts {
				if got := o.Has(netip.MustParseAddr(text)); got != want {
					t.Errorf("Has(%s) = %v", text, got)
				}
			}
			if reads != wantReads {
				t.Errorf("%d readings, want %d", reads, wantReads)
			}
		}
		has(true, 1, "192.0.2.1", "192.0.2.9", "192.0.2.10", "::1", "2001:db8::1", "fe80::1", "fe80::9", "127.0.0.1", "127.1.2.3")
		has(false, 1, "192.0.2.0", "192.0.2.255", "255.255.255.255", "224.0.0.1", "::ffff:192.0.2.1", "ff02::1", "192.0.2.2")

		list = []string{"192.0.2.2/24"}
		time.Sleep(refreshAfter - 1)
		has(false, 1, "192.0.2.2")
		time.Sleep(time.Nanosecond)
		has(true, 2, "192.0.2.2", "192.0.2.9")
		has(false, 2, "192.0.2.1")

		err = errors.New("no memory")
		time.Sleep(refreshAfter)
		has(false, 3, "192.0.2.3", "192.0.2.4") // one try a second, too
		has(true, 3, "192.0.2.2")
		if got := o.Refresh(); !errors.Is(got, err) {
			t.Errorf("error %v", got)
		}
		has(true, 4, "192.0.2.2")
	})
}
