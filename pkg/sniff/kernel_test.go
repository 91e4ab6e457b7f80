package sniff

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/packet"
)

// mine are the ends of packets on a loopback interface.
var mine = ends{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback(), netip.IPv6Loopback()}

// bytesOf gives the packets of all samples that pass, or of all.
func bytesOf(samples []sample, onlyPass bool) (all [][]byte) {
	for _, s := range samples {
		if s.pass || !onlyPass {
			all = append(all, s.b)
		}
	}
	return all
}

// decoded gives what the samples that pass are.
func decoded(t *testing.T, samples []sample) (all []packet.Packet) {
	for _, b := range bytesOf(samples, true) {
		p, err := packet.DecodeIP(b)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// The kernel hands over exactly what the program lets pass in the tests of the program alone.
func TestFilterInKernel(t *testing.T) {
	t.Parallel()
	laptop, gate := wire(t)
	classes := mustClasses(t, sorts...)
	for i, f := range families {
		var s *socket
		gate.in(func() error {
			link, err := net.InterfaceByName("eth0")
			if err == nil {
				s, err = newSocket(link, f, classes, bufferSize)
			}
			return err
		})
		samples := docs.samples(i == 1)
		laptop.send("eth0", otherLink, bytesOf(samples, false)...)
		laptop.send("eth0", net.HardwareAddr{255, 255, 255, 255, 255, 255}, bytesOf(samples, false)...)
		laptop.send("eth0", gateLink, bytesOf(samples, false)...)
		laptop.send("eth0", gateLink, docs.mark(i == 1))
		var got [][]byte
		for {
			var buf [2048]byte
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}, 20000); err != nil && !errors.Is(err, unix.EINTR) {
				t.Fatal(err)
			}
			n, err := unix.Read(s.fd, buf[:])
			if err != nil {
				t.Fatalf("no mark after %d packets: %v", len(got), err)
			}
			if string(buf[:n]) == string(docs.mark(i == 1)) {
				break
			}
			got = append(got, buf[:n])
		}
		if diff := cmp.Diff(bytesOf(samples, true), got); diff != "" {
			t.Errorf("family %d (-want +got)\n%s", i, diff)
		}
		if stats, err := s.conn.Stats(); err != nil || int(stats.Packets) != len(got)+1 {
			t.Errorf("family %d: %+v, %v; want %d packets", i, stats, err, len(got)+1)
		}
		s.close()
	}
}

// Only what came in, and to this machine, is a knock.
func TestEthernet(t *testing.T) {
	t.Parallel()
	laptop, gate := wire(t)
	gate.ip("link add other0 type veth peer name other1\naddr add 203.0.113.1/32 dev other0") // another interface, that is down
	r := gate.sniff(Options{Interface: "eth0", Targets: []netip.Addr{netip.MustParseAddr("198.51.100.7")}}, nil)
	for _, v6 := range []bool{false, true} {
		samples := docs.samples(v6)
		laptop.send("eth0", gateLink, bytesOf(samples, false)...)
		laptop.send("eth0", otherLink, bytesOf(samples, false)...) // seen if promiscuous
		gate.send("eth0", net.HardwareAddr{2, 0, 0, 0, 0, 2}, bytesOf(samples, false)...)
		laptop.send("eth0", gateLink, docs.mark(v6))
		r.want(v6, decoded(t, samples)...)
	}

	from := func(src, dst string) packet.Packet {
		p := docs.packet(false, packet.TCP, 800, packet.SYN)
		p.Src, p.Dst = netip.MustParseAddr(src), netip.MustParseAddr(dst)
		return p
	}
	target, other := from("192.0.2.2", "198.51.100.7"), from("10.1.1.1", "203.0.113.1")
	laptop.send("eth0", gateLink,
		build(target), build(other),
		build(from("192.0.2.2", "192.0.2.9")), // passing through
		build(from("192.0.2.2", "192.0.2.255")),
		build(from("192.0.2.2", "255.255.255.255")),
		build(from("192.0.2.2", "224.0.0.1")),
		build(from("192.0.2.2", "127.0.0.1")),
		build(from("127.0.0.1", "192.0.2.1")),
		build(from("192.0.2.1", "192.0.2.1")),
		build(from("203.0.113.1", "192.0.2.1")),
		build(from("0.0.0.0", "192.0.2.1")),
		build(from("224.0.0.1", "192.0.2.1")),
		build(from("255.255.255.255", "192.0.2.1")),
		append(build(target)[:10], append([]byte{0, 0}, build(target)[12:]...)...), // no checksum
		docs.mark(false))
	r.want(false, target, other)
	laptop.send("eth0", gateLink,
		build(from("2001:db8::2", "2001:db8::9")),
		build(from("2001:db8::2", "ff02::1")),
		build(from("2001:db8::2", "::1")),
		build(from("::1", "2001:db8::1")),
		build(from("2001:db8::1", "2001:db8::1")),
		build(from("::", "2001:db8::1")),
		build(from("ff02::1", "2001:db8::1")),
		build(from("::ffff:192.0.2.2", "2001:db8::1")),
		docs.mark(true))
	r.want(true)
	r.wantReports()
}

// What is wanted can change at a packet: others pass then, in both families.
func TestSetWants(t *testing.T) {
	t.Parallel()
	laptop, gate := wire(t)
	syns := func(ports ...uint16) (wants []Want) {
		for _, port := range ports {
			wants = append(wants, Want{Proto: packet.TCP, Low: port, High: port, Set: packet.SYN, Mask: packet.SYN})
		}
		return wants
	}
	sniffer := mustNew(t, Options{Interface: "eth0", Wants: syns(800, 1000)})
	r := gate.run(sniffer, func(p packet.Packet) {
		if p.DstPort != 800 {
			return
		}
		if err := sniffer.SetWants([]Want{{Proto: packet.ICMP}}); err == nil {
			t.Error("no error for what cannot be wanted")
		}
		if err := sniffer.SetWants(syns(2000, 1000)); err != nil {
			t.Error(err)
		}
	})
	first, next := docs.packet(false, packet.TCP, 800, packet.SYN), docs.packet(false, packet.TCP, 2000, packet.SYN)
	laptop.send("eth0", gateLink, build(next), build(first), docs.mark(false))
	r.want(false, first)
	r.look()
	for _, v6 := range []bool{false, true} {
		first, next = docs.packet(v6, packet.TCP, 800, packet.SYN), docs.packet(v6, packet.TCP, 2000, packet.SYN)
		laptop.send("eth0", gateLink, build(first), build(next), docs.mark(v6))
		r.want(v6, next)
	}
	r.wantReports()
}

// An address that comes later is one of ours, and one that has gone is not.
func TestAddressesChange(t *testing.T) {
	t.Parallel()
	laptop, gate := wire(t)
	r := gate.sniff(Options{Interface: "eth0"}, nil)
	p := docs.packet(false, packet.TCP, 800, packet.SYN)
	p.Dst = netip.MustParseAddr("192.0.2.77")
	laptop.send("eth0", gateLink, build(p), docs.mark(false))
	r.want(false)
	gate.ip("addr add 192.0.2.77/32 dev eth0")
	r.eventually("packet to the new address", func() { laptop.send("eth0", gateLink, build(p)) },
		func() bool { return len(r.packets) > 0 })
	gate.ip("addr del 192.0.2.77/32 dev eth0")
	r.eventually("end of packets to the old address", func() {
		r.change(func() { r.packets = nil })
		laptop.send("eth0", gateLink, build(p), docs.mark(false))
	}, func() bool { return len(r.packets) == 1 && r.packets[0].SrcPort == markPort })
}

// Every packet passes a loopback interface twice, and counts once.
func TestLoopback(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	r := s.sniff(Options{Interface: "lo"}, nil)
	zero := make(net.HardwareAddr, 6)
	for _, v6 := range []bool{false, true} {
		samples := mine.samples(v6)
		s.send("lo", zero, bytesOf(samples, false)...)
		s.send("lo", zero, mine.mark(v6))
		r.want(v6, decoded(t, samples)...)
	}

	// What a program sends has its checksum put off, and is refused as no one listens.
	var want packet.Packet
	s.in(func() error {
		conn, err := net.Dial("udp", "127.1.2.3:7000")
		if err != nil {
			return err
		}
		defer conn.Close()
		local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
		want = packet.Packet{Src: local.Addr().Unmap(), Dst: netip.MustParseAddr("127.1.2.3"), SrcPort: local.Port(), DstPort: 7000, Proto: packet.UDP}
		if _, err := conn.Write([]byte("x")); err != nil {
			return err
		}
		if _, err := net.Dial("tcp", "127.0.0.1:800"); err == nil {
			return errors.New("somebody listens")
		}
		return nil
	})
	s.send("lo", zero, mine.mark(false))
	var syn packet.Packet
	r.wait("SYN", func() bool {
		i := slices.IndexFunc(r.packets, func(p packet.Packet) bool { return p.DstPort == 800 })
		if i >= 0 {
			syn = r.packets[i]
		}
		return i >= 0
	})
	if !syn.IsSYN() || syn.Src != mine.src4 || syn.Dst != mine.dst4 {
		t.Errorf("%+v", syn)
	}
	r.want(false, want, syn)
}

// What is received for an interface on top of another counts on the upper one, and not on the lower one as well.
func TestStacked(t *testing.T) {
	t.Parallel()
	upper := net.HardwareAddr{2, 0, 0, 0, 0, 6}
	for kind, test := range map[string]struct{ gate, laptop, out string }{
		"vlan":    {"type vlan id 7", "type vlan id 7", "up0"},
		"macvlan": {"type macvlan", "", "eth0"},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			laptop, gate := wire(t)
			if kind == "vlan" && !gate.knowsVLAN() {
				t.Skip("this kernel is built without 802.1Q")
			}
			gate.ip("link add link eth0 name up0 address " + upper.String() + " " + test.gate + `
				addr add 198.51.100.1/24 dev up0
				link set eth0 promisc on
				link set up0 up`)
			if test.laptop != "" {
				laptop.ip("link add link eth0 name up0 " + test.laptop + "\nlink set up0 up")
			}
			above, below := gate.sniff(Options{Interface: "up0"}, nil), gate.sniff(Options{Interface: "eth0"}, nil)
			p := docs.packet(false, packet.TCP, 800, packet.SYN)
			p.Src, p.Dst = netip.MustParseAddr("198.51.100.2"), netip.MustParseAddr("198.51.100.1")
			laptop.send(test.out, upper, build(p), docs.mark(false))
			above.want(false, p)
			laptop.send("eth0", gateLink, docs.mark(false))
			below.want(false)
		})
	}
}

// knowsVLAN tells whether the kernel has 802.1Q. It is not a module that could be had from somewhere.
func (s *space) knowsVLAN() bool {
	s.t.Helper()
	err := <-s.start(func() error {
		out, err := exec.Command("ip", "link", "add", "link", "lo", "name", "try0", "type", "vlan", "id", "9").CombinedOutput()
		if err != nil && strings.Contains(string(out), "Unknown device type") {
			return errors.ErrUnsupported
		}
		return nil
	})
	return err == nil
}

// A frame with a tag is none of the interface's own, on whose wire it comes.
func TestTag(t *testing.T) {
	t.Parallel()
	laptop, gate := wire(t)
	r := gate.sniff(Options{Interface: "eth0"}, nil)
	tagged := append([]byte{0, 7, 8, 0}, build(docs.packet(false, packet.TCP, 800, packet.SYN))...)
	laptop.sendAs(func([]byte) uint16 { return unix.ETH_P_8021Q }, "eth0", gateLink, tagged)
	laptop.send("eth0", gateLink, docs.mark(false))
	r.want(false)
}

// A bridge's packets come by the bridge.
func TestBridge(t *testing.T) {
	t.Parallel()
	laptop, gate := wire(t)
	gate.ip(`
		addr flush dev eth0
		link add br0 address 02:00:00:00:00:05 type bridge
		link set eth0 master br0
		addr add 192.0.2.1/24 dev br0
		link set br0 up`)
	r := gate.sniff(Options{Interface: "br0"}, nil)
	p := docs.packet(false, packet.UDP, 7000, 0)
	laptop.send("eth0", net.HardwareAddr{2, 0, 0, 0, 0, 5}, build(p), docs.mark(false))
	r.want(false, p)
}

// An interface without a link head, as those of PPP and of tunnels.
func TestNoLinkHead(t *testing.T) {
	t.Parallel()
	gate := newSpace(t)
	var tun *os.File
	gate.in(func() (err error) {
		tun, err = openTun("tun0")
		return err
	})
	t.Cleanup(func() { tun.Close() })
	gate.ip(`
		addr add 192.0.2.1 peer 192.0.2.2 dev tun0
		addr add 2001:db8::1/64 dev tun0 nodad
		link set tun0 up`)
	r := gate.sniff(Options{Interface: "tun0"}, nil)
	for _, v6 := range []bool{false, true} {
		samples := docs.samples(v6)
		for _, b := range append(bytesOf(samples, false), docs.mark(v6)) {
			if _, err := tun.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		r.want(v6, decoded(t, samples)...)
	}
	p := docs.packet(false, packet.TCP, 800, packet.SYN)
	p.Dst = netip.MustParseAddr("192.0.2.2") // the peer's own
	for _, b := range [][]byte{build(p), docs.mark(false)} {
		if _, err := tun.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	r.want(false)
}

// openTun makes a device of the thread's namespace; what is written to it is received there.
func openTun(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// What comes faster than it is read is counted, every packet of it.
func TestLosses(t *testing.T) {
	t.Parallel()
	const burst = 400
	laptop, gate := wire(t)
	sniffer := mustNew(t, Options{Interface: "eth0"})
	sniffer.buffer = 1 // the kernel makes it a little more
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	r := gate.run(sniffer, func(packet.Packet) { <-release })
	var packets [][]byte
	for range burst {
		packets = append(packets, build(docs.packet(false, packet.TCP, 800, packet.SYN)))
	}
	laptop.send("eth0", gateLink, packets...)
	free()
	lost := 0
	r.wait("end of the burst", func() bool {
		lost = 0
		for _, report := range r.reports {
			if n, err := fmt.Sscanf(report, "packets were lost: %d came faster than they were read", &lost); n != 1 || err != nil {
				t.Errorf("report %q", report)
			}
		}
		return len(r.packets)+lost == burst
	})
	if lost == 0 || lost == burst || len(r.reports) != 1 {
		t.Errorf("%d of %d lost, reports %v", lost, burst, r.reports)
	}
}

// Without the right to sniff Run ends at once, even if there is no interface to try it on.
func TestNotPermitted(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.in(func() error {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capget(&header, &data[0]); err != nil {
			return err
		}
		data[0].Effective &^= 1 << unix.CAP_NET_RAW
		if err := unix.Capset(&header, &data[0]); err != nil { // of this thread, which ends with the test
			return err
		}
		err := mustNew(t, Options{Interface: "eth0"}).Run(t.Context(), nil)
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(fmt.Sprint(err), "CAP_NET_RAW") {
			t.Errorf("error %v", err)
		}
		return nil
	})
}
