package check

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// little keeps the samples, which a little machine wrote, from being read on a big one.
func little(t *testing.T) {
	t.Helper()
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Fatal("the samples of /proc/net/tcp are a little-endian machine's: add some of this one's")
	}
}

func TestListeners(t *testing.T) {
	t.Parallel()
	little(t)
	const (
		tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0000000000000000 100 0 0 10 0
   1: 0100007F:0320 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0000000000000000 100 0 0 10 0
   2: 010200C0:0321 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3 1 0000000000000000 100 0 0 10 0
   3: 010200C0:0322 020200C0:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4 1 0000000000000000 100 0 0 10 0
`
		tcp6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 00000000000000000000000001000000:0323 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   2: 0000000000000000FFFF00000100007F:0324 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   3: 000000FD000000000000000001000000:0325 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   4: short
`
	)
	// 800, 803 and 804 are on the loopback alone; 802 is a connection.
	if diff := cmp.Diff([]int{22, 801, 805}, listeners(tcp+tcp6)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	const route = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
wlan0	00000000	010200C0	0003	0	0	600	00000000	0	0	0
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
tun0	00000000	00000000	0001	0	0	0	00000080	0	0	0
`
	if diff := cmp.Diff([]string{"eth0", "wlan0"}, defaultInterfaces(route)); diff != "" {
		t.Errorf("IPv4 (-want +got)\n%s", diff)
	}
	const route6 = `fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth1
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
`
	if diff := cmp.Diff([]string{"eth0"}, defaultInterfaces6(route6)); diff != "" {
		t.Errorf("IPv6 (-want +got)\n%s", diff)
	}
}

func TestHasGlobal6(t *testing.T) {
	t.Parallel()
	const own = "00000000000000000000000000000001 01 80 10 80       lo\nfe8000000000000000fc00fffe000001 04 40 20 80     eth0\n"
	if hasGlobal6(own) {
		t.Error("an address of the loopback or the link counts as global")
	}
	if !hasGlobal6(own + "fd000000000000000000000000000002 04 40 00 82     eth0\n") {
		t.Error("a global address does not count")
	}
}

func TestHoldsLock(t *testing.T) {
	t.Parallel()
	const locks = "1: POSIX  ADVISORY  WRITE 10 08:01:55 0 EOF\n2: FLOCK  ADVISORY  WRITE 10 00:1a:77 0 EOF\n" +
		"2: -> FLOCK  ADVISORY  WRITE 11 00:1a:77 0 EOF\n"
	type lock struct {
		pid   int
		inode uint64
	}
	for l, want := range map[lock]bool{{10, 77}: true, {10, 55}: false, {11, 77}: false, {10, 7}: false} {
		if got := holdsLock(locks, l.pid, l.inode); got != want {
			t.Errorf("process %d, inode %d: %v, want %v", l.pid, l.inode, got, want)
		}
	}
}

func FuzzProc(f *testing.F) {
	f.Add("   0: 00000000:0016 00000000:0000 0A\n")
	f.Add("eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0\n")
	f.Add("2: FLOCK  ADVISORY  WRITE 10 00:1a:77 0 EOF\n")
	f.Fuzz(func(t *testing.T, file string) {
		ports := listeners(file)
		if !slices.IsSorted(ports) || len(ports) > 0 && (ports[0] < 0 || ports[len(ports)-1] > 65535) {
			t.Errorf("ports %v", ports)
		}
		for _, name := range append(defaultInterfaces(file), defaultInterfaces6(file)...) {
			if name == "" {
				t.Error("an interface without a name")
			}
		}
		hasGlobal6(file)
		holdsLock(file, 10, 77)
	})
}
