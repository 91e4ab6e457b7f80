package test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/portknock/knock/pkg/knock"
)

// noise is n tries of src at random ports, none of which opens anything with the
// settings that go with it.
func (l *lab) noise(src string, n int) string {
	var ports []uint16
	for i := range n {
		ports = append(ports, 745+uint16(i*i*31+i*7)%256)
	}
	return l.tries(netip.MustParseAddr(src), ports)
}

// Who guesses again and again is reported, once; and banned if the administrator
// says so, until the ban ends, over restarts, and never if he is in never-ban.
func TestGuessing(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		flags  []string
		said   string
		opens  bool     // a good knock of the same source
		rules  []string // of the ban
		banned bool     // also after a restart
	}{
		"report": {nil, "source guesses knocks", true, nil, false},
		"ignore": {[]string{"-ban-action", "ignore"}, "source guesses knocks, and is banned", false, nil, true},
		"drop": {[]string{"-ban-action", "drop"}, "source guesses knocks, and is banned", true, []string{
			"-A KNOCK -s 192.0.2.66/32 -m conntrack --ctstate NEW -m time --datestop", "-j DROP"}, true},
		"never": {[]string{"-ban-action", "drop", "-never-ban", "198.51.100.0/24,192.0.2.64/30"}, "source guesses knocks, and is in never-ban", true, nil, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newGate(t, "iptables")
			before := l.foreign()
			flags := append([]string{"-guess-limit", "100", "-allow-ports", "22", "-match-source"}, tt.flags...)
			d := l.daemon(flags...)
			l.write(l.noise("192.0.2.66", 1000))
			eventually(t, "the guesses to be told", func() bool { return d.said(tt.said) })
			if tt.banned {
				eventually(t, "the ban", func() bool { return d.said("ban opened") })
			}
			for _, words := range tt.rules {
				if !strings.Contains(l.rules(), words) {
					t.Errorf("no %q in the firewall:\n%s", words, l.rules())
				}
			}
			l.say(ask("192.0.2.66", 5))
			if tt.opens {
				eventually(t, "its own knock to open", func() bool { return d.said("rule opened") })
			}
			l.say(ask("192.0.2.10", 5)) // somebody else's
			eventually(t, "a knock to open", func() bool { return d.said("rule opened") })
			if tt.opens {
				l.wantOpenRules("192.0.2.10 22", "192.0.2.66 22")
			} else {
				l.wantOpenRules("192.0.2.10 22")
			}
			if got := strings.Count(d.out.String(), "source guesses knocks"); got != 1 {
				t.Errorf("it was told %d times, want once", got)
			}
			d.kill()
			d = l.daemon(flags...)
			for _, words := range tt.rules {
				if !strings.Contains(l.rules(), words) {
					t.Errorf("no %q in the firewall after a restart:\n%s", words, l.rules())
				}
			}
			if leases, _ := l.journal(); strings.Contains(fmt.Sprint(leases), "192.0.2.66 0") != tt.banned {
				t.Errorf("after a restart the journal has %q", leases)
			}
			d.stop()
			l.wantForeign(before)
		})
	}
}

// wantOpenRules compares what is let in, whatever is dropped.
func (l *lab) wantOpenRules(want ...string) {
	l.t.Helper()
	var got []string
	for line := range strings.Lines(l.rules()) {
		if words := rule.FindStringSubmatch(line); words != nil {
			got = append(got, words[1]+" "+words[2])
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		l.t.Errorf("got %q open, want %q", got, want)
	}
}

// A scan of all knock ports, 100 times over, opens nothing with the settings of the
// example configuration.
func TestScans(t *testing.T) {
	t.Parallel()
	needPrograms(t, "nmap:nmap")
	l := newLab(t, firewallKind{})
	conf := readExample(t, "knockdaemon.conf", "/var/log/knock.log", l.log, "/etc/knockdaemon.key", l.keyFile,
		"DENY ", l.prefix, "/var/lib/knockdaemon", l.dir+"/state", "line-age = 60", "line-age = 86400", "output = text", "output = json",
		"guess-limit = 1000", "guess-limit = 10000")
	d := l.daemon("-conf", writeTemp(t, l.dir, "example.conf", conf, 0o600))
	for range 10 { // of ten scans each
		l.laptop.in("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do nmap -n -Pn -sS -T5 --max-retries 0 --min-rate 20000 --host-timeout 20s -p 745-1000 "+gateIP+" >"+l.dir+"/nmap || exit; done")
	}
	const tries = 100 * 256
	if got := l.logged(); got != tries {
		t.Errorf("the firewall has logged %d tries, want %d", got, tries)
	}
	eventually(t, "the scans to be told", func() bool { return d.said("source guesses knocks") })
	l.settle()
	l.knock("-port", "22", "-time", "5")
	eventually(t, "a knock to open", func() bool { return d.said("rule opened") })
	l.wantOpenRules(laptopIP + " 22") // and nothing that came before it in the log
	d.stop()
	if got := strings.Count(d.out.String(), `"rule opened"`); got != 1 {
		t.Errorf("%d rules were opened, want that of the knock alone", got)
	}
}

// TestForgery makes a knock of one that was overheard: with an IV that travels in
// clear, whoever guesses what a knock says can have its block say anything else.
// The daemon that remembers blocks refuses; the one that does not is fooled.
func TestForgery(t *testing.T) {
	t.Parallel()
	l := newGate(t, "iptables")
	codec, err := knock.New(knock.Options{Passphrase: []byte(l.key), Header: knock.HeaderRandomIV})
	if err != nil {
		t.Fatal(err)
	}
	said := ask("192.0.2.10", 15)
	ports, err := codec.Seal(said)
	if err != nil {
		t.Fatal(err)
	}
	forged := forge(ports, said, ask("198.51.100.9", 254))
	owner, thief := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("198.51.100.9")

	d := l.daemon("-header", "randomiv")
	l.write(l.tries(owner, ports))
	d.next("rule opened")
	for range 2 { // also after a restart
		for _, try := range []string{l.tries(thief, forged), l.tries(thief, ports)} {
			l.write(try)
			eventually(t, "the forgery to be refused", func() bool { return d.said("knock refused") })
		}
		l.wantRules("192.0.2.10 22")
		d.reload() // forgets nothing either
		eventually(t, "the reload", func() bool { return d.said("configuration reloaded") })
		l.write(l.tries(thief, forged))
		eventually(t, "the forgery to be refused", func() bool { return d.said("knock refused") })
		d.kill()
		d = l.daemon("-header", "randomiv")
	}
	d.stop()

	// A block of the fixed IV's serves as well, and is remembered as well.
	fixed, err := knock.New(knock.Options{Passphrase: []byte(l.key)})
	if err != nil {
		t.Fatal(err)
	}
	l.dir = t.TempDir() // another daemon's state
	d = l.daemon()
	plain, err := fixed.Seal(said)
	if err != nil {
		t.Fatal(err)
	}
	l.write(l.tries(owner, plain))
	d.next("rule opened")
	l.write(l.tries(owner, plain)) // with the fixed IV it may come again
	d.next("rule refreshed")
	d.stop()
	d = l.daemonThatComplains("-header", "randomiv")
	if !strings.Contains(d.out.String(), "this key was used with another header") {
		t.Error("it is not said that the header changed and the key did not")
	}
	prefix := ports[:16:16]
	for i, b := range []byte("01234567") {
		prefix[8+i] = 745 + uint16(b)
	}
	l.write(l.tries(thief, forge(append(prefix, plain...), said, ask("198.51.100.9", 254))))
	eventually(t, "the forgery to be refused", func() bool { return d.said("knock refused") })
	l.wantRules("192.0.2.10 22")
	d.stop()

	// A daemon that has never seen the first one takes the forgery for a knock: this
	// is what the memory is for.
	l.dir = t.TempDir()
	d = l.daemon("-header", "randomiv")
	l.write(l.tries(thief, forged))
	d.next("rule opened")
	l.wantRules("198.51.100.9 22")
	d.stop()
}

// forge makes a knock for want of the ports of a knock for said, without the key.
func forge(ports []uint16, said, want knock.Payload) []uint16 {
	forged := append([]uint16(nil), ports...)
	was, is := plain(said), plain(want)
	for i := range was {
		iv := byte(ports[8+i]-745) ^ was[i] ^ is[i]
		forged[8+i] = 745 + uint16(iv)
	}
	return forged
}

// plain are the bytes of a payload.
func plain(p knock.Payload) [7]byte {
	ip := p.IP.As4()
	return [7]byte{ip[0], ip[1], ip[2], ip[3], p.Port, p.Time, p.Checksum()}
}
