package test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// reload has the configuration read again.
func (d *runningDaemon) reload() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		d.t.Fatal(err)
	}
}

// On SIGHUP the configuration is read again. What is wrong with it is said, and
// the old one stays in force.
func TestReload(t *testing.T) {
	t.Parallel()
	l := newGate(t, "iptables")
	text := func(more string) string {
		return "log = " + l.log + "\nkey-file = " + l.keyFile + "\nstate-dir = " + filepath.Join(l.dir, "state") + "\noutput = json\n" + more
	}
	conf := writeTemp(t, l.dir, "reloaded.conf", text(""), 0o600)
	write := func(more string) {
		t.Helper()
		if err := os.WriteFile(conf, []byte(text(more)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := l.daemon("-conf", conf)
	l.say(ask("192.0.2.10", 60))
	d.next("rule opened")

	write("allow-ports = 80\n")
	d.reload()
	d.next("configuration reloaded")
	l.say(ask("192.0.2.11", 60))
	eventually(t, "the knock to be refused", func() bool { return d.said("knock refused") })
	l.wantRules("192.0.2.10 22") // what is open stays open

	// A ban ends when its network is named in never-ban.
	write("allow-ports = 80\nban-action = drop\nguess-limit = 100\n")
	d.reload()
	d.next("configuration reloaded")
	l.write(l.noise("192.0.2.66", 200))
	eventually(t, "the ban", func() bool { return d.said("ban opened") })
	write("allow-ports = 80\nban-action = drop\nguess-limit = 100\nnever-ban = 192.0.2.66\n")
	d.reload()
	eventually(t, "the ban to be lifted", func() bool { return d.said("ban closed") })
	l.wantRules("192.0.2.10 22")

	write("allow-ports = 80\nalow-ips = 192.0.2.0/24\n")
	d.reload()
	eventually(t, "the mistake to be told", func() bool { return d.said("configuration not reloaded: the old one stays in force") })
	if !strings.Contains(d.out.String(), "reloaded.conf:6") || !strings.Contains(d.out.String(), "allow-ips") {
		t.Errorf("it is not said what is wrong where: %s", d.out)
	}
	l.say(ask("192.0.2.12", 60))
	eventually(t, "the knock to be refused", func() bool { return d.said("knock refused") })

	// Another key, another log, and a setting that only a start can change.
	other := writeTemp(t, l.dir, "other.log", "", 0o640)
	key := writeTemp(t, l.dir, "other.key", "another long passphrase", 0o600)
	if err := os.WriteFile(conf, []byte(strings.NewReplacer(l.log, other, l.keyFile, key).Replace(text("chain = OTHER\n"))), 0o600); err != nil {
		t.Fatal(err)
	}
	d.reload()
	eventually(t, "the setting to be named", func() bool { return d.said("these settings change with the next start only") })
	eventually(t, "the other log to be watched", func() bool { return d.said("watching") })
	l.log, l.key = other, "another long passphrase"
	l.say(ask("192.0.2.13", 60))
	d.next("rule opened")
	l.wantRules("192.0.2.13 22", "192.0.2.10 22")

	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	d.reload()
	eventually(t, "the mistake to be told", func() bool { return d.said("configuration not reloaded: the old one stays in force") })
	l.say(ask("192.0.2.13", 255))
	d.next("rule closed")
	d.stop()
}
