package test

import (
	"strings"
	"testing"
	"time"
)

// unplug takes the cable away, and with it both its ends; plug puts a new one in.
func (l *lab) unplug() {
	l.t.Helper()
	l.gate.in("ip", "link", "del", "eth0")
}

func (l *lab) plug() {
	l.t.Helper()
	connect(l.gate, l.laptop)
	l.laptop.in("ip", "address", "add", strangerIP+"/24", "dev", "eth0")
	eventually(l.t, "the cable", func() bool { return l.gate.try(laptopIP+":9") == refused })
}

// The interface may be missing when the daemon starts, come, go down, go away, and come
// back as another one of the same name.
func TestInterfaceComesAndGoes(t *testing.T) {
	t.Parallel()
	l := newLab(t, firewallKind{feed: fromInterface})
	l.echo(22)
	l.unplug()
	d := l.launch(l.daemonCommand())
	d.next("interface is not there")
	d.next("watching")
	l.plug()
	d.next("interface is sniffed now")
	l.knock("-port", "22", "-time", "5")
	d.next("rule opened")
	l.wantOpen(laptopIP, 22)

	l.gate.in("ip", "link", "set", "eth0", "down")
	d.next("interface is down")
	l.gate.in("ip", "link", "set", "eth0", "up")
	d.next("interface is sniffed now")
	eventually(t, "the cable", func() bool { return l.gate.try(laptopIP+":9") == refused })
	l.knock("-port", "22", "-time", "255")
	d.next("rule closed")

	for range 3 {
		l.unplug()
		d.next("interface is not there")
		l.plug()
		d.next("interface is sniffed now")
		l.knock("-port", "22", "-time", "5")
		d.next("rule opened")
		l.knock("-port", "22", "-time", "255")
		d.next("rule closed")
	}

	// So fast that nobody may see it go: whoever knocks again gets in.
	l.unplug()
	l.plug()
	eventually(t, "a knock to open", func() bool {
		l.knock("-port", "22", "-time", "5")
		return l.reach(laptopIP, 22) == opened
	})
	d.stop()
}

// What the firewall drops before any rule logs it is seen all the same: an interface
// comes before the firewall.
func TestInterfaceComesBeforeTheFirewall(t *testing.T) {
	t.Parallel()
	l := newLab(t, firewallKind{feed: fromInterface})
	l.echo(22)
	l.gate.in("iptables", "-t", "raw", "-A", "PREROUTING", "-p", "tcp", "--dport", "745:1000", "-j", "DROP")
	d := l.daemon()
	l.knock("-port", "22", "-time", "5")
	d.next("rule opened")
	l.wantOpen(laptopIP, 22)
	if got := l.logged(); got != 0 {
		t.Errorf("INPUT saw %d packets, want none", got)
	}
	d.stop()
}

// A daemon that may not sniff says what it lacks, and ends.
func TestInterfaceNeedsRawSockets(t *testing.T) {
	t.Parallel()
	needPrograms(t, "setpriv:util-linux")
	l := newLab(t, firewallKind{feed: fromInterface})
	before := l.rules()
	cmd := l.daemonCommand()
	free := l.gate.command("setpriv", append([]string{"--bounding-set", "-net_raw"}, cmd.Args[4:]...)...)
	began := time.Now()
	_, stderr, status := l.run(free)
	if status != 1 || !strings.Contains(stderr, "CAP_NET_RAW") {
		t.Errorf("status %d after %v, stderr %q; want 1 and CAP_NET_RAW named", status, time.Since(began), stderr)
	}
	l.wantBefore(before)
}
