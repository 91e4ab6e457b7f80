package test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// logrotate's two ways, each done between two halves of a knock.
func TestRotationWithinKnock(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		rotate func(l *lab, between func())
		told   string
	}{
		"rename":       {(*lab).rotate, "log replaced"},
		"copytruncate": {(*lab).copyTruncate, "log truncated"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, firewallKind{})
			l.echo(22)
			d := l.daemon()
			ports := l.sequence("-port", "22", "-time", "5")
			marker := l.sequence("-port", "99", "-ip", strangerIP, "-time", "5")

			l.tap(laptopIP, ports[:3]...)
			// When the stranger's knock is understood, all before it has been read.
			l.tap(strangerIP, marker...)
			d.next("rule opened")
			tt.rotate(l, func() { l.tap(laptopIP, ports[3:5]...) })
			l.tap(laptopIP, ports[5:]...)
			d.next(tt.told)
			if event := d.next("rule opened"); event["ip"] != laptopIP {
				t.Errorf("knockdaemon said %v, want a rule for %s", event, laptopIP)
			}
			l.wantOpen(laptopIP, 22)

			// Nothing is read twice: the stranger's port, closed, stays closed, also
			// when the next knock has been read.
			l.tap(strangerIP, l.sequence("-port", "99", "-ip", strangerIP, "-time", "255")...)
			d.next("rule closed")
			tt.rotate(l, func() {})
			l.knock("-port", "22", "-time", "5")
			d.next("rule refreshed")
			l.wantRules(laptopIP + " 22")
		})
	}
}

// rotate renames the log and has rsyslogd make a new one. Between the two it still
// writes to the old one.
func (l *lab) rotate(between func()) {
	l.t.Helper()
	old := fmt.Sprintf("%s.%d", l.log, sandboxes.Add(1))
	if err := os.Rename(l.log, old); err != nil {
		l.t.Fatal(err)
	}
	between()
	if err := syscall.Kill(l.rsyslogd, syscall.SIGHUP); err != nil {
		l.t.Fatal(err)
	}
	eventually(l.t, "rsyslogd to close the old log", func() bool { return !hasOpen(l.t, l.rsyslogd, old) })
}

// copyTruncate lets what was logged in between get into the file that is then
// emptied, and be read from there.
func (l *lab) copyTruncate(between func()) {
	l.t.Helper()
	old, err := os.ReadFile(l.log)
	if err == nil {
		err = os.WriteFile(l.log+".1", old, 0o640)
	}
	if err == nil {
		err = os.Truncate(l.log, 0)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	between()
}

// A client that waits long for each answer has its SYNs sent again by the kernel.
func TestSYNsSentAgain(t *testing.T) {
	t.Parallel()
	eachFeed(t, testSYNsSentAgain)
}

func testSYNsSentAgain(t *testing.T, f feed) {
	l := newLab(t, firewallKind{feed: f})
	d := l.daemon()
	for i, port := range l.sequence("-port", "22", "-time", "5") {
		patient := 50 * time.Millisecond
		if i%3 == 0 {
			patient = 1300 * time.Millisecond // the second SYN comes after 1000
		}
		if c, err := l.dial(laptopIP, port, patient); err == nil {
			c.Close()
			t.Errorf("port %d is open", port)
		}
	}
	d.next("rule opened")
	l.wantRules(laptopIP + " 22")
	if got := l.logged(); got <= 8 {
		t.Errorf("the firewall saw %d packets, want some of 8 twice", got)
	}
}

// Nftables writes the same lines, with "flags all" some more of them.
func TestNFTablesLog(t *testing.T) {
	t.Parallel()
	needPrograms(t, "nft:nftables")
	for name, flags := range map[string]string{"plain": "", "flags": "flags all"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, firewallKind{noLog: true})
			l.echo(22)
			// It only logs: a drop of nftables would not be undone by an accept of
			// another table.
			l.must(fmt.Sprintf("table inet knocks { chain in { type filter hook input priority -10; policy accept;\n"+
				"tcp dport 745-1000 log prefix %q %s\n}\n}\n", l.prefix, flags), "ip", "netns", "exec", l.gate.name, "nft", "-f", "-")
			d := l.daemon()
			l.knock("-port", "22", "-time", "5")
			d.next("rule opened")
			l.wantOpen(laptopIP, 22)
			l.wantClosed(strangerIP, 22)
			l.knock("-port", "22", "-time", "255")
			d.next("rule closed")
			l.wantClosed(laptopIP, 22)
			log, err := os.ReadFile(l.log)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(log, []byte(" MACSRC=")) != (flags != "") {
				t.Errorf("%s is not what %q should write:\n%s", filepath.Base(l.log), flags, log)
			}
		})
	}
}
