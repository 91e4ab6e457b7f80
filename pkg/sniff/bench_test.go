package sniff

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/packet"
)

// BenchmarkDrain is what it costs to take packets out of the kernel, once they are there, and to judge them.
func BenchmarkDrain(b *testing.B) {
	const batch = 500
	laptop, gate := wire(b)
	t := &tap{Sniffer: mustNew(b, Options{Interface: "eth0"}), ours: NewOurs(nil)}
	var packets [][]byte
	for range batch {
		packets = append(packets, build(docs.packet(false, packet.TCP, 800, packet.SYN)))
	}
	gate.in(func() error {
		link, err := find("eth0")
		if err != nil {
			return err
		}
		t.readAddrs()
		t.fds = []unix.PollFd{{Fd: -1}} // nothing ends it
		return t.open(link)
	})
	defer t.close()
	count := 0
	t.handle = func(packet.Packet) { count++ }
	var spent time.Duration
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		laptop.send("eth0", gateLink, packets...)
		count = 0
		b.StartTimer()
		from := time.Now()
		for count < batch {
			t.read(time.Second)
		}
		spent += time.Since(from)
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N*batch), "ns/packet")
}

// BenchmarkFilter is what the kernel takes for a packet that the filter does not let pass, by how many ranges of ports
// are wanted; 0 is no filter but one that drops all. It is made apart by a pair of local sockets, which costs the same
// each time.
func BenchmarkFilter(b *testing.B) {
	for _, mask := range []packet.Flags{packet.SYN | packet.ACK, 0} {
		for _, flags := range []packet.Flags{packet.SYN, packet.ACK} {
			for _, ranges := range []int{0, 25, 270, maxSpans} {
				b.Run(fmt.Sprintf("mask %#x, flags %#x, %d ranges", mask, flags, ranges), func(b *testing.B) {
					fd := dropping(b, packet.SYN&mask, mask, ranges)
					p := build(docs.packet(false, packet.TCP, 65535, flags))
					for b.Loop() {
						if _, err := unix.Write(fd, p); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

// dropping gives a socket whose other end has the filter of that many ranges, none of which has port 65535.
func dropping(b *testing.B, set, mask packet.Flags, ranges int) int {
	b.Helper()
	var wants []Want
	for i := range ranges {
		port := uint16(1000 + 100*i)
		wants = append(wants, Want{Proto: packet.TCP, Low: port, High: port, Set: set, Mask: mask})
	}
	program := families[0].program(mustClasses(b, wants...), 7)
	for i, ins := range program { // a local socket has no interface
		switch ins {
		case bpf.LoadExtension{Num: bpf.ExtInterfaceIndex}:
			program[i] = bpf.LoadConstant{Dst: bpf.RegA, Val: 7}
		}
	}
	raw, err := bpf.Assemble(program)
	if err != nil {
		b.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { unix.Close(pair[0]); unix.Close(pair[1]) })
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	if err := unix.SetsockoptSockFprog(pair[1], unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}); err != nil {
		b.Fatal(err)
	}
	return pair[0]
}
