package test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A stranger who tries the knock ports meanwhile disturbs no knock, and opens nothing.
func TestStrangerMeanwhile(t *testing.T) {
	t.Parallel()
	eachFeed(t, func(t *testing.T, f feed) {
		l := newLab(t, firewallKind{feed: f})
		l.echo(22)
		d := l.daemon()
		for i, port := range l.sequence("-port", "22", "-time", "5") {
			l.tap(strangerIP, port, 745+i, 1000-i)
			l.tap(laptopIP, port)
		}
		d.next("rule opened")
		l.wantOpen(laptopIP, 22)
		l.wantClosed(strangerIP, 22)
		l.wantRules(laptopIP + " 22")
		if got := l.logged(); got != 4*8 {
			t.Errorf("the firewall saw %d packets, want 32", got)
		}
		d.stop()
	})
}

// What is open is so again after the next start, however the daemon ended.
func TestStartsAnew(t *testing.T) {
	t.Parallel()
	eachFeed(t, func(t *testing.T, f feed) {
		l := newLab(t, firewallKind{feed: f})
		l.echo(22)
		d := l.daemon()
		ports := l.sequence("-port", "22", "-time", "5")
		l.tap(laptopIP, ports...)
		d.next("rule opened")
		d.kill()
		l.wantOpen(laptopIP, 22) // by a rule that ends by itself
		l.knock("-port", "23")   // of which nobody hears, neither now nor later

		d = l.daemon()
		l.wantOpen(laptopIP, 22)
		d.stop()
		l.wantClosed(laptopIP, 22)

		d = l.daemon()
		l.wantOpen(laptopIP, 22)
		l.knock("-port", "22", "-time", "255")
		d.next("rule closed")
		l.wantClosed(laptopIP, 22)
		l.wantRules()
		d.stop()
	})
}

// Packets that the gate sends, and those that it passes on to a host behind it, are
// no knocks.
func TestNotToTheGate(t *testing.T) {
	t.Parallel()
	const insideIP = "198.51.100.2"
	eachFeed(t, func(t *testing.T, f feed) {
		l := newLab(t, firewallKind{feed: f})
		inside := newSandbox(t)
		l.gate.in("ip", "link", "add", "inside", "type", "veth", "peer", "name", "eth0", "netns", inside.name)
		l.gate.in("ip", "address", "add", "198.51.100.1/24", "dev", "inside")
		l.gate.in("ip", "link", "set", "inside", "up")
		l.gate.in("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
		inside.in("ip", "address", "add", insideIP+"/24", "dev", "eth0")
		inside.in("ip", "link", "set", "eth0", "up")
		inside.in("ip", "route", "add", "default", "via", "198.51.100.1")
		inside.in("iptables", "-A", "INPUT", "-p", "tcp", "--dport", "745:1000", "-j", "DROP")
		l.laptop.in("ip", "route", "add", "198.51.100.0/24", "via", gateIP)
		l.laptop.in("iptables", "-A", "INPUT", "-p", "tcp", "--dport", "745:1000", "-j", "DROP")
		d := l.daemon()

		l.knockAt(l.laptop, insideIP)
		l.knockAt(l.gate, laptopIP)
		for _, s := range []sandbox{inside, l.laptop} {
			if got := s.in("iptables", "-L", "INPUT", "-v", "-x", "-n"); !strings.Contains(got, "       8 ") {
				t.Errorf("the knock has not arrived:\n%s", got)
			}
		}
		l.knock("-port", "24")
		d.next("rule opened")
		l.wantRules(laptopIP + " 24") // and all before it has been looked at
		d.stop()
		if got := strings.Count(d.out.String(), `"knock accepted"`); got != 1 {
			t.Errorf("%d knocks, want 1", got)
		}
	})
}

// knockAt knocks at a host that nobody looks at, for a port of the laptop's.
func (l *lab) knockAt(from sandbox, host string) {
	l.t.Helper()
	from.in(filepath.Join(l.bin, "knockclient"), "-key-file", l.keyFile, "-ip", laptopIP, "-port", "23", host)
}

// The watchdog is fed also if no packet ever comes, and if there is nothing that any
// could come from.
func TestWatchdogOfQuietFeeds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		feed feed
		args []string
	}{
		"log":                  {fromLog, nil},
		"interface":            {fromInterface, nil},
		"nflog":                {fromNFLOG, nil},
		"kmsg":                 {fromKmsg, nil},
		"no log":               {fromInterface, []string{"-log", "/nowhere/knock.log"}},
		"no interface":         {fromInterface, []string{"-interface", "nowhere"}},
		"a group without rule": {fromNFLOG, []string{"-nflog", "65535"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, firewallKind{feed: tt.feed})
			address := filepath.Join(t.TempDir(), "notify")
			manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer manager.Close()
			const interval = 5 * time.Second // a part is late after two thirds of it
			l.env = []string{"NOTIFY_SOCKET=" + address, "WATCHDOG_USEC=5000000"}
			d := l.launch(l.daemonCommand(tt.args...))
			began, fed := time.Now(), 0
			buffer := make([]byte, 1024)
			for fed == 0 || time.Since(began) < 2*interval {
				if err := manager.SetReadDeadline(time.Now().Add(interval)); err != nil {
					t.Fatal(err)
				}
				n, err := manager.Read(buffer)
				if err != nil {
					t.Fatalf("after %v and %d signs of life there was none for %v: %v", time.Since(began), fed, interval, err)
				}
				if string(buffer[:n]) == "WATCHDOG=1" {
					fed++
				}
			}
			if strings.Contains(d.out.String(), "no sign of life") {
				t.Error("a part was late")
			}
			if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		})
	}
}
