package test

import (
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
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
