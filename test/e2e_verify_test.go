package test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// effort is what it took, which differs from time to time.
var effort = regexp.MustCompile(`after \d+ knocks?, [\d.]+ s`)

// wantSaid runs a knockclient with -verify, and compares what it said, but for what it took.
func (l *lab) wantSaid(status int, stdout, stderr string, args ...string) {
	l.t.Helper()
	out, err, got := l.run(l.client(append(args, gateIP)...))
	if got != status {
		l.t.Errorf("knockclient %q: status %d, want %d", args, got, status)
	}
	if diff := cmp.Diff(stdout, effort.ReplaceAllString(out, "after …")); diff != "" {
		l.t.Errorf("knockclient %q: stdout (-want +got)\n%s", args, diff)
	}
	if diff := cmp.Diff(stderr, effort.ReplaceAllString(err, "after …")); diff != "" {
		l.t.Errorf("knockclient %q: stderr (-want +got)\n%s", args, diff)
	}
}

// The life of a port, as the client tells it.
func TestVerify(t *testing.T) {
	t.Parallel()
	eachFeed(t, testVerify)
}

func testVerify(t *testing.T, f feed) {
	l := newLab(t, firewallKind{feed: f})
	l.echo(22)
	l.echo(80)
	d := l.daemon()
	l.wantSaid(0, "192.0.2.1: port 22 is open, after …\n", "", "-verify", "-port", "22")
	d.next("rule opened")
	l.wantSaid(4, "192.0.2.1: port 22 was open before the knock\n", "", "-verify", "-port", "22")
	d.next("rule refreshed")
	l.wantSaid(0, "192.0.2.1: port 22 was open before the knock, port 80 is open, after …\n", "", "-verify", "-port", "22,80")
	l.wantRules(laptopIP+" 80", laptopIP+" 22")
	l.wantSaid(4, "", "", "-verify", "-quiet", "-port", "22")
	l.wantSaid(0, "192.0.2.1: port 25 is open but nothing listens there, after …\n", "", "-verify", "-port", "25")
	l.wantSaid(0, "192.0.2.1: ports 22, 25 are closed, after …\n", "", "-verify", "-port", "22,25", "-time", "255")
	l.wantClosed(laptopIP, 22)
	l.wantRules(laptopIP + " 80")
	l.wantSaid(0, "", "", "-verify", "-quiet", "-port", "22")
	l.wantClosed(strangerIP, 22)
	d.stop()
}

const whyHint = "on the host, knockdaemon -why 192.0.2.2 says what it saw\n"

// A knock that opens nothing is told of, with what to look at.
func TestVerifyInVain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		target string // of the gate's firewall for what is closed
		hint   string
	}{
		"drops":        {"DROP", "key, cipher, header and port-min must be as on the host, its daemon must run and allow it (allow-ports), and it must know this machine as 192.0.2.2: "},
		"rejects":      {"REJECT", "it refuses, as before the knock: nothing may listen there, or the firewall rejects what is closed and the knock was not heard: "},
		"sends resets": {"REJECT --reject-with tcp-reset", "it refuses, as before the knock: nothing may listen there, or the firewall rejects what is closed and the knock was not heard: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, firewallKind{})
			l.echo(22)
			l.gate.in("iptables", append(strings.Fields("-A INPUT -p tcp --dport 22 -j"), strings.Fields(tt.target)...)...)
			stderr := "knockclient: error: 192.0.2.1: port 22 is not open after …\nknockclient: hint: " + tt.hint + whyHint
			l.wantSaid(3, "", stderr, "-verify", "-retries", "1", "-port", "22")
			if got := l.logged(); got != 16 {
				t.Errorf("the firewall saw %d packets, want those of two knocks", got)
			}
			d := l.daemon()
			l.wantSaid(3, "", stderr, "-verify", "-retries", "0", "-port", "22", "-iv", "abcdefgh")
			l.wantSaid(0, "192.0.2.1: port 22 is open, after …\n", "", "-verify", "-port", "22")
			l.wantSaid(0, "192.0.2.1: port 22 is closed, after …\n", "", "-verify", "-port", "22", "-time", "255")
			l.wantRules()
			d.stop()
		})
	}
}

// A told is what the client says with -json.
type told struct {
	Host, Address, IP, Result, Error string
	Ports                            []struct {
		Port      int
		Result    string
		Listening bool
	}
	Time, Knocks int
	Seconds      float64
}

// told runs a knockclient that says what became of it as JSON.
func (l *lab) told(cmd *exec.Cmd) (o told, status int) {
	l.t.Helper()
	stdout, stderr, status := l.run(cmd)
	if err := json.Unmarshal([]byte(stdout), &o); err != nil {
		l.t.Fatalf("%q: %v: stdout %q, stderr %q", cmd.Args, err, stdout, stderr)
	}
	return o, status
}

// A host of the configuration file says all that is asked for.
func TestVerifyNamedHost(t *testing.T) {
	t.Parallel()
	l := newLab(t, firewallKind{})
	l.echo(22)
	d := l.daemon()
	writeTemp(t, l.dir, ".knockclient.conf", fmt.Sprintf("verify = true\n[office]\nhost = %s\nport = 22\nkey-file = %s\njson = true\n", gateIP, l.keyFile), 0o600)
	stdout, stderr, status := l.run(l.keyless("office"))
	want := `{"host":"192.0.2.1","address":"192.0.2.1","ports":[{"port":22,"result":"open","listening":true}],"ip":"192.0.2.2","time":15,"knocks":1,"seconds":…,"result":"open"}` + "\n"
	if diff := cmp.Diff(want, regexp.MustCompile(`"seconds":[\d.]+`).ReplaceAllString(stdout, `"seconds":…`)); diff != "" || status != 0 || stderr != "" {
		t.Errorf("status %d, stderr %q, stdout (-want +got)\n%s", status, stderr, diff)
	}
	d.stop()
}

// loseFirst loses the last SYN of the first knock, which so many SYNs make.
func loseFirst(syns, low int) *swapper {
	n := 0
	return &swapper{disturb: func(ip []byte) (time.Duration, bool) {
		port, flags := int(binary.BigEndian.Uint16(ip[22:])), ip[33]
		if ip[9] == 6 && port >= low && port <= low+255 && flags&(synFlag|ack) == synFlag {
			n++
		}
		return 0, n == syns
	}}
}

// The second knock opens, also for a daemon that takes none twice, and with a pad of
// which it uses no more; and what is tried at a port does not spoil it.
func TestVerifyKnocksAgain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		low, lost      int
		client, daemon []string
	}{
		"the same":              {745, 8, nil, nil},
		"random IV":             {745, 24, []string{"-header", "randomiv"}, []string{"-header", "randomiv"}},
		"pad":                   {745, 15, nil, nil},
		"among the knock ports": {1, 10, []string{"-port-min", "1"}, []string{"-port-min", "1"}}, // two tries come first
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, firewallKind{low: tt.low})
			l.echo(22)
			client, daemon := l.client, func() *runningDaemon { return l.daemon(tt.daemon...) }
			if name == "pad" {
				client, daemon = l.keyless, l.padDaemon
				tt.client = []string{"-quiet", "-pad", filepath.Join(l.dir, "client.pad")}
			}
			l.swap(loseFirst(tt.lost, tt.low))
			d := daemon()
			args := append([]string{"-port", "22", "-verify", "-json", gateIP}, tt.client...)
			if o, status := l.told(client(args...)); o.Knocks != 2 || status != 0 {
				t.Errorf("status %d, %+v, want 2 knocks", status, o)
			}
			d.next("rule opened")
			if o, status := l.told(client(append(args, "-time", "255")...)); o.Knocks != 1 || status != 0 || o.Result != "closed" {
				t.Errorf("status %d, %+v, want 1 knock", status, o)
			}
			d.next("rule closed")
			d.stop()
		})
	}
}

// padDaemon starts a daemon with a new one-time pad, whose copy is client.pad.
func (l *lab) padDaemon() *runningDaemon {
	l.t.Helper()
	path := filepath.Join(l.dir, "gate.pad")
	l.must("", filepath.Join(l.bin, "knockclient"), "-make-pad", path, "-knocks", "100", "-quiet")
	text, err := os.ReadFile(path)
	if err != nil {
		l.t.Fatal(err)
	}
	writeTemp(l.t, l.dir, "client.pad", string(text), 0o600)
	conf := strings.ReplaceAll(l.daemonConf(), "key-file", "#key-file") + "pad = " + path + "\n"
	return l.daemon("-conf", writeTemp(l.t, l.dir, "pad.conf", conf, 0o600))
}

// Through a network that loses one packet in twenty and delays each by chance, 99 of
// 100 knocks open. Each is from an address of its own, and to one.
func TestVerifyLossy(t *testing.T) {
	t.Parallel()
	const clients = 100
	l := newLab(t, firewallKind{feed: fromInterface}) // nothing but the network loses anything
	l.gate.serve("0.0.0.0:22")
	l.swap(&swapper{disturb: lossy(0.05, 30, 10)})
	l.farAddresses(clients)
	d := l.daemon()
	opened, counts := 0, map[int]int{} // by how many knocks it took
	for o := range l.knockFromAll(clients) {
		if o.Result == "open" {
			opened++
			counts[o.Knocks]++
		} else {
			t.Logf("%+v", o)
		}
	}
	d.stop()
	t.Logf("%d of %d opened; how many took how many knocks: %v", opened, clients, counts)
	if opened < 99 {
		t.Errorf("%d of %d opened, want 99", opened, clients)
	}
	if counts[1] > 90 {
		t.Errorf("%d opened with one knock: the network has lost little", counts[1])
	}
}

// lossy loses packets with a probability, and delays the others by so many
// milliseconds, with a standard deviation. What becomes of a source's knocks is the
// same each time, whatever else it or others send meanwhile.
func lossy(probability, delay, jitter float64) func(ip []byte) (time.Duration, bool) {
	type stream struct {
		src   netip.Addr
		knock bool
	}
	streams := map[stream]*rand.Rand{}
	return func(ip []byte) (time.Duration, bool) {
		src, _ := netip.AddrFromSlice(ip[12:16])
		port := binary.BigEndian.Uint16(ip[22:])
		s := stream{src, port >= 745 && port <= 1000}
		if streams[s] == nil {
			seed := uint64(binary.BigEndian.Uint32(ip[12:])) << 1
			if s.knock {
				seed++
			}
			streams[s] = rand.New(rand.NewPCG(1, seed))
		}
		late := max(0, delay+jitter*streams[s].NormFloat64())
		return time.Duration(late * float64(time.Millisecond)), streams[s].Float64() < probability
	}
}

// farAddresses gives both ends more addresses: the laptop goes to number i of the
// gate's from number i of its own, by the swapper.
func (l *lab) farAddresses(n int) {
	l.t.Helper()
	var gate, laptop strings.Builder
	for i := range n {
		fmt.Fprintf(&gate, "address add 198.51.100.%d/32 dev lo\n", i)
		fmt.Fprintf(&gate, "route add 203.0.113.%d/32 via %s\n", i, laptopIP)
		fmt.Fprintf(&laptop, "address add 203.0.113.%d/32 dev lo\n", i)
		fmt.Fprintf(&laptop, "route add 198.51.100.%d/32 dev tun0 src 203.0.113.%[1]d\n", i)
	}
	l.must(gate.String(), "ip", "-netns", l.gate.name, "-batch", "-")
	l.must(laptop.String(), "ip", "-netns", l.laptop.name, "-batch", "-")
}

// knockFromAll knocks from each of n far addresses, some at a time, and gives what
// each client says.
func (l *lab) knockFromAll(n int) <-chan told {
	said, places := make(chan told, n), make(chan bool, 12)
	var group sync.WaitGroup
	for i := range n {
		cmd := l.client("-port", "22", "-verify", "-json", fmt.Sprintf("198.51.100.%d", i))
		group.Go(func() {
			places <- true
			defer func() { <-places }()
			var o told
			out, err := cmd.Output() // its status is in what it says
			if err := json.Unmarshal(out, &o); err != nil {
				o.Error = err.Error()
			}
			if (err == nil) != (o.Result == "open") {
				l.t.Errorf("%v: %s", err, out)
			}
			said <- o
		})
	}
	group.Wait()
	close(said)
	return said
}

// On a terminal a line says how it goes; it is gone when the client is stopped, which
// is at once.
func TestVerifyTerminal(t *testing.T) {
	t.Parallel()
	l := newLab(t, firewallKind{})
	cmd := l.client("-verify", "-port", "22", gateIP)
	shown := l.onTerminal(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second knock", func() bool { return strings.Contains(shown.String(), "knock 2 of 6, port 22 is silent …") })
	began := time.Now()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the status says more
	if spent := time.Since(began); cmd.ProcessState.ExitCode() != 1 || spent > time.Second {
		t.Errorf("it ended with status %d after %v, want 1 at once", cmd.ProcessState.ExitCode(), spent)
	}
	const last = "knockclient: error: interrupted\r\n"
	eventually(t, "the error", func() bool { return strings.HasSuffix(shown.String(), last) })
	want := `^192\.0\.2\.1: looking at port 22 …\r +\r192\.0\.2\.1: knock 1 of 6, port 22 is silent …\r +\r` +
		`192\.0\.2\.1: knock 2 of 6, port 22 is silent …\r {44}\r` + regexp.QuoteMeta(last) + `$`
	if !regexp.MustCompile(want).MatchString(shown.String()) {
		t.Errorf("the terminal shows %q, want it to match %s", shown, want)
	}
}

// onTerminal makes a terminal the standard error of a command that is to be started,
// and gives what is shown there.
func (l *lab) onTerminal(cmd *exec.Cmd) *watched {
	l.t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	screen, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	shown, done := new(watched), make(chan bool)
	go func() {
		_, _ = io.Copy(shown, keyboard) // until nobody has the terminal open
		close(done)
	}()
	l.t.Cleanup(func() {
		screen.Close()
		<-done
		keyboard.Close()
	})
	cmd.Stderr = screen
	return shown
}
