package sniff

import (
	"testing"
	"time"

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
