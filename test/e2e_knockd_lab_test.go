package test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The address of a third host, which packets can be forged from.
const otherIP = "192.0.2.4"

// newSniffLab makes a lab without a log: whoever listens at the gate listens to eth0, as knockd does. The gate drops
// all that is new.
func newSniffLab(t *testing.T) *lab {
	t.Helper()
	needPrograms(t, "iptables:iptables", "ip:iproute2", "knock:knockd", "knockd:knockd")
	dir := t.TempDir()
	l := &lab{logger: logger{t: t, dir: dir, log: filepath.Join(dir, "knock.log")}, iptables: "iptables", bin: buildCommands(t)}
	l.gate, l.laptop = newSandbox(t), newSandbox(t)
	connect(l.gate, l.laptop)
	for _, address := range []string{strangerIP, otherIP} {
		l.laptop.in("ip", "address", "add", address+"/24", "dev", "eth0")
	}
	eventually(t, "the cable", func() bool { return l.reach(laptopIP, 9) == refused })
	for _, program := range []string{"iptables-restore", "ip6tables-restore"} {
		l.must("*filter\n:INPUT DROP\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p ipv6-icmp -j ACCEPT\n"+
			"-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\nCOMMIT\n", "ip", "netns", "exec", l.gate.name, program)
	}
	return l
}

// knockdConf writes a configuration of knockd's.
func (l *lab) knockdConf(text string) string {
	l.t.Helper()
	return writeTemp(l.t, l.dir, "knockd.conf", text, 0o600)
}

// sniffer starts a knockdaemon with a configuration of knockd's, and waits until it listens.
func (l *lab) sniffer(conf string, args ...string) *runningDaemon {
	l.t.Helper()
	return l.follow(l.snifferCommand(conf, args...))
}

func (l *lab) snifferCommand(conf string, args ...string) *exec.Cmd {
	return l.gate.command(filepath.Join(l.bin, "knockdaemon"),
		append([]string{"-conf", conf, "-state-dir", filepath.Join(l.dir, "state"), "-output", "json"}, args...)...)
}

// knockWith has Debian's knock send a sequence from the laptop's first address.
func (l *lab) knockWith(host string, args ...string) {
	l.t.Helper()
	l.laptop.in("knock", append([]string{"-d", "5", host}, args...)...)
}

// accepted counts the rules that let an address in at a port, put there by a command of a section.
func (l *lab) accepted(address string, port int) int {
	l.t.Helper()
	return strings.Count(l.rules(), fmt.Sprintf("-A INPUT -s %s/32 -p tcp -m tcp --dport %d -j ACCEPT\n", address, port))
}

// wantAccepted waits for so many of those rules.
func (l *lab) wantAccepted(address string, port, want int) {
	l.t.Helper()
	eventually(l.t, fmt.Sprintf("%d rules for %s port %d", want, address, port), func() bool { return l.accepted(address, port) == want })
}

// wantText waits until a file says something.
func (l *lab) wantText(path, want string) {
	l.t.Helper()
	got := ""
	defer func() {
		if got != want {
			l.t.Logf("%s says %q", path, got)
		}
	}()
	eventually(l.t, fmt.Sprintf("%s to say %q", filepath.Base(path), want), func() bool {
		b, err := os.ReadFile(path)
		got = string(b)
		return err == nil && got == want
	})
}

// A segment is a packet that is made by hand: of TCP with these flags, or of UDP.
type segment struct {
	from        string // the laptop if empty
	source, dst uint16
	flags       byte // a SYN if 0
	udp         bool
}

// Flags of a segment.
const (
	fin     = 0x01
	synFlag = 0x02
	rst     = 0x04
	ack     = 0x10
)

// bytes gives the packet with its IP head, to the gate. The kernel fills in the IP head's checksum.
func (s segment) bytes() []byte {
	from, flags := s.from, s.flags
	if from == "" {
		from = laptopIP
	}
	if flags == 0 {
		flags = synFlag
	}
	src, dst := netip.MustParseAddr(from).As4(), netip.MustParseAddr(gateIP).As4()
	body := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, s.source), s.dst)
	protocol, at := byte(unix.IPPROTO_TCP), 16
	if s.udp {
		protocol, at = unix.IPPROTO_UDP, 6
		body = append(body, 0, 8, 0, 0)
	} else {
		body = append(body, 0, 0, 0, 1, 0, 0, 0, 0, 5<<4, flags, 0xfa, 0xf0, 0, 0, 0, 0)
	}
	pseudo := append(append(slices.Clone(src[:]), dst[:]...), 0, protocol, 0, byte(len(body)))
	binary.BigEndian.PutUint16(body[at:], checksum(append(pseudo, body...)))
	head := []byte{0x45, 0, 0, byte(20 + len(body)), 0, 0, 0x40, 0, 64, protocol, 0, 0}
	return append(append(append(head, src[:]...), dst[:]...), body...)
}

// syns are SYNs of an address to ports, each from a source port of its own.
func syns(from string, ports ...uint16) (list []segment) {
	for _, port := range ports {
		list = append(list, segment{from: from, source: uint16(1024 + sandboxes.Add(1)%60000), dst: port})
	}
	return list
}

// send sends segments from the laptop, a few milliseconds apart.
func (l *lab) send(segments ...segment) {
	l.t.Helper()
	l.sendEvery(3*time.Millisecond, segments...)
}

func (l *lab) sendEvery(pause time.Duration, segments ...segment) {
	l.t.Helper()
	l.laptop.enter(func() error {
		raw, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(raw)
		to := &unix.SockaddrInet4{Addr: netip.MustParseAddr(gateIP).As4()}
		for _, s := range segments {
			if err := unix.Sendto(raw, s.bytes(), 0, to); err != nil {
				return err
			}
			time.Sleep(pause) // a sender's, not a wait
		}
		return nil
	})
}

// A realKnockd is Debian's knockd at the gate, with all that it has started.
type realKnockd struct {
	*lab
	out *watched
	log string
	pid int
}

// knockd starts one and waits until it listens. The text of its configuration has no [options].
func (l *lab) knockd(text string) *realKnockd {
	l.t.Helper()
	k := &realKnockd{lab: l, out: new(watched), log: filepath.Join(l.dir, "knockd.log")}
	conf := l.knockdConf("[options]\n\tlogfile = " + k.log + "\n" + text)
	cmd := l.gate.command("knockd", "-v", "-i", "eth0", "-c", conf)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children are in its group
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Stdout, cmd.Stderr = k.out, k.out
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	k.pid = cmd.Process.Pid
	l.t.Cleanup(func() { <-ended }) // it was killed with the test's context
	eventually(l.t, "knockd to listen", func() bool { return contains(k.log, "starting up, listening on") })
	return k
}

// sesames counts the sequences of an address that it has found.
func (k *realKnockd) sesames(address string) int {
	k.t.Helper()
	b, err := os.ReadFile(k.log)
	if err != nil {
		k.t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, " "+address+": ") && strings.Contains(line, "OPEN SESAME") {
			n++
		}
	}
	return n
}

// accepted counts the knocks of an address that the daemon has accepted.
func (d *runningDaemon) accepted(address string) (n int) {
	d.t.Helper()
	for _, e := range d.events() {
		if e["msg"] == "knock accepted" && e["src"] == address {
			n++
		}
	}
	return n
}
