package test

import (
	"os"
	"strings"
	"testing"
)

// Both ends agree on every form that a knock can have.
func TestForms(t *testing.T) {
	t.Parallel()
	eachFeed(t, testForms)
}

func testForms(t *testing.T, f feed) {
	tests := map[string]struct {
		low            int
		syns           int
		client, daemon []string
	}{
		"another IV":     {745, 8, []string{"-iv", "abcdefgh"}, []string{"-iv", "abcdefgh"}},
		"IV of 8 bytes":  {745, 24, []string{"-header", "randomiv"}, []string{"-header", "randomiv"}},
		"IV of 4 bytes":  {745, 20, []string{"-header", "randomiv", "-iv", "abcd"}, []string{"-header", "randomiv", "-iv-length", "4"}},
		"IV of 1 byte":   {745, 17, []string{"-header", "randomiv", "-iv", "~"}, []string{"-header", "randomiv", "-iv-length", "1"}},
		"other ports":    {1001, 8, []string{"-port-min", "1001"}, []string{"-port-min", "1001"}},
		"the last ports": {65280, 8, []string{"-port-min", "65280"}, []string{"-port-min", "65280"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, firewallKind{feed: f, low: tt.low})
			l.echo(22)
			d := l.daemon(tt.daemon...)
			l.knock(append([]string{"-port", "22", "-time", "5"}, tt.client...)...)
			d.next("rule opened")
			l.wantOpen(laptopIP, 22)
			l.wantClosed(strangerIP, 22)
			if got := l.logged(); got != tt.syns {
				t.Errorf("the firewall saw %d packets, want %d", got, tt.syns)
			}
			d.stop()
		})
	}
}

// A knock names the address that the port is opened to.
func TestKnockForSomebodyElse(t *testing.T) {
	t.Parallel()
	l := newLab(t, firewallKind{})
	l.echo(22)
	d := l.daemon()
	l.knock("-port", "22", "-ip", strangerIP)
	d.next("rule opened")
	l.wantRules(strangerIP + " 22")
	l.wantOpen(strangerIP, 22)
	l.wantClosed(laptopIP, 22)
	l.knock("-port", "22", "-ip", strangerIP, "-time", "255")
	d.next("rule closed")
	l.wantRules()
	l.wantClosed(strangerIP, 22)
}

// With match-source it must be the one that knocks.
func TestMatchSource(t *testing.T) {
	t.Parallel()
	eachFeed(t, testMatchSource)
}

func testMatchSource(t *testing.T, f feed) {
	l := newLab(t, firewallKind{feed: f})
	l.echo(22)
	d := l.daemon("-match-source")
	l.knock("-port", "22", "-ip", strangerIP)
	if reason, _ := d.next("knock refused")["reason"].(string); !strings.Contains(reason, strangerIP) || !strings.Contains(reason, "match-source") {
		t.Errorf("the reason is %q, want it to name %s and match-source", reason, strangerIP)
	}
	l.wantRules()
	l.wantClosed(strangerIP, 22)
	l.wantClosed(laptopIP, 22)

	l.knock("-port", "22", "-ip", laptopIP)
	l.wantOpen(laptopIP, 22)
	l.wantRules(laptopIP + " 22")
}

// What may not be opened stays closed, and the daemon says why.
func TestNotAllowed(t *testing.T) {
	t.Parallel()
	eachFeed(t, testNotAllowed)
}

func testNotAllowed(t *testing.T, f feed) {
	l := newLab(t, firewallKind{feed: f})
	d := l.daemon("-allow-ports", "22,80-90", "-allow-ips", laptopIP+"/32", "-max-time", "60")
	before := l.rules()
	for _, tt := range []struct{ port, ip, time, reason string }{
		{"23", laptopIP, "5", "allow-ports"},
		{"22", strangerIP, "5", "allow-ips"},
		{"22", laptopIP, "61", "max-time"},
		{"22", laptopIP, "0", "max-time"},
	} {
		l.knock("-port", tt.port, "-ip", tt.ip, "-time", tt.time)
		if reason, _ := d.next("knock refused")["reason"].(string); !strings.Contains(reason, tt.reason) {
			t.Errorf("%+v: the reason is %q", tt, reason)
		}
	}
	l.wantBefore(before)
	l.knock("-port", "90", "-time", "60")
	d.next("rule opened")
	l.wantRules(laptopIP + " 90")
}

// The reference makes the knock, and any program can send it.
func TestPerlKnocks(t *testing.T) {
	t.Parallel()
	needPrograms(t, "perl:perl")
	for header, syns := range map[string]int{"none": 8, "randomiv": 24} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, firewallKind{})
			l.echo(22)
			d := l.daemon("-header", header)
			cmd := l.laptop.command("perl", "testdata/knock.pl", header, laptopIP, "22", "5", gateIP)
			cmd.Env = append(os.Environ(), "KNOCK_KEY="+l.key)
			if stdout, stderr, status := l.run(cmd); status != 0 || stdout+stderr != "" {
				t.Fatalf("knock.pl: status %d, stdout %q, stderr %q; want status 0 and silence", status, stdout, stderr)
			}
			d.next("rule opened")
			l.wantOpen(laptopIP, 22)
			l.wantRules(laptopIP + " 22")
			if got := l.logged(); got != syns {
				t.Errorf("the firewall saw %d packets, want %d", got, syns)
			}
		})
	}
}
