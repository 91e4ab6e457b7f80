package test

import (
	"os"
	"testing"
)

// SIGHUP has the daemon learn of packets from elsewhere, and of other ones.
func TestReloadOfFeed(t *testing.T) {
	t.Parallel()
	l := newLab(t, firewallKind{})
	l.gate.in("iptables", "-I", "INPUT", "-p", "tcp", "--syn", "-i", "eth0", "-j", "NFLOG", "--nflog-group", "5")
	l.gate.in("iptables", "-I", "INPUT", "-p", "tcp", "--dport", "7000:9000", "-j", "DROP")
	conf := writeTemp(t, l.dir, "reloaded.conf", l.daemonConf(), 0o600)
	write := func(more string) {
		t.Helper()
		if err := os.WriteFile(conf, []byte(l.daemonConf()+more), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := l.daemon("-conf", conf)
	l.knock("-port", "22", "-time", "5")
	d.next("rule opened")
	for _, f := range []feed{fromInterface, fromNFLOG, fromKmsg, fromLog, fromNFLOG, fromInterface} {
		l.feed = f
		write("")
		if got, want := d.reloadToWatch(), watchedAs(f, l.log); got != want {
			t.Errorf("it watches %q, want %q", got, want)
		}
		l.knock("-port", "22", "-time", "5")
		d.next("rule refreshed")
	}
	l.wantRules(laptopIP + " 22")

	// The filter of the interface lets the ports of a sequence through from now on.
	const section = "[web]\nsequence = 7000,8000,9500\ntcpflags = syn\nopen = 80/tcp\ntime = 5\n"
	l.tap(laptopIP, 7000, 8000, 9500)
	write(section)
	d.reloadToWatch()
	l.tap(laptopIP, 7000, 8000, 9500)
	d.next("rule opened")
	l.wantRules(laptopIP+" 80", laptopIP+" 22")

	// And other ports again when the sequence changes.
	write("[web]\nsequence = 7001,8001,9000\ntcpflags = syn\nclose = 80/tcp\n")
	d.reloadToWatch()
	l.tap(laptopIP, 7001, 8001, 9000)
	d.next("rule closed")
	l.wantRules(laptopIP + " 22")

	// What is wrong with the new one leaves the old one in force.
	write("interface = eth1\n")
	d.reload()
	eventually(t, "the mistake to be told", func() bool { return d.said("configuration not reloaded: the old one stays in force") })
	l.tap(laptopIP, 7001, 8001, 9000)
	l.knock("-port", "22", "-time", "255")
	d.next("rule closed")
	d.stop()
}

// reloadToWatch has the configuration read again, and gives the source that the daemon
// watches then. It says that, and that it has reloaded, in either order.
func (d *runningDaemon) reloadToWatch() (source any) {
	d.t.Helper()
	d.reload()
	reloaded := false
	eventually(d.t, "knockdaemon to watch something else", func() bool {
		for _, e := range d.events()[d.read:] {
			d.read++
			switch e["msg"] {
			case "configuration reloaded":
				reloaded = true
			case "watching":
				source = e["source"]
			default:
				d.t.Errorf("while it reloads knockdaemon says %v", e)
			}
		}
		return reloaded && source != nil
	})
	return source
}

// watchedAs is how the daemon names a feed.
func watchedAs(f feed, log string) string {
	switch f {
	case fromInterface:
		return "interface eth0"
	case fromNFLOG:
		return "nflog group 5"
	case fromKmsg:
		return "/dev/kmsg"
	}
	return log
}

// Of sequences that count once each, an interface must let the next one through when
// one is used up.
func TestOneTimeSequences(t *testing.T) {
	t.Parallel()
	eachFeed(t, func(t *testing.T, f feed) {
		l := newLab(t, firewallKind{feed: f, low: 7000})
		once := writeTemp(t, l.dir, "once", "7010,7020,7030\n7110,7120,7130\n7015,7125\n", 0o600)
		conf := writeTemp(t, l.dir, "once.conf", l.daemonConf()+"[once]\none_time_sequences = "+once+"\ntcpflags = syn\nopen = 22/tcp\n", 0o600)
		d := l.daemonThatComplains("-conf", conf)
		l.tap(laptopIP, 7010, 7020, 7030)
		eventually(t, "the first", func() bool { return d.said("rule opened") })
		l.tap(laptopIP, 7110, 7120, 7130)
		eventually(t, "the second", func() bool { return d.said("rule refreshed") })
		l.tap(laptopIP, 7110, 7120, 7130) // again
		l.tap(laptopIP, 7015, 7125)
		eventually(t, "the third", func() bool { return d.said("rule refreshed") })
		data, err := os.ReadFile(once)
		if want := "#010,7020,7030\n#110,7120,7130\n#015,7125\n"; err != nil || string(data) != want {
			t.Errorf("the file is %q, %v; want %q", data, err, want)
		}
		d.stop()
	})
}
