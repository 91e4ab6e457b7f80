package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// tryFor is how long a connection that is not accepted is waited for, less than until its second SYN.
const tryFor = 500 * time.Millisecond

// isOpen makes one new connection, and reports whether it was accepted.
func (l *lab) isOpen(limit time.Duration) (open bool, err error) {
	err = l.laptop.enter(func() error {
		c, err := net.DialTimeout("tcp4", net.JoinHostPort(gateIP, strconv.Itoa(port)), limit)
		if err == nil {
			open = true
			return c.Close()
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return nil
		}
		return fmt.Errorf("failed to try port %d: %w", port, err)
	})
	return open, err
}

// rules counts the firewall's rules that open the port.
func (l *lab) rules() (n int, err error) {
	out, err := l.gate.run("", "iptables", "-w", "5", "-S")
	for line := range strings.Lines(out) {
		if strings.Contains(line, fmt.Sprintf("--dport %d ", port)) && strings.Contains(line, "-j ACCEPT") {
			n++
		}
	}
	return n, err
}

// mostRules gives the greatest number of rules that there are for some time.
func (l *lab) mostRules(limit time.Duration) (most int, err error) {
	for end := time.Now().Add(limit); err == nil && time.Now().Before(end); {
		var n int
		n, err = l.rules()
		most = max(most, n)
	}
	return most, err
}
