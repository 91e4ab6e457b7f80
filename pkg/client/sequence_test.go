package client

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/sequence"
)

// datagrams listens for UDP on a free port of the host until the test ends.
func datagrams(t *testing.T, host netip.Addr) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(host, 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// Each step arrives once, by its protocol: a connection, or a datagram of one NUL from a source port of its own.
func TestSendsBothProtocols(t *testing.T) {
	t.Parallel()
	for _, host := range []netip.Addr{loopback, netip.IPv6Loopback()} {
		t.Run(host.String(), func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", netip.AddrPortFrom(host, 0).String())
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			conn := datagrams(t, host)
			open := netip.MustParseAddrPort(l.Addr().String()).Port()
			heard := netip.MustParseAddrPort(conn.LocalAddr().String()).Port()
			steps := []sequence.Step{udp(heard), tcp(open)[0], udp(heard), tcp(open)[0]}
			accepted, err := sendPackets(t.Context(), host, steps, time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			if len(accepted) > 1 || len(accepted) == 1 && accepted[0] != open {
				t.Errorf("accepted %v, want %d or, if it was slow, nothing", accepted, open)
			}
			var sources []int
			deadline := time.Now().Add(10 * time.Second)
			if err := l.(*net.TCPListener).SetDeadline(deadline); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				c, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				sources = append(sources, int(netip.MustParseAddrPort(c.RemoteAddr().String()).Port()))
				c.Close()
			}
			slices.Sort(sources) // accepted in the order in which they were answered
			wantNumbered(t, sources, 2)
			wantDatagrams(t, conn, deadline, 2)
		})
	}
}

// wantDatagrams insists on n datagrams of one NUL, and no more.
func wantDatagrams(t *testing.T, conn *net.UDPConn, deadline time.Time, n int) {
	t.Helper()
	if err := conn.SetReadDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 100)
	for range n {
		length, _, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]byte{0}, buffer[:length]); diff != "" {
			t.Errorf("payload (-want +got)\n%s", diff)
		}
	}
	if err := conn.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if length, _, err := conn.ReadFromUDPAddrPort(buffer); err == nil {
		t.Errorf("one datagram too many, of %d bytes", length)
	}
}

// Nobody has to listen for datagrams.
func TestRefusedDatagrams(t *testing.T) {
	t.Parallel()
	conn := datagrams(t, loopback)
	closed := netip.MustParseAddrPort(conn.LocalAddr().String()).Port()
	conn.Close()
	client, stdout, warnings := newTestClient(config.Client{Host: "127.0.0.1", Sequence: []sequence.Step{udp(closed), udp(closed), udp(closed)}})
	if err := client.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if stdout.Len()+warnings.Len() > 0 {
		t.Errorf("said %q, %q", stdout, warnings)
	}
}

// Nothing of a sequence depends on the host, which so need not be there.
func TestPrintsTheSteps(t *testing.T) {
	t.Parallel()
	client, stdout, warnings := newTestClient(config.Client{Test: true, Sequence: []sequence.Step{tcp(7000)[0], udp(8000), tcp(9000)[0]}})
	if err := client.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("7000 8000:udp 9000\n", stdout.String()); diff != "" || warnings.Len() > 0 {
		t.Errorf("warnings %q (-want +got)\n%s", warnings, diff)
	}
}

// The lines are those of netfilter, but for time, source port and identification.
func TestLogsTheSteps(t *testing.T) {
	t.Parallel()
	changing := regexp.MustCompile(`(?m)^\S+ | SPT=\d+`)
	for host, want := range map[string]string{
		"127.0.0.1": `localhost kernel: DENY IN=eth0 OUT= MAC= SRC=127.0.0.1 DST=127.0.0.1 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=1 DF PROTO=TCP DPT=7000 WINDOW=64240 RES=0x00 SYN URGP=0 
localhost kernel: DENY IN=eth0 OUT= MAC= SRC=127.0.0.1 DST=127.0.0.1 LEN=29 TOS=0x00 PREC=0x00 TTL=64 ID=2 DF PROTO=UDP DPT=8000 LEN=9 
`,
		"::1": `localhost kernel: DENY IN=eth0 OUT= MAC= SRC=0000:0000:0000:0000:0000:0000:0000:0001 DST=0000:0000:0000:0000:0000:0000:0000:0001 LEN=80 TC=0 HOPLIMIT=64 FLOWLBL=0 PROTO=TCP DPT=7000 WINDOW=64240 RES=0x00 SYN URGP=0 
localhost kernel: DENY IN=eth0 OUT= MAC= SRC=0000:0000:0000:0000:0000:0000:0000:0001 DST=0000:0000:0000:0000:0000:0000:0000:0001 LEN=49 TC=0 HOPLIMIT=64 FLOWLBL=0 PROTO=UDP DPT=8000 LEN=9 
`,
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "log")
			client, _, _ := newTestClient(config.Client{LogToFile: path, Host: host, Sequence: []sequence.Step{tcp(7000)[0], udp(8000)}})
			if err := client.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			log, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(string(log), "SPT=") != 2 {
				t.Errorf("want 2 source ports:\n%s", log)
			}
			if diff := cmp.Diff(want, changing.ReplaceAllString(string(log), "")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
