package test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/knock"
)

// A swapper is the network between the laptop and the gate: what the laptop sends to
// the gate goes through it. It holds the SYNs to the knock ports until a knock is
// whole, and passes them on in another order.
type swapper struct {
	length  int
	order   func() []int          // of the next knock: which of its SYNs comes first, …
	rewrite func(syn []byte)      // an IP packet, before it is passed on
	send    func(ip []byte) error // to the gate
	held    [][]byte

	// If not nil, it says of each packet how late it comes, or that it never does, and
	// nothing is held.
	disturb func(ip []byte) (late time.Duration, lost bool)
	late    sync.WaitGroup
}

// swap puts a swapper in the way of the laptop's packets until the test ends.
func (l *lab) swap(s *swapper) {
	l.t.Helper()
	var tun *os.File
	var raw int
	l.laptop.enter(func() (err error) {
		if tun, err = openTun("tun0"); err != nil {
			return err
		}
		if raw, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err != nil {
			return err
		}
		return unix.BindToDevice(raw, "eth0")
	})
	s.send = func(ip []byte) error {
		return unix.Sendto(raw, ip, 0, &unix.SockaddrInet4{Addr: netip.MustParseAddr(gateIP).As4()})
	}
	done := make(chan error, 1)
	go func() { done <- s.run(tun) }()
	l.t.Cleanup(func() {
		tun.Close()
		if err := <-done; err != nil {
			l.t.Errorf("the swapper: %v", err)
		}
		s.late.Wait()
		unix.Close(raw)
	})
	l.laptop.in("ip", "link", "set", "tun0", "up")
	l.laptop.in("sh", "-c", "echo 0 | tee /proc/sys/net/ipv4/conf/*/rp_filter") // answers do not come through the swapper
	l.laptop.in("ip", "route", "add", gateIP+"/32", "dev", "tun0", "src", laptopIP)
}

// openTun makes a device of the thread's namespace; what is sent to it can be read.
func openTun(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
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
	return os.NewFile(uintptr(fd), name), nil // a file that can be closed while it is read
}

func (s *swapper) run(tun *os.File) error {
	buffer := make([]byte, 2048)
	for {
		n, err := tun.Read(buffer)
		if errors.Is(err, os.ErrClosed) {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.pass(slices.Clone(buffer[:n])); err != nil {
			return err
		}
	}
}

func (s *swapper) pass(ip []byte) error {
	if ip[0] != 0x45 { // IPv6's own, or with options
		return nil
	}
	if s.disturb != nil {
		if late, lost := s.disturb(ip); !lost {
			s.late.Go(func() {
				time.Sleep(late) // the network's delay, not a wait
				_ = s.send(ip)   // what does not arrive is lost
			})
		}
		return nil
	}
	port := binary.BigEndian.Uint16(ip[22:])
	if ip[9] != unix.IPPROTO_TCP || port < 745 || port > 1000 {
		return s.send(ip)
	}
	s.held = append(s.held, ip)
	if len(s.held) < s.length {
		return nil
	}
	for _, i := range s.order() {
		if s.rewrite != nil {
			s.rewrite(s.held[i])
		}
		if err := s.send(s.held[i]); err != nil {
			return err
		}
	}
	s.held = nil
	return nil
}

// source finds the source port in a line.
var source = regexp.MustCompile(` SPT=(\d+) `)

// numbers gives the source ports in the log, in order, less the lowest of the first 8.
func (l *lab) numbers() (numbers []int) {
	l.t.Helper()
	data, err := os.ReadFile(l.log)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, match := range source.FindAllStringSubmatch(string(data), -1) {
		n, err := strconv.Atoi(match[1])
		if err != nil {
			l.t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	low := slices.Min(numbers[:8])
	for i := range numbers {
		numbers[i] -= low
	}
	return numbers
}

// A knock of the client's opens in whatever order its SYNs arrive, and the next one too.
func TestSwapped(t *testing.T) {
	t.Parallel()
	eachFeed(t, testSwapped)
}

func testSwapped(t *testing.T, f feed) {
	for name, test := range map[string]struct {
		header string
		order  []int
	}{
		"the first two": {"none", []int{1, 0, 2, 3, 4, 5, 6, 7}},
		"the last two":  {"none", []int{0, 1, 2, 3, 4, 5, 7, 6}},
		"two pairs":     {"none", []int{0, 2, 1, 3, 4, 6, 5, 7}},
		"one late":      {"none", []int{0, 2, 3, 4, 5, 6, 7, 1}},
		"backwards":     {"none", []int{7, 6, 5, 4, 3, 2, 1, 0}},
		"with a header": {"randomiv", []int{0, 1, 2, 4, 3, 5, 6, 7, 8, 9, 12, 11, 10, 13, 14, 15, 16, 18, 17, 19, 20, 21, 23, 22}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, firewallKind{feed: f})
			l.echo(22)
			l.swap(&swapper{length: len(test.order), order: func() []int { return test.order }})
			d := l.daemon("-header", test.header)
			l.knock("-header", test.header, "-port", "22", "-time", "5", "-delay", "5")
			d.next("knock accepted")
			d.next("rule opened")
			l.wantOpen(laptopIP, 22)
			l.knock("-header", test.header, "-port", "22", "-time", "255", "-delay", "5")
			d.next("rule closed")
			l.wantClosed(laptopIP, 22)
			if f != fromLog {
				return // the swapper is the same
			}
			if diff := cmp.Diff(test.order, l.numbers()[:len(test.order)]); diff != "" {
				t.Errorf("what the log says of the order (-want +got):\n%s", diff)
			}
		})
	}
}

// Of 30 knocks whose SYNs a network has delayed by chance, all open. Had address
// translation chosen other source ports, only those would that came in order.
func TestJitter(t *testing.T) {
	t.Parallel()
	const knocks = 30
	for name, translated := range map[string]bool{"the client's source ports": false, "translated source ports": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, firewallKind{})
			random := rand.New(rand.NewPCG(1, 2))
			var orders [][]int
			inOrder := 0
			for range knocks {
				order := jittered(random)
				if slices.IsSorted(order) {
					inOrder++
				}
				orders = append(orders, order)
			}
			s := &swapper{length: 8, order: func() (next []int) {
				next, orders = orders[0], orders[1:]
				return next
			}}
			if translated {
				ports := rand.New(rand.NewPCG(3, 4)).Perm(60000)
				s.rewrite = func(syn []byte) { // nobody looks at its checksum
					binary.BigEndian.PutUint16(syn[20:], uint16(1024+ports[0]))
					ports = ports[1:]
				}
			}
			l.swap(s)
			for i, minutes := range l.plain(knocks) {
				l.knock("-port", "22", "-time", strconv.Itoa(minutes), "-delay", "1")
				eventually(t, "the knock to be logged", func() bool { return len(l.seen()) == 8*(i+1) })
			}
			got := l.replayed()
			t.Logf("%d of %d knocks came in order, %d open", inOrder, knocks, got)
			if inOrder == 0 || inOrder == knocks {
				t.Fatal("chance has it that this shows nothing")
			}
			want := knocks
			if translated {
				want = inOrder
			}
			if got != want {
				t.Errorf("%d knocks open, want %d", got, want)
			}
		})
	}
}

// plain gives n times for which the laptop's knocks have no port twice: two of those
// can be swapped, and nobody sees it. The knocks differ, so that none is taken for the
// SYNs of another, sent again, if both should have the same source ports.
func (l *lab) plain(n int) (minutes []int) {
	l.t.Helper()
	for m := 1; m <= 254 && len(minutes) < n; m++ {
		ports := l.sealed(knock.Options{Passphrase: []byte(l.key)}, ask(laptopIP, uint8(m)))
		slices.Sort(ports)
		if len(slices.Compact(ports)) == 8 {
			minutes = append(minutes, m)
		}
	}
	if len(minutes) < n {
		l.t.Fatalf("only %d knocks of %d have no port twice", len(minutes), n)
	}
	return minutes
}

// jittered gives the order in which SYNs arrive that leave 20 ms apart and are on
// their way for a time that varies by 10 ms (standard deviation).
func jittered(random *rand.Rand) (order []int) {
	var at [8]float64
	for i := range at {
		at[i] = 20*float64(i) + 10*random.NormFloat64()
		order = append(order, i)
	}
	slices.SortFunc(order, func(i, j int) int { return int(math.Copysign(1, at[i]-at[j])) })
	return order
}

// replayed counts the knocks that a replay of the log finds.
func (l *lab) replayed() int {
	l.t.Helper()
	conf := writeTemp(l.t, l.t.TempDir(), "knockdaemon.conf", l.daemonConf(), 0o600)
	out := l.must("", filepath.Join(l.bin, "knockdaemon"), "-conf", conf, "-replay", l.log)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var summary struct{ Packets, Knocks int }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &summary); err != nil || summary.Packets == 0 {
		l.t.Fatalf("the replay said %q, %v", out, err)
	}
	return summary.Knocks
}

// A program that binds its sockets as the client does, and sends them in another
// order, opens; one with a gap in its source ports does not.
func TestBoundSourcePorts(t *testing.T) {
	t.Parallel()
	l := newLab(t, firewallKind{})
	l.echo(22)
	d := l.daemon()
	ports := l.sequence("-port", "22", "-time", "5")
	swapped := []int{0, 1, 3, 2, 4, 5, 6, 7}
	for _, i := range swapped {
		l.tapFrom(51000+2*i, ports[i])
	}
	eventually(t, "the knock to be logged", func() bool { return len(l.seen()) == 8 })
	l.wantClosed(laptopIP, 22)
	for _, i := range swapped {
		l.tapFrom(52000+i, ports[i])
	}
	d.next("rule opened")
	l.wantOpen(laptopIP, 22)
	if got := strings.Count(d.out.String(), "knock accepted"); got != 1 {
		t.Errorf("%d knocks, want 1", got)
	}
}

// tapFrom sends one SYN of the laptop's from a source port of its own.
func (l *lab) tapFrom(source, port int) {
	l.t.Helper()
	l.laptop.enter(func() error {
		d := net.Dialer{Timeout: connectTimeout / 10, LocalAddr: &net.TCPAddr{IP: net.ParseIP(laptopIP), Port: source}}
		c, err := d.Dial("tcp4", netip.AddrPortFrom(netip.MustParseAddr(gateIP), uint16(port)).String())
		if err == nil {
			c.Close()
			return errors.New("a knock port is open")
		}
		if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
			return err
		}
		return nil
	})
}
