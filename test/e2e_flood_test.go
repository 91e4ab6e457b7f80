package test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestFloods sends a knock through a million lines of a flood, as fast as they can
// be written: the port opens, and the daemon stays small and terse.
func TestFloods(t *testing.T) {
	const lines = 1_000_000
	floods := map[string]struct {
		source func(i int) netip.Addr
		flags  []string
	}{
		"a million sources": {func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }, nil},
		"one source":        {func(int) netip.Addr { return netip.MustParseAddr("10.0.0.1") }, nil},
		"1000 sources":      {func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(i % 1000 >> 8), byte(i % 1000)}) }, nil},
		"sources of 7": {func(i int) netip.Addr {
			return netip.AddrFrom4([4]byte{10, byte(i / 7 >> 16), byte(i / 7 >> 8), byte(i / 7)})
		}, nil},
		"a guesser that is banned": {func(int) netip.Addr { return netip.MustParseAddr("10.0.0.1") }, []string{"-ban-action", "drop"}},
	}
	for name, flood := range floods {
		t.Run(name, func(t *testing.T) {
			l := newGate(t, "iptables")
			d := l.daemon(append([]string{"-allow-ports", "22", "-match-source"}, flood.flags...)...)
			knock := slices.Collect(strings.Lines(l.lines(netip.MustParseAddr("192.0.2.10"), ask("192.0.2.10", 60))))
			for part, line := range knock {
				l.write(l.flood(flood.source, part*lines/len(knock), (part+1)*lines/len(knock)))
				l.write(line)
			}
			eventually(t, "the port to open", func() bool { return d.said("rule opened") })
			l.wantOpenRules("192.0.2.10 22")
			if got := d.memory("VmHWM"); got > 96<<10 {
				t.Errorf("it took %d kB of memory, want less than 96 MiB", got)
			}
			if got := len(d.events()); got > 100 {
				t.Errorf("it has said %d lines about %d, want fewer than 100", got, lines)
			}
			d.stop()
			if got := d.events(); got[len(got)-1]["lines"] != float64(lines+len(knock)) {
				t.Errorf("it has read %v lines, want %d", got[len(got)-1]["lines"], lines+len(knock))
			}
		})
	}
}

// flood makes some lines of a flood at the knock ports.
func (l *lab) flood(source func(i int) netip.Addr, from, to int) string {
	at := time.Now().UTC().Format(time.RFC3339Nano)
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "%s gate kernel: [ 12.000001] %sIN=eth0 OUT= MAC= SRC=%s DST=192.0.2.1 LEN=60 PROTO=TCP SPT=%d DPT=%d WINDOW=1 RES=0x00 SYN URGP=0 \n",
			at, l.prefix, source(i), 1024+i%60000, 745+i*7919%256)
	}
	return b.String()
}

// memory reads a size of the daemon's in kB.
func (d *runningDaemon) memory(name string) int {
	d.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "\n"+name+":")
	kB, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		d.t.Fatal(err)
	}
	return kB
}

// TestLiveFlood knocks while a real flood of SYNs from forged addresses goes
// through the kernel and the logger. Those may lose lines; a knock whose lines are
// all in the log opens.
func TestLiveFlood(t *testing.T) {
	l := newLab(t, firewallKind{})
	d := l.daemon("-allow-ports", "22", "-match-source")
	const packets = 20_000 // a round
	whole := 0
	for round := 0; whole < 3; round++ {
		if round == 20 {
			t.Fatalf("after %d rounds %d knocks have reached the log whole, want 3", round, whole)
		}
		var flood sync.WaitGroup
		flood.Go(func() { l.spoof(packets) })
		before := l.knocksLogged(laptopIP)
		l.knock("-port", "22", "-time", "60")
		flood.Wait()
		l.settle()
		if got := l.knocksLogged(laptopIP) - before; got < 8 {
			t.Logf("round %d: %d of 8 lines have reached the log", round, got)
			continue
		}
		whole++
		eventually(t, "a whole knock to open", func() bool { return d.said("rule opened") })
		l.wantOpenRules(laptopIP + " 22")
		l.knock("-port", "22", "-time", "255") // in peace
		eventually(t, "the port to close", func() bool { return d.said("rule closed") })
	}
	if got := d.memory("VmHWM"); got > 96<<10 {
		t.Errorf("it took %d kB of memory, want less than 96 MiB", got)
	}
	d.stop()
}

// knocksLogged counts the lines about an address in the log.
func (l *lab) knocksLogged(src string) int {
	l.t.Helper()
	b, err := os.ReadFile(l.log)
	if err != nil {
		l.t.Fatal(err)
	}
	return strings.Count(string(b), " SRC="+src+" ")
}

// settle waits until the logger has written what it is going to write: a line of
// our own comes out at the end.
func (l *lab) settle() {
	l.t.Helper()
	marker := fmt.Sprintf("%sIN= OUT= marker %d", l.prefix, sandboxes.Add(1))
	eventually(l.t, "the logger to come to rest", func() bool {
		// Again and again, since the kernel's memory of lines may run over.
		if err := os.WriteFile("/dev/kmsg", []byte("<4>"+marker+"\n"), 0); err != nil {
			l.t.Fatal(err)
		}
		return contains(l.all, marker)
	})
}

// spoof sends SYNs to the gate's knock ports, each from an address of its own.
func (l *lab) spoof(packets int) {
	gate := l.hardwareAddr(l.gate)
	own := l.hardwareAddr(l.laptop)
	l.laptop.enter(func() error {
		card, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		s, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		if err != nil {
			return err
		}
		defer unix.Close(s)
		to := &unix.SockaddrLinklayer{Ifindex: card.Index, Halen: 6}
		for i := range packets {
			if err := unix.Sendto(s, syn(own, gate, i), 0, to); err != nil && err != unix.ENOBUFS {
				return err
			}
		}
		return nil
	})
}

// hardwareAddr is that of a sandbox's end of the cable.
func (l *lab) hardwareAddr(s sandbox) (a net.HardwareAddr) {
	s.enter(func() error {
		card, err := net.InterfaceByName("eth0")
		if err == nil {
			a = card.HardwareAddr
		}
		return err
	})
	return a
}

// syn is the i-th frame of a flood: Ethernet, IPv4, TCP. The firewall does not look
// at the TCP checksum.
func syn(from, to net.HardwareAddr, i int) []byte {
	frame := slices.Concat(to, from, []byte{0x08, 0x00})
	ip := make([]byte, 20)
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_TCP
	binary.BigEndian.PutUint16(ip[2:], 40)
	copy(ip[12:], []byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	gate := netip.MustParseAddr(gateIP).As4()
	copy(ip[16:], gate[:])
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	tcp := make([]byte, 20)
	binary.BigEndian.PutUint16(tcp, uint16(1024+i%60000))
	binary.BigEndian.PutUint16(tcp[2:], uint16(745+i*7919%256))
	tcp[12], tcp[13] = 5<<4, 2 // SYN
	pseudo := slices.Concat(ip[12:20], []byte{0, unix.IPPROTO_TCP, 0, 20}, tcp)
	binary.BigEndian.PutUint16(tcp[16:], checksum(pseudo))
	return slices.Concat(frame, ip, tcp)
}

// checksum is the Internet's (RFC 1071) of an even number of bytes.
func checksum(b []byte) uint16 {
	sum := 0
	for i := 0; i < len(b); i += 2 {
		sum += int(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
