package test

import (
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// wantRules compares the rules of the daemon's with "ADDRESS PORT" literals.
func (l *lab) wantRules(want ...string) {
	l.t.Helper()
	if diff := cmp.Diff(want, l.open()); diff != "" {
		l.t.Errorf("open ports (-want +got):\n%s", diff)
	}
}

// wantBefore compares the whole firewall with what it was.
func (l *lab) wantBefore(before string) {
	l.t.Helper()
	if diff := cmp.Diff(before, l.rules()); diff != "" {
		l.t.Errorf("the firewall is not what it was (-before +after):\n%s", diff)
	}
}

// A knock opens one port to one address, for a time, or until it is closed; and
// at its end the daemon leaves nothing behind.
func TestStory(t *testing.T) {
	t.Parallel()
	eachFeed(t, testStory)
}

func testStory(t *testing.T, f feed) {
	l := newLab(t, firewallKind{feed: f})
	l.echo(22)
	l.echo(23)
	before := l.rules()
	d := l.daemon()
	l.wantClosed(laptopIP, 22)

	l.knock("-port", "22", "-time", "5")
	d.next("knock accepted")
	first := d.timeOf(d.next("rule opened"), "until")
	l.wantOpen(laptopIP, 22)
	l.wantClosed(laptopIP, 23)
	l.wantClosed(strangerIP, 22)
	l.wantRules(laptopIP + " 22")

	l.knock("-port", "22", "-time", "15")
	second := d.timeOf(d.next("rule refreshed"), "until")
	if longer := second.Sub(first); longer < 10*time.Minute {
		t.Errorf("15 minutes in place of 5 end %v later, want 10 minutes or more", longer)
	}
	l.wantRules(laptopIP + " 22")

	l.knock("-port", "22", "-time", "255")
	d.next("rule closed")
	l.wantClosed(laptopIP, 22)
	l.wantRules()

	l.knock("-port", "22", "-time", "0")
	if until := d.next("rule opened")["until"]; until != "no limit" {
		t.Errorf("open until %v, want no limit", until)
	}
	l.wantOpen(laptopIP, 22)
	d.stop()
	l.wantClosed(laptopIP, 22)
	l.wantBefore(before)
}

// Both variants of iptables do.
func TestBothIPTables(t *testing.T) {
	t.Parallel()
	for _, variant := range []string{"iptables-nft", "iptables-legacy"} {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, firewallKind{iptables: variant})
			l.echo(22)
			before := l.rules()
			d := l.daemon()
			l.knock("-port", "22", "-time", "5")
			d.next("rule opened")
			l.wantOpen(laptopIP, 22)
			l.wantClosed(strangerIP, 22)
			l.knock("-port", "22", "-time", "255")
			d.next("rule closed")
			l.wantClosed(laptopIP, 22)
			l.knock("-port", "22", "-time", "5")
			d.next("rule opened")
			d.stop()
			l.wantClosed(laptopIP, 22)
			l.wantBefore(before)
		})
	}
}

// The rules go where they are told to, and come before a drop of the
// administrator's.
func TestChains(t *testing.T) {
	t.Parallel()
	for _, chain := range []string{"INPUT", "a-chain.of_OURS"} {
		t.Run(chain, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, firewallKind{})
			l.echo(22)
			l.gate.in("iptables", "-A", "INPUT", "-p", "tcp", "--dport", "22", "-j", "DROP")
			before := l.rules()
			d := l.daemon("-chain", chain)
			l.knock("-port", "22")
			d.next("rule opened")
			l.wantOpen(laptopIP, 22)
			l.wantClosed(strangerIP, 22)
			want := regexp.MustCompile("-A " + chain + " -s " + laptopIP + `/32 -p tcp -m tcp --dport 22 -m time --datestop [0-9T:-]+ -m comment --comment knockdaemon -j ACCEPT\n`)
			if got := l.rules(); len(want.FindAllString(got, -1)) != 1 {
				t.Errorf("the firewall is\n%swant once in it\n%s", got, want)
			}
			d.stop()
			l.wantClosed(laptopIP, 22)
			l.wantBefore(before)
		})
	}
}

// What somebody takes away of our chain or the jump to it, the next knock puts back.
func TestFirewallChanges(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(l *lab, before string){
		"all of it is loaded anew": func(l *lab, before string) {
			l.closeFirewall(firewallKind{})
			l.wantBefore(before)
		},
		"the jump is taken away": func(l *lab, _ string) {
			l.gate.in("iptables", "-D", "INPUT", "-m", "comment", "--comment", "knockdaemon", "-j", "KNOCK")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, firewallKind{})
			l.echo(22)
			before := l.rules()
			d := l.daemon()
			l.knock("-port", "22")
			d.next("rule opened")
			l.wantOpen(laptopIP, 22)
			change(l, before)
			l.wantClosed(laptopIP, 22)
			l.knock("-port", "22")
			d.next("rule refreshed")
			l.wantOpen(laptopIP, 22)
			l.wantRules(laptopIP + " 22")
			d.stop()
			l.wantBefore(before)
		})
	}
}

// The example of a firewall that is nft's own lets in who has knocked, and nobody
// else.
func TestNftExample(t *testing.T) {
	t.Parallel()
	needPrograms(t, "nft:nftables")
	l := newLab(t, firewallKind{noLog: true})
	l.echo(22)
	l.gate.in("nft", "flush", "ruleset")
	l.must("yes\n", "ip", "netns", "exec", l.gate.name, "env", "TMPDIR="+l.dir, filepath.Join(examples, "firewall-nft.sh"), "-t", "60", "-p", l.prefix)
	ruleset := func() string { // without the sources that have knocked lately
		return regexp.MustCompile(`(?m)^\s*elements = [^}]*}\n`).ReplaceAllString(l.gate.in("nft", "list", "ruleset"), "")
	}
	before := ruleset()
	l.wantClosed(laptopIP, 22)
	d := l.daemon()
	l.knock("-port", "22")
	d.next("rule opened")
	l.wantOpen(laptopIP, 22)
	l.wantClosed(strangerIP, 22)
	l.knock("-port", "22", "-time", "255")
	d.next("rule closed")
	l.wantClosed(laptopIP, 22)
	d.stop()
	if diff := cmp.Diff(before, ruleset()); diff != "" {
		t.Errorf("the rules (-before +after)\n%s", diff)
	}
}
