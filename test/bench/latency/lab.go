package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portknock/knock/test/logswitch"
)

// The two hosts, and the port that all knocks open.
const (
	gateIP   = "192.0.2.1"
	laptopIP = "192.0.2.2"
	port     = 22
)

// The knocks of the others. None of their ports is one of knockdaemon's, 745 to 1000, and none is port.
var (
	knockdPorts = []int{7001, 8002, 9003}
	floorPorts  = []int{6004}
)

// rule opens the port (-I), or closes it (-D), for iptables. It is the same rule for knockd and for the floor.
func rule(how string) []string {
	return []string{"-w", "5", how, "INPUT", "-s", laptopIP, "-p", "tcp", "--dport", strconv.Itoa(port), "-j", "ACCEPT"}
}

// A lab is two hosts that are joined by a cable, and what runs there.
type lab struct {
	options
	dir          string // of temporary files
	prefix       string // of the firewall's log, nobody else's
	gate, laptop host
	probe        probe
	undo         []func() error // in order of making
}

// newLab makes the hosts, with a firewall at the gate. If it fails it leaves nothing.
func newLab(o options) (l *lab, err error) {
	id := os.Getpid()
	l = &lab{options: o, prefix: fmt.Sprintf("BENCH-%d ", id),
		gate: host(fmt.Sprintf("knock-bench-gate-%d", id)), laptop: host(fmt.Sprintf("knock-bench-laptop-%d", id)),
		probe: probe{from: [4]byte(net.ParseIP(laptopIP).To4()), to: [4]byte(net.ParseIP(gateIP).To4()), port: port,
			source: 20000}} // below those that the kernel gives to tries
	defer func() {
		if err != nil {
			err = errors.Join(err, l.tearDown())
		}
	}()
	if l.dir, err = os.MkdirTemp("", "knock-bench"); err != nil {
		return l, err
	}
	l.later(func() error { return os.RemoveAll(l.dir) })
	unlog, err := logswitch.On()
	if err != nil {
		return l, fmt.Errorf("failed to have the kernel log what namespaces drop: %w", err)
	}
	l.later(unlog)
	if err := l.connect(); err != nil {
		return l, err
	}
	return l, l.protect()
}

func (l *lab) later(f func() error) { l.undo = append(l.undo, f) }

// tearDown takes everything away, the last first.
func (l *lab) tearDown() (err error) {
	for _, f := range slices.Backward(l.undo) {
		err = errors.Join(err, f())
	}
	l.undo = nil
	return err
}

// connect makes the hosts and the cable.
func (l *lab) connect() error {
	for _, h := range []host{l.gate, l.laptop} {
		if _, err := output("", "ip", "netns", "add", string(h)); err != nil {
			return err
		}
		l.later(func() error { _, err := output("", "ip", "netns", "del", string(h)); return err })
	}
	steps := []string{
		fmt.Sprintf("ip link add eth0 netns %s type veth peer name eth0 netns %s", l.gate, l.laptop),
		fmt.Sprintf("ip -n %s address add %s/24 dev eth0", l.gate, gateIP),
		fmt.Sprintf("ip -n %s address add %s/24 dev eth0", l.laptop, laptopIP),
	}
	for _, h := range []host{l.gate, l.laptop} {
		steps = append(steps, fmt.Sprintf("ip -n %s link set lo up", h), fmt.Sprintf("ip -n %s link set eth0 up", h))
	}
	for _, step := range steps {
		args := strings.Fields(step)
		if _, err := output("", args[0], args[1:]...); err != nil {
			return err
		}
	}
	return l.serve()
}

// serve accepts connections to the port, which must succeed before there is a firewall.
func (l *lab) serve() error {
	var listener net.Listener
	err := l.gate.enter(func() (err error) {
		listener, err = net.Listen("tcp4", net.JoinHostPort(gateIP, strconv.Itoa(port)))
		return err
	})
	if err != nil {
		return err
	}
	l.later(listener.Close)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	var open bool
	waited := eventually("the cable", func() bool {
		err = l.laptop.enter(func() (err error) { open, err = l.probe.try(); return err })
		return open
	})
	if waited != nil {
		return errors.Join(waited, err)
	}
	return nil
}

// protect puts the firewall in force: all is dropped, knockdaemon's knock ports are logged.
func (l *lab) protect() error {
	rules := []string{
		"*filter", ":INPUT DROP",
		"-A INPUT -i lo -j ACCEPT",
		"-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",
		`-A INPUT -p tcp --dport 745:1000 -j LOG --log-prefix "` + l.prefix + `"`,
		"COMMIT", "",
	}
	_, err := l.gate.run(strings.Join(rules, "\n"), "iptables-restore")
	return err
}

// wantClosed makes sure that no rule opens the port.
func (l *lab) wantClosed() error {
	rules, err := l.gate.run("", "iptables", "-w", "5", "-S")
	if err == nil && strings.Contains(rules, fmt.Sprintf("--dport %d ", port)) {
		err = fmt.Errorf("the port is open already:\n%s", rules)
	}
	return err
}

// write makes a file in the lab's directory and gives its path.
func (l *lab) write(name, text string) (string, error) {
	path := filepath.Join(l.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// eventually waits until the condition is true.
func eventually(what string, condition func() bool) error {
	for end := time.Now().Add(patience); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("waited %v in vain for %s", patience, what)
		}
	}
	return nil
}
