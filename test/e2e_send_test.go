package test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// words writes ports as they are in texts.
func words(ports []int) (list []string) {
	for _, port := range ports {
		list = append(list, strconv.Itoa(port))
	}
	return list
}

// seen gives the ports of the SYNs in the log, in order.
func (l *lab) seen() (ports []string) {
	l.t.Helper()
	data, err := os.ReadFile(l.log)
	if err != nil {
		l.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if match := destination.FindStringSubmatch(line); match != nil && strings.Contains(line, " SYN URGP") {
			ports = append(ports, match[1])
		}
	}
	return ports
}

// Whatever the firewall does with the knock ports, a knock is one SYN to each, in
// order, and the command does not wait for answers.
func TestKnockAgainstFirewalls(t *testing.T) {
	t.Parallel()
	for name, verdict := range map[string]string{
		"drop":        "-j DROP",
		"reset":       "-j REJECT --reject-with tcp-reset",
		"unreachable": "-j REJECT --reject-with icmp-port-unreachable",
		"no listener": "-j ACCEPT",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, firewallKind{verdict: verdict})
			want := words(l.sequence("-port", "22", "-time", "5"))
			d := l.daemon()
			// A busy machine may be slow, but it is not slow each time.
			var all []string
			var fastest time.Duration
			for try := 0; try < 5 && (try == 0 || fastest > 500*time.Millisecond); try++ {
				began := time.Now()
				l.knock("-port", "22", "-time", "5")
				if took := time.Since(began); try == 0 || took < fastest {
					fastest = took
				}
				all = append(all, want...)
			}
			if fastest < 8*20*time.Millisecond || fastest > 500*time.Millisecond {
				t.Errorf("a knock took %v, want 160 ms and little more", fastest)
			}
			d.next("rule opened")
			eventually(t, "the last knock", func() bool { return len(l.seen()) >= len(all) })
			if diff := cmp.Diff(all, l.seen()); diff != "" {
				t.Errorf("ports in the log (-want +got):\n%s", diff)
			}
			if got := l.logged(); got != len(all) {
				t.Errorf("the firewall saw %d packets, want %d", got, len(all))
			}
		})
	}
}

// A host that accepts connections to the knock ports is one that does not close
// them, and the user hears of it.
func TestKnockAtOpenPorts(t *testing.T) {
	t.Parallel()
	l := newLab(t, firewallKind{verdict: "-j ACCEPT"})
	ports := l.sequence("-port", "22", "-time", "5")
	for _, port := range slices.Compact(slices.Sorted(slices.Values(ports))) {
		l.echo(port)
	}
	d := l.daemon()
	stdout, stderr, status := l.run(l.client("-port", "22", "-time", "5", gateIP))
	text, ok := strings.CutPrefix(stderr, "knockclient: warning: the host answered on ")
	if status != 0 || stdout != "" || !ok || strings.Count(text, "\n") != 1 || !strings.Contains(text, strconv.Itoa(ports[0])) {
		t.Errorf("knockclient: status %d, stdout %q, stderr %q; want a warning that names port %d", status, stdout, stderr, ports[0])
	}
	d.next("rule opened")
	eventually(t, "the last knock", func() bool { return len(l.seen()) >= len(ports) })
	if diff := cmp.Diff(words(ports), l.seen()); diff != "" {
		t.Errorf("ports in the log (-want +got):\n%s", diff)
	}

	l.knock("-quiet", "-port", "22", "-time", "5")
}

// Also a slow knock is one SYN a port: the kernel would send the second one to a
// port that drops a second after the first.
func TestSlowKnock(t *testing.T) {
	t.Parallel()
	for _, delay := range []int{300, 700, 1200} {
		t.Run(fmt.Sprint(delay), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, firewallKind{})
			l.knock("-port", "22", "-time", "5", "-delay", strconv.Itoa(delay))
			if got := l.logged(); got != 8 {
				t.Errorf("the firewall saw %d packets, want 8", got)
			}
			eventually(t, "the last knock", func() bool { return len(l.seen()) >= 8 })
			if diff := cmp.Diff(words(l.sequence("-port", "22", "-time", "5")), l.seen()); diff != "" {
				t.Errorf("ports in the log (-want +got):\n%s", diff)
			}
		})
	}
}

// sent counts the TCP packets that have left the laptop, or would have.
func (l *lab) sent() (packets int) {
	l.t.Helper()
	if _, err := fmt.Sscanf(l.laptop.in("sh", "-c", "iptables-save -c | grep 'OUTPUT -p tcp'"), "[%d:", &packets); err != nil {
		l.t.Fatal(err)
	}
	return packets
}

// Without a way to the host nothing leaves, not even the first knock.
func TestNoRoute(t *testing.T) {
	t.Parallel()
	l := newLab(t, firewallKind{})
	l.laptop.in("iptables", "-A", "OUTPUT", "-p", "tcp")
	l.laptop.in("ip", "route", "add", "unreachable", "203.0.113.0/24")
	l.laptop.in("ip", "route", "add", "prohibit", "100.65.0.0/16")
	for _, host := range []string{"198.51.100.1", "203.0.113.1", "100.65.0.1"} {
		for _, args := range [][]string{nil, {"-ip", laptopIP}} {
			stdout, stderr, status := l.run(l.client(append(args, "-port", "22", host)...))
			if status != 1 || stdout != "" || !strings.HasPrefix(stderr, "knockclient: error: no way to "+host+": ") {
				t.Errorf("knockclient %q %s: status %d, stdout %q, stderr %q; want status 1 and an error", args, host, status, stdout, stderr)
			}
		}
	}
	if got := l.sent(); got != 0 {
		t.Errorf("%d packets have left, want none", got)
	}
	// The count counts.
	l.knock("-port", "22")
	if got := l.sent(); got != 8 {
		t.Errorf("a knock was %d packets, want 8", got)
	}
}
