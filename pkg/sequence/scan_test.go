package sequence

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/packet"
)

// A scanner sends packets from one address, each from a port of its own, as fast as can be.
type scanner struct {
	m    *Matcher
	from uint16
}

// try gives how many sequences a packet to the port completes.
func (c *scanner) try(to Step) int {
	c.from = max(1, c.from+1)
	p := packet.Packet{Src: names["a"], SrcPort: c.from, DstPort: to.Port, Proto: to.Proto, Flags: packet.SYN}
	return len(c.m.Observe(p, start))
}

// scan tries all ports, from one of them on and round the end, and gives how many sequences that completes.
func (c *scanner) scan(ports []Step, begin int) (matches int) {
	for i := range ports {
		matches += c.try(ports[(begin+i)%len(ports)])
	}
	return matches
}

// allPorts gives the 65535 ports of a protocol, upwards.
func allPorts(proto packet.Proto) []Step {
	ports := make([]Step, 65535)
	for i := range ports {
		ports[i] = Step{proto, uint16(i + 1)}
	}
	return ports
}

// portsOf gives what a sniffer hands over of a scan upwards.
func portsOf(m *Matcher) (ports []Step) {
	for _, port := range m.Ports() {
		ports = append(ports, Step{port.Proto, port.Port})
	}
	return ports
}

// typical are sequences that are in manuals, examples and use.
var typical = []string{
	"7000,8000,9000", "9000,8000,7000", "102,100,100,103", "103,100,100,102", "1042,1044,1043", "1,32768,65535",
	"65535,32768,1", "2222:udp,3333,4444:udp", "571,290,911", "12345,54321", "2000,2010,2020,2030,2040,2050",
}

// A scan upwards or downwards, from anywhere on and round the end, completes no typical sequence, whether all its packets
// are seen or only those to Ports; and a knock that comes next is found.
func TestSequentialScan(t *testing.T) {
	t.Parallel()
	for _, text := range typical {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			if why := Weak(mustParse(text)); why != "" && !areEven(mustParse(text)) {
				t.Fatal(why)
			}
			c := &scanner{m: mustNew(t, Options{MaxSources: 1}, plain(text))}
			check := func(ports []Step, begin int) {
				t.Helper()
				if n := c.scan(ports, begin); n != 0 {
					t.Errorf("a scan of %d ports from %s on completes it %d times", len(ports), ports[begin], n)
				}
			}
			seen, all := portsOf(c.m), allPorts(packet.TCP)
			for range 2 {
				for begin := range seen {
					check(seen, begin)
				}
				// Only where it begins among the steps makes a difference.
				for _, begin := range []int{0, int(mustParse(text)[0].Port) % 65535} {
					check(all, begin)
				}
				slices.Reverse(seen)
				slices.Reverse(all)
			}
			if n := c.scan(mustParse(text), 0); n != 1 {
				t.Errorf("%d matches of a knock after the scans", n)
			}
		})
	}
}

// What Weak warns of does happen.
func TestScanOfWeak(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"7000,7001,7002", "7002,7001,7000", "7000,7002,7004", "7000,7001,8000,8001"} {
		c := &scanner{m: mustNew(t, Options{MaxSources: 1}, plain(text))}
		c.m.guards = nil // for they may be where they help
		ports := portsOf(c.m)
		n := c.scan(ports, 0)
		slices.Reverse(ports)
		if n += c.scan(ports, 0); n != 1 {
			t.Errorf("%s: %d matches, want 1", text, n)
		}
	}
}

// So does what it says of those that are evenly spaced, though the whole scan be seen.
func TestScanInSteps(t *testing.T) {
	t.Parallel()
	for text, step := range map[string]int{"7000,8000,9000": 1000, "4444:udp,3333,2222:udp": -1111, "2000,2010,2020,2030,2040,2050": 10} {
		if why, want := Weak(mustParse(text)), "its ports are evenly spaced: a scan in such steps completes it"; why != want {
			t.Errorf("%s: %q", text, why)
		}
		steps := mustParse(text)
		port := int(steps[0].Port)
		for inside := port - step; inside > 0 && inside <= 65535; inside -= step {
			port = inside // from the end on
		}
		c, matches := &scanner{m: mustNew(t, Options{MaxSources: 1}, plain(text))}, 0
		for ; port > 0 && port <= 65535; port += step {
			matches += c.try(Step{packet.TCP, uint16(port)}) + c.try(Step{packet.UDP, uint16(port)})
		}
		if matches != 1 {
			t.Errorf("%s: %d matches of a scan in steps of %d, want 1", text, matches, step)
		}
	}
}

// strict is a machine as port knockers mostly are: it sees the ports of its sequence alone, and a wrong one of them begins
// it anew.
type strict struct {
	steps []Step
	stage int
}

func (s *strict) try(to Step) bool {
	switch {
	case !slices.Contains(s.steps, to):
	case to == s.steps[s.stage]:
		s.stage++
	case to == s.steps[0]:
		s.stage = 1
	default:
		s.stage = 0
	}
	if s.stage < len(s.steps) {
		return false
	}
	s.stage = 0
	return true
}

// shuffledScans gives how often of so many scans of these ports in random order a sequence was completed, by a Matcher
// and by a strict machine. Of the drawn guards a scan of all ports tries all.
func shuffledScans(t *testing.T, text string, ports func(m *Matcher) []Step, scans int) (ours, theirs float64) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	c := &scanner{m: mustNew(t, Options{MaxSources: 1}, plain(text))}
	tried := ports(c.m)
	for range scans {
		random.Shuffle(len(tried), func(i, j int) { tried[i], tried[j] = tried[j], tried[i] })
		if n := c.m.table.stillest(); n != 0 {
			c.m.drop(n) // each is a scan of its own
		}
		machine, completed, fooled := strict{steps: mustParse(text)}, false, false
		for _, to := range tried {
			completed = c.try(to) > 0 || completed
			fooled = machine.try(to) || fooled
		}
		if completed {
			ours++
		}
		if fooled {
			theirs++
		}
	}
	return ours / float64(scans), theirs / float64(scans)
}

// A scan in random order completes a sequence now and then. It does so for a strict machine with a chance of 1/n!; for a
// Matcher by far less often, and not at all to speak of if it sees the whole scan. The guards are drawn anew each time: each
// bound is such that, with the chances of TestChanceOfShuffledScan, less than one run in a million is beyond it.
func TestShuffledScan(t *testing.T) {
	t.Parallel()
	const scans = 20_000
	// What of the thousand ports that nmap tries first is among 7000, 8000, 9000, their neighbours and the guards, but for
	// the three or so drawn ones: with them it is 1 scan in 57.
	thousand := func(*Matcher) (ports []Step) {
		for _, port := range []uint16{23, 111, 135, 139, 445, 1433, 3389, 5900, 7000, 7001, 7999, 8000, 8001, 9000, 9001} {
			ports = append(ports, Step{packet.TCP, port})
		}
		return ports
	}
	whole := func(*Matcher) []Step { return allPorts(packet.TCP) }
	for name, test := range map[string]struct {
		text         string
		ports        func(*Matcher) []Step
		scans        int
		most         float64
		low, highest float64 // of the strict machine
	}{
		"3 ports, Ports seen":                {"7000,8000,9000", portsOf, 3 * scans, 19. / (3 * scans), 0.153, 0.181},
		"4 ports, Ports seen":                {"7000,8000,9000,10000", portsOf, scans, 3. / scans, 0.0345, 0.0495},
		"5 ports, Ports seen":                {"7000,8000,9000,10000,11000", portsOf, scans, 1. / scans, 0.0052, 0.012},
		"3 ports, a thousand ports, sniffed": {"7000,8000,9000", thousand, scans, 0.0315, 0.153, 0.181},
		"3 ports, all seen":                  {"7000,8000,9000", whole, 10, 0, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := shuffledScans(t, test.text, test.ports, test.scans)
			t.Logf("of %d scans %.3f %% complete it; with a strict machine %.2f %%", test.scans, 100*ours, 100*theirs)
			if ours > test.most || theirs < test.low || theirs > test.highest {
				t.Errorf("want at most %.3f %%, and %.2f to %.2f %%", 100*test.most, 100*test.low, 100*test.highest)
			}
		})
	}
}

// A scan in random order of one source does not stand in the way of another's knock, nor one of its own before it.
func TestKnockWhileScanned(t *testing.T) {
	t.Parallel()
	m := mustNew(t, Options{}, plain("7000,8000,9000"))
	c, y := &scanner{m: m}, &player{m: m, now: start}
	ports := allPorts(packet.TCP)
	random := rand.New(rand.NewPCG(3, 4))
	random.Shuffle(len(ports), func(i, j int) { ports[i], ports[j] = ports[j], ports[i] })
	var got []string
	for _, word := range []string{"7000@b", "8000@b", "9000@b"} {
		c.scan(ports[:20000], 0)
		got = append(got, y.play(word))
	}
	got = append(got, y.play("7000 8000 9000"))
	if diff := cmp.Diff([]string{"", "", "1:0@192.0.2.2", "3:0"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
