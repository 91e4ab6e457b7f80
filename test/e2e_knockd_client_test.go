package test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// A taproom is a gate and a laptop that are joined by a cable; nothing is dropped.
type taproom struct {
	gate, laptop sandbox
	client       string // the program
}

func newTaproom(t *testing.T) taproom {
	t.Helper()
	needPrograms(t, "ip:iproute2", "knockd:knockd", "knock:knockd")
	r := taproom{newSandbox(t), newSandbox(t), filepath.Join(buildCommands(t), "knockclient")}
	connect(r.gate, r.laptop)
	eventually(t, "the cable", func() bool { return r.laptop.try(gateIP+":9") == refused })
	return r
}

// knock runs a client on the laptop that has nothing to say.
func (r taproom) knock(program string, args ...string) {
	r.gate.t.Helper()
	cmd := r.laptop.command(program, args...)
	cmd.Env = append(os.Environ(), "HOME=/nonexistent") // there is no configuration file
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		r.gate.t.Fatalf("%s %q: %v, %q; want silence", program, args, err, out)
	}
}

// A wire is what arrives at the gate.
type wire struct {
	t  *testing.T
	fd int
}

func (r taproom) wire() wire {
	r.gate.t.Helper()
	w := wire{r.gate.t, -1}
	r.gate.enter(func() (err error) {
		const ip = unix.ETH_P_IP>>8 | unix.ETH_P_IP&0xff<<8 // in network byte order
		w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, ip)
		return err
	})
	w.t.Cleanup(func() { unix.Close(w.fd) })
	return w
}

// until gives the laptop's packets of TCP and UDP up to one to that port, in order, without what is chosen at random.
func (w wire) until(last uint16) (packets []string) {
	w.t.Helper()
	buffer := make([]byte, 2000)
	for port := uint16(0); port != last; {
		n := 0
		eventually(w.t, fmt.Sprintf("a packet to port %d", last), func() bool {
			got, from, err := unix.Recvfrom(w.fd, buffer, 0)
			if err != nil && !errors.Is(err, unix.EAGAIN) {
				w.t.Fatal(err)
			}
			n = got
			return err == nil && from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_HOST && buffer[0] == 0x45
		})
		head, body := buffer[:20], buffer[20:n]
		switch size := int(binary.BigEndian.Uint16(head[2:])) - 20; head[9] {
		case unix.IPPROTO_TCP:
			port = binary.BigEndian.Uint16(body[2:])
			packets = append(packets, fmt.Sprintf("tcp %d flags %#x, %d bytes", port, body[13], size-int(body[12]>>4)*4))
		case unix.IPPROTO_UDP:
			port = binary.BigEndian.Uint16(body[2:])
			packets = append(packets, fmt.Sprintf("udp %d, %x", port, body[8:size]))
		}
	}
	return packets
}

// What knockclient sends is what Debian's knock sends.
func TestSendsAsKnockDoes(t *testing.T) {
	t.Parallel()
	r := newTaproom(t)
	steps := []string{"7000", "8000:udp", "7000", "9000:tcp", "8000:udp"}
	want := []string{"tcp 7000 flags 0x2, 0 bytes", "udp 8000, 00", "tcp 7000 flags 0x2, 0 bytes", "tcp 9000 flags 0x2, 0 bytes", "udp 8000, 00", "tcp 9999 flags 0x2, 0 bytes"}
	for _, knock := range [][]string{
		{"knock", "-d", "20", gateIP},
		{r.client, gateIP},
		{r.client, "-delay", "0", gateIP},
	} {
		w := r.wire()
		r.knock(knock[0], append(append(knock[1:], steps...), "9999")...)
		if diff := cmp.Diff(want, w.until(9999)); diff != "" {
			t.Errorf("%q (-want +got)\n%s", knock, diff)
		}
	}
}

// knockd starts Debian's knockd at the gate, with one section whose command makes a file, and waits for
// it to listen. In the file's name %IP% stands for who knocked.
func (r taproom) knockd(sequence string) (made string) {
	t := r.gate.t
	t.Helper()
	dir := t.TempDir()
	made = filepath.Join(dir, "made-for-%IP%")
	conf := writeTemp(t, dir, "knockd.conf", strings.Join([]string{
		"[options]", "logfile = " + filepath.Join(dir, "knockd.log"),
		"[file]", "sequence = " + sequence, "seq_timeout = 15", "tcpflags = syn", "command = touch " + made, "",
	}, "\n"), 0o600)
	cmd := r.gate.command("knockd", "-v", "-i", "eth0", "-c", conf)
	said := &watched{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGTERM) // it may have ended
		_ = cmd.Wait()
	})
	eventually(t, "knockd", func() bool { return strings.Contains(said.String(), "listening on eth0") })
	return made
}

// Knockclient opens Debian's knockd, in each of its ways to say a sequence, and not by a wrong one.
func TestOpensKnockd(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ sequence, args, from string }{
		"flag":      {"7000,8000:udp,9000", "-sequence 7000,8000:udp,9000 " + gateIP, laptopIP},
		"arguments": {"7000,8000:udp,9000", gateIP + " 7000 8000:udp 9000", laptopIP},
		"IPv6":      {"7000,8000:udp,9000", "fd00::1 7000 8000:udp 9000", "fd00::2"},
		"digits":    {"7000,8000:udp,1042,1042,7000,8000:udp", "-sequence 7000,8000:udp -digits 1040 -port 22 " + gateIP, laptopIP},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newTaproom(t)
			made := strings.ReplaceAll(r.knockd(test.sequence), "%IP%", test.from)
			r.knock(r.client, strings.Fields(test.args)...)
			eventually(t, "knockd's command", func() bool { return exists(made) })
		})
	}
	t.Run("the wrong one", func(t *testing.T) {
		t.Parallel()
		r := newTaproom(t)
		made := strings.ReplaceAll(r.knockd("7000,8000:udp,9000"), "%IP%", laptopIP)
		r.knock(r.client, gateIP, "7000", "8000", "9000")
		r.knock(r.client, gateIP, "8000:udp", "7000", "9000")
		// When knockd has seen the last of these, it has seen the others.
		log := filepath.Join(filepath.Dir(made), "knockd.log")
		r.knock(r.client, gateIP, "7000", "8000:udp")
		eventually(t, "knockd to see the second step", func() bool { return contains(log, "Stage 2") })
		if exists(made) {
			t.Error("knockd was opened by a wrong sequence")
		}
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
