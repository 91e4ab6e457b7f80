package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/sequence"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// tcp gives steps of TCP.
func tcp(ports ...uint16) (steps []sequence.Step) {
	for _, port := range ports {
		steps = append(steps, sequence.Step{Proto: packet.TCP, Port: port})
	}
	return steps
}

func udp(port uint16) sequence.Step { return sequence.Step{Proto: packet.UDP, Port: port} }

// said collects what a Client tells the user.
type said struct{ strings.Builder }

func (s *said) warn(format string, a ...any) { fmt.Fprintf(s, format+"\n", a...) }

func newTestClient(c config.Client) (client *Client, stdout *strings.Builder, warnings *said) {
	c.Knock.Passphrase = []byte("knock")
	if c.Ports == nil {
		c.Ports, c.Time = []uint16{22}, 15
	}
	stdout, warnings = new(strings.Builder), new(said)
	return &Client{Config: &c, Stdout: stdout, Warn: warnings.warn, Debug: func(string, ...any) {}}, stdout, warnings
}

// listen accepts connections on a free port of 127.0.0.1.
func listen(t *testing.T) (port uint16, accepted <-chan uint16) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	ch := make(chan uint16, 100)
	port = uint16(l.Addr().(*net.TCPAddr).Port)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
			ch <- port
		}
	}()
	return port, ch
}

// closedPort is a port of 127.0.0.1 that refuses.
func closedPort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func TestSendPackets(t *testing.T) {
	t.Parallel()
	a, acceptedA := listen(t)
	b, acceptedB := listen(t)
	closed := closedPort(t)
	began := time.Now()
	accepted, err := sendPackets(t.Context(), loopback, tcp(max(a, b), closed, min(a, b), min(a, b)), 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint16{min(a, b), max(a, b)}, accepted); diff != "" {
		t.Errorf("accepted (-want +got)\n%s", diff)
	}
	if spent := time.Since(began); spent < 80*time.Millisecond {
		t.Errorf("four knocks took %v, want a pause of 20 ms after each", spent)
	}
	for _, ch := range []<-chan uint16{acceptedA, acceptedB} {
		select {
		case <-ch:
		case <-time.After(10 * time.Second):
			t.Error("no connection came in")
		}
	}
}

// A socket is closed when it is answered or too old, and none outlives the call.
func TestSocketsAreClosed(t *testing.T) {
	before := openFiles(t)
	var s sockets
	closed := closedPort(t)
	fds, err := newSockets(loopback, 3, chooseSource)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if err := s.connect(fd, loopback, closed); err != nil {
			t.Fatal(err)
		}
	}
	s.reap(time.Now().Add(time.Hour))
	if len(s) != 0 || openFiles(t) != before {
		t.Errorf("%d sockets held, %d files open, want %d", len(s), openFiles(t), before)
	}
	if _, err := sendPackets(t.Context(), loopback, append(tcp(closed, closed), udp(closed)), 0); err != nil {
		t.Fatal(err)
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d files open, want %d", after, before)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestSendStopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := sendPackets(ctx, loopback, tcp(closedPort(t), closedPort(t)), time.Hour)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestAcceptingPortIsReported(t *testing.T) {
	t.Parallel()
	client, _, warnings := newTestClient(config.Client{Delay: 20 * time.Millisecond})
	port, _ := listen(t)
	if err := client.send(t.Context(), loopback, tcp(port, closedPort(t))); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("the host answered on %d: its firewall does not close the knock ports, so it may not log them either\n", port)
	if diff := cmp.Diff(want, warnings.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestPrintsTheSequence(t *testing.T) {
	t.Parallel()
	client, stdout, warnings := newTestClient(config.Client{Test: true, IP: netip.MustParseAddr("142.103.205.1")})
	if err := client.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := stdout.String() + warnings.String(); got != "966 914 795 964 831 862 807 932\n" {
		t.Errorf("said %q", got)
	}
}

// Without an address the knock carries the one that the kernel would send from.
func TestOwnAddress(t *testing.T) {
	t.Parallel()
	client, stdout, warnings := newTestClient(config.Client{Test: true, Host: "127.0.0.1"})
	if err := client.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	codec, err := knock.New(client.Config.Knock)
	if err != nil {
		t.Fatal(err)
	}
	want, err := codec.Seal(knock.Payload{IP: loopback, Port: 22, Time: 15})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(format(want)+"\n", stdout.String()); diff != "" || warnings.Len() > 0 {
		t.Errorf("warnings %q (-want +got)\n%s", warnings, diff)
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"nosuch.invalid":  `unknown host "nosuch.invalid"`,
		"::1":             `"::1" has only IPv6 addresses, and a knock goes over IPv4`,
		"1.2.3.4.5":       `unknown host "1.2.3.4.5"`,
		"300.1.1.1":       `unknown host "300.1.1.1"`,
		"0.0.0.0":         `0.0.0.0 is not the address of a host`,
		"224.0.0.1":       `224.0.0.1 is not the address of a host`,
		"255.255.255.255": `255.255.255.255 is not the address of a host`,
		"a b":             `unknown host "a b"`,
		"240.0.0.1\n":     `unknown host "240.0.0.1\n"`,
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			client, stdout, _ := newTestClient(config.Client{Host: host})
			err := client.Run(t.Context())
			if err == nil || !strings.HasPrefix(err.Error(), want) && !strings.HasPrefix(err.Error(), "failed to look up ") || stdout.Len() > 0 {
				t.Errorf("error %v, want %s", err, want)
			}
		})
	}
}

func TestIsPrivate(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{
		"10.0.0.1": true, "192.168.1.1": true, "172.31.0.1": true, "100.64.0.1": true, "127.0.0.1": true, "169.254.0.1": true,
		"198.51.100.7": false, "172.32.0.1": false, "100.128.0.1": false,
	} {
		if got := isPrivate(netip.MustParseAddr(addr)); got != want {
			t.Errorf("isPrivate(%s) = %v", addr, got)
		}
	}
}

func TestLogToFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("a line before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	client, _, _ := newTestClient(config.Client{LogToFile: path, Host: "127.0.0.1", IP: netip.MustParseAddr("142.103.205.1")})
	if err := client.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var ports []string
	var sources []int
	for _, m := range regexp.MustCompile(`(?m)^\S+ localhost kernel: DENY IN=eth0 OUT= .* SRC=127\.0\.0\.1 DST=127\.0\.0\.1 .* SPT=(\d+) DPT=(\d+) .* SYN URGP=0 $`).FindAllStringSubmatch(string(log), -1) {
		source, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		sources, ports = append(sources, source), append(ports, m[2])
	}
	wantNumbered(t, sources, 8)
	if diff := cmp.Diff("966 914 795 964 831 862 807 932", strings.Join(ports, " ")); diff != "" {
		t.Errorf("(-want +got)\n%s\n%s", diff, log)
	}
	if !strings.HasPrefix(string(log), "a line before\n") {
		t.Errorf("the log was not appended to:\n%s", log)
	}
}
