package test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portknock/knock/pkg/knock"
)

// innerIP is the host behind the gate.
const innerIP = "10.0.0.5"

// newForwardingLab makes a lab with a host behind the gate, which greets at its port 22.
func newForwardingLab(t *testing.T) *lab {
	t.Helper()
	l := newLab(t, firewallKind{})
	inner := newSandbox(t)
	l.gate.must("", "ip", "link", "add", "inner", "netns", l.gate.name, "type", "veth", "peer", "name", "eth0", "netns", inner.name)
	l.gate.in("ip", "address", "add", "10.0.0.1/24", "dev", "inner")
	l.gate.in("ip", "link", "set", "inner", "up")
	inner.in("ip", "address", "add", innerIP+"/24", "dev", "eth0")
	inner.in("ip", "link", "set", "eth0", "up")
	inner.in("ip", "route", "add", "default", "via", "10.0.0.1")
	l.gate.in("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
	l.gate.in("iptables", "-P", "FORWARD", "DROP")
	l.gate.in("iptables", "-A", "FORWARD", "-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "ACCEPT")
	l.gate.in("iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "198.51.100.1", "-j", "ACCEPT") // somebody else's
	l.laptop.in("ip", "route", "add", "10.0.0.0/24", "via", gateIP)
	inner.enter(func() error {
		listener, err := net.Listen("tcp4", innerIP+":22")
		if err != nil {
			return err
		}
		t.Cleanup(func() { listener.Close() })
		go greet(listener)
		return nil
	})
	return l
}

const greeting = "inner\n"

// greet sends a word to each who connects.
func greet(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, greeting) // who went away reads nothing
		c.Close()
	}
}

// wantGreeting insists that a port of the gate's leads to the inner host.
func (l *lab) wantGreeting(from string, port int) {
	l.t.Helper()
	var got []byte
	eventually(l.t, fmt.Sprintf("port %d to lead from %s to the inner host", port, from), func() bool {
		c, err := l.dial(from, port, connectTimeout)
		if err != nil {
			return false
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(connectTimeout))
		got, _ = io.ReadAll(c) // what came is looked at
		return string(got) == greeting
	})
}

// A knock leads a port to the host behind the gate, for who has knocked: one of a key, one of a sequence.
func TestForward(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		conf  string
		port  int
		open  func(l *lab)
		close func(l *lab)
	}{
		"a key's": {
			"\n[key guest]\nkey = guest\nforward = 222=" + innerIP + ":22\n", 222,
			func(l *lab) { l.guestKnocks(5) },
			func(l *lab) { l.guestKnocks(knock.Close) },
		},
		"a section's": {
			"\n[inside]\nsequence = 760,770,780\nforward = 2222=" + innerIP + ":22\n", 2222,
			func(l *lab) { l.tap(laptopIP, 760, 770, 780) },
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newForwardingLab(t)
			before := l.rules()
			conf := writeTemp(t, l.dir, "forward.conf", l.daemonConf()+test.conf, 0o600)
			d := l.daemon("-conf", conf)
			l.wantClosed(laptopIP, test.port)
			test.open(l)
			if to := d.next("rule opened")["to"]; to != innerIP+":22" {
				t.Errorf("it leads to %v", to)
			}
			l.wantGreeting(laptopIP, test.port)
			l.wantClosed(strangerIP, test.port)
			l.wantClosed(laptopIP, 22) // of the gate itself
			l.laptop.enter(func() error {
				if c, err := net.DialTimeout("tcp4", innerIP+":22", connectTimeout); err == nil {
					c.Close()
					t.Error("the inner host is open to who goes there straight")
				}
				return nil
			})

			// Nothing of it is lost when the daemon is killed.
			d.kill()
			l.wantGreeting(laptopIP, test.port)
			d = l.daemon("-conf", conf)
			l.wantGreeting(laptopIP, test.port)
			if test.close != nil {
				test.close(l)
				d.next("rule closed")
				l.wantClosed(laptopIP, test.port)
				test.open(l)
				d.next("rule opened")
				l.wantGreeting(laptopIP, test.port)
			}
			d.stop()
			l.wantClosed(laptopIP, test.port)
			l.wantBefore(before)
		})
	}
}

// guestKnocks knocks with the guest's key.
func (l *lab) guestKnocks(minutes uint8) {
	l.t.Helper()
	p := ask(laptopIP, minutes)
	p.Port = 222
	for _, port := range l.sealed(knock.Options{Passphrase: []byte("guest")}, p) {
		l.tap(laptopIP, int(port))
	}
}

// The example of several keys works as it is, but for its paths.
func TestKeysExample(t *testing.T) {
	t.Parallel()
	l := newForwardingLab(t)
	l.echo(22)
	keys := map[string]string{}
	text := readExample(t, "knockdaemon-keys.conf", "/etc/", l.dir+"/", "\nlog = /var/log/knock.log\n", "\n"+strings.ReplaceAll(l.daemonConf(), "key-file", "#key-file"))
	for _, name := range []string{"alice", "bob", "backup"} {
		keys[name] = "the key of " + name
		writeTemp(t, l.dir, "knockdaemon."+name+".key", keys[name]+"\n", 0o600)
	}
	if stdout, stderr, status := l.run(l.keyless("-make-pad", filepath.Join(l.dir, "knockdaemon.carol.pad"))); status != 0 {
		t.Fatalf("knockclient -make-pad: status %d, %s%s", status, stdout, stderr)
	}
	pad, err := os.ReadFile(filepath.Join(l.dir, "knockdaemon.carol.pad"))
	if err != nil {
		t.Fatal(err)
	}
	clientPad := writeTemp(t, l.dir, "client.pad", string(pad), 0o600)
	d := l.daemon("-conf", writeTemp(t, l.dir, "keys.conf", text, 0o600))
	for _, who := range []struct {
		name  string
		flags []string
	}{
		{"alice", []string{"-port", "22", "-key", keys["alice"], "-quiet"}},
		{"backup", []string{"-port", "222", "-key", keys["backup"], "-cipher", "Rijndael", "-quiet"}},
		{"carol", []string{"-port", "22", "-pad", clientPad, "-quiet"}},
		{"carol", []string{"-port", "22", "-time", "255", "-pad", clientPad}},
	} {
		l.knockBy(who.flags...)
		if name := d.next("knock accepted")["key"]; name != who.name {
			t.Errorf("it was %v's knock, want %s's", name, who.name)
		}
	}
	l.wantGreeting(laptopIP, 222)
	d.stop()
}

// knockBy runs a knockclient without the gate's own key.
func (l *lab) knockBy(args ...string) {
	l.t.Helper()
	if stdout, stderr, status := l.run(l.keyless(append(args, gateIP)...)); status != 0 || stdout+stderr != "" {
		l.t.Fatalf("knockclient %q: status %d, stdout %q, stderr %q; want status 0 and silence", args, status, stdout, stderr)
	}
}

// keyless makes a knockclient that is given no key but what args say.
func (l *lab) keyless(args ...string) *exec.Cmd {
	cmd := l.laptop.command(filepath.Join(l.bin, "knockclient"), args...)
	cmd.Env = append(os.Environ(), "HOME="+l.dir)
	return cmd
}
