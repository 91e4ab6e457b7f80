package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// The two hosts, and the port that all knocks open.
const (
	gateIP   = "192.0.2.1"
	laptopIP = "192.0.2.2"
	port     = 22
)

// A lab is two hosts that are joined by a cable, and what runs there.
type lab struct {
	options
	ctx          context.Context
	dir          string // of temporary files
	state        string // the directory for what a daemon keeps, on a disk that can be made full
	prefix       string // of the firewall's log, nobody else's
	gate, laptop host
	raw          int // a socket of the laptop's that sends whole packets
	source       uint16
	undo         []func() error // in order of making
}

var labs atomic.Int32

// newLab makes the hosts, with a firewall at the gate. If it fails it leaves nothing.
func newLab(ctx context.Context, o options) (l *lab, err error) {
	id := fmt.Sprintf("%d-%d", os.Getpid(), labs.Add(1))
	l = &lab{options: o, ctx: ctx, prefix: "PEERS-" + id + " ", source: 20000,
		gate: host("knock-peers-gate-" + id), laptop: host("knock-peers-laptop-" + id)}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.tearDown())
		}
	}()
	if l.dir, err = os.MkdirTemp("", "knock-peers"); err != nil {
		return l, err
	}
	l.later(func() error { return os.RemoveAll(l.dir) })
	l.state = filepath.Join(l.dir, "state")
	if err := l.mount(); err != nil {
		return l, err
	}
	for _, h := range []host{l.gate, l.laptop} {
		if err := ip("netns add %s", h); err != nil {
			return l, err
		}
		l.later(h.remove)
	}
	if err := l.connect(); err != nil {
		return l, err
	}
	return l, errors.Join(l.serve(), l.openRaw(), l.protect())
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

// mount makes the disk for a daemon's state, small enough to be made full.
func (l *lab) mount() error {
	if err := os.Mkdir(l.state, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", l.state, "tmpfs", 0, "size=1m,mode=700"); err != nil {
		return fmt.Errorf("failed to mount a disk at %q: %w", l.state, err)
	}
	l.later(func() error { return unix.Unmount(l.state, unix.MNT_DETACH) })
	return nil
}

// remove takes a host away, with what a daemon may have left running there: nobody else's processes are in it.
func (h host) remove() error {
	pids, err := output("", exec.Command("ip", "netns", "pids", string(h)))
	for word := range strings.FieldsSeq(pids) {
		if pid, _ := strconv.Atoi(word); pid > 1 {
			_ = unix.Kill(pid, unix.SIGKILL) // it may have ended
		}
	}
	return errors.Join(err, ip("netns del %s", h))
}

// connect makes the cable. With the old one gone it makes a new one, as like it as can be.
func (l *lab) connect() error {
	err := ip("link add eth0 netns %s type veth peer name eth0 netns %s", l.gate, l.laptop)
	for h, address := range map[host]string{l.gate: gateIP, l.laptop: laptopIP} {
		err = errors.Join(err,
			ip("-n %s address add %s/24 dev eth0", h, address),
			ip("-n %s link set lo up", h),
			ip("-n %s link set eth0 up", h))
	}
	return err
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
	return eventually(l.ctx, patience, "the cable", func() (bool, error) { return l.isOpen(tryFor) })
}

// protect puts the firewall in force, in place of the one before, as a reload does: all is dropped, knockdaemon's
// knock ports are logged.
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

// write makes a file in the lab's directory and gives its path.
func (l *lab) write(name, text string) (string, error) {
	path := filepath.Join(l.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}
