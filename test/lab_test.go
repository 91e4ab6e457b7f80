package test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The addresses in a lab. The stranger is the laptop under its second address.
const (
	gateIP     = "192.0.2.1"
	laptopIP   = "192.0.2.2"
	strangerIP = "192.0.2.3"
)

// A lab is a gate with a firewall that feeds knocks to the daemon, a laptop that is
// joined to it by a cable, and, if the feed is the log, a logger that writes the
// kernel's lines to a file.
type lab struct {
	logger
	feed
	gate, laptop sandbox
	rsyslogd     int // its process
	iptables     string
	wrapper      string   // what the daemon runs in its place, if not empty
	env          []string // more of the daemon's environment
	bin          string   // where the commands are
	key          string   // the passphrase
	keyFile      string
}

// firewallKind says how the firewall of a gate is made. The zero firewallKind
// drops and logs the classic ports.
type firewallKind struct {
	feed     feed
	iptables string // the program, "iptables" if empty
	low      int    // the first knock port, 745 if 0
	noLog    bool   // something else logs
	verdict  string // on knock ports, "-j DROP" if empty
}

func newLab(t *testing.T, f firewallKind) *lab {
	t.Helper()
	needPrograms(t, "iptables:iptables", "ip:iproute2", "rsyslogd:rsyslog")
	logNamespaces(t)
	l := &lab{logger: newLogger(t, kmsg), feed: f.feed, iptables: f.iptables, bin: buildCommands(t)}
	if l.iptables == "" {
		l.iptables = "iptables"
	}
	l.key = "a long passphrase of " + strings.TrimSpace(l.prefix)
	l.keyFile = writeTemp(t, l.dir, "knock.key", l.key+"\n", 0o600)
	l.gate, l.laptop = newSandbox(t), newSandbox(t)
	connect(l.gate, l.laptop)
	l.laptop.in("ip", "address", "add", strangerIP+"/24", "dev", "eth0")
	for _, from := range []string{laptopIP, strangerIP} {
		// A port that nobody listens on answers: the cable works.
		eventually(t, "the cable", func() bool { return l.reach(from, 9) == refused })
	}
	l.closeFirewall(f)
	if f.feed == fromLog {
		l.startLog()
	}
	return l
}

// startLog has the kernel's lines written to the log from now on.
func (l *lab) startLog() {
	l.t.Helper()
	writeTemp(l.t, l.dir, filepath.Base(l.log), "", 0o640)
	l.rsyslogd = l.start()
}

// closeFirewall puts a firewall in force, in place of the one before.
func (l *lab) closeFirewall(f firewallKind) {
	l.t.Helper()
	if f.low == 0 {
		f.low = 745
	}
	if f.verdict == "" {
		f.verdict = "-j DROP"
	}
	rules := []string{
		"*filter", ":INPUT DROP",
		"-A INPUT -i lo -j ACCEPT",
		"-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",
	}
	ports := fmt.Sprintf("-A INPUT -p tcp --dport %d:%d ", f.low, f.low+255)
	if target := f.feed.target(l.prefix); target != "" && !f.noLog {
		rules = append(rules, ports+target)
	}
	rules = append(rules, ports+f.verdict, "COMMIT", "")
	l.must(strings.Join(rules, "\n"), "ip", "netns", "exec", l.gate.name, l.iptables+"-restore")
}

// must runs a command anywhere with a standard input.
func (l *lab) must(stdin, name string, args ...string) string {
	l.t.Helper()
	return l.gate.must(stdin, name, args...)
}

// echo serves a port at the gate: it sends back what it gets.
func (l *lab) echo(port int) {
	l.t.Helper()
	l.gate.enter(func() error {
		listener, err := net.Listen("tcp4", net.JoinHostPort(gateIP, strconv.Itoa(port)))
		if err != nil {
			return err
		}
		l.t.Cleanup(func() { listener.Close() })
		go func() {
			for {
				c, err := listener.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					_, _ = io.Copy(c, c) // until the other end closes
				}()
			}
		}()
		return nil
	})
}

// connectTimeout is for less than one SYN: the kernel sends a second one after a
// second.
const connectTimeout = 700 * time.Millisecond

// dial connects from an address of the laptop's to a port of the gate's.
func (l *lab) dial(from string, port int, timeout time.Duration) (c net.Conn, err error) {
	l.t.Helper()
	l.laptop.enter(func() error {
		d := net.Dialer{Timeout: timeout, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err = d.Dial("tcp4", net.JoinHostPort(gateIP, strconv.Itoa(port)))
		return nil
	})
	return c, err
}

// reach says how such a connection ends.
func (l *lab) reach(from string, port int) string {
	l.t.Helper()
	c, err := l.dial(from, port, connectTimeout)
	var timeout net.Error
	switch {
	case err == nil:
		c.Close()
		return opened
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused
	case errors.As(err, &timeout) && timeout.Timeout():
		return dropped
	}
	l.t.Fatalf("failed to connect from %s to port %d: %v", from, port, err)
	return ""
}

// wantOpen waits for a port to be open; it is closed to nobody who is patient.
func (l *lab) wantOpen(from string, port int) {
	l.t.Helper()
	eventually(l.t, fmt.Sprintf("port %d to be open to %s", port, from), func() bool { return l.reach(from, port) == opened })
}

// wantClosed insists that a port does not answer.
func (l *lab) wantClosed(from string, port int) {
	l.t.Helper()
	if got := l.reach(from, port); got != dropped {
		l.t.Errorf("port %d is %s to %s, want %s", port, got, from, dropped)
	}
}

// tap sends one SYN to each port in turn, as a plain program would.
func (l *lab) tap(from string, ports ...int) {
	l.t.Helper()
	for _, port := range ports {
		if c, err := l.dial(from, port, 50*time.Millisecond); err == nil {
			c.Close()
			l.t.Errorf("port %d is open to %s", port, from)
		}
	}
}

// client makes a knockclient on the laptop.
func (l *lab) client(args ...string) *exec.Cmd {
	args = append([]string{"-key-file", l.keyFile}, args...)
	cmd := l.laptop.command(filepath.Join(l.bin, "knockclient"), args...)
	cmd.Env = append(os.Environ(), "HOME="+l.dir) // there is no configuration file
	return cmd
}

// run gives what a command says and its exit status. One that does not end is
// killed, which is status -1.
func (l *lab) run(cmd *exec.Cmd) (stdout, stderr string, status int) {
	l.t.Helper()
	var out, err strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &err
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	kill := time.AfterFunc(2*patience, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	_ = cmd.Wait() // the status says more
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

// knock runs a knockclient that has nothing to say.
func (l *lab) knock(args ...string) {
	l.t.Helper()
	if stdout, stderr, status := l.run(l.client(append(args, gateIP)...)); status != 0 || stdout+stderr != "" {
		l.t.Fatalf("knockclient %q: status %d, stdout %q, stderr %q; want status 0 and silence", args, status, stdout, stderr)
	}
}

// sequence gives the 8 ports of a knock, for the laptop if args do not say
// otherwise.
func (l *lab) sequence(args ...string) (ports []int) {
	l.t.Helper()
	stdout, stderr, status := l.run(l.client(append(args, "-test", gateIP)...))
	for word := range strings.FieldsSeq(stdout) {
		port, _ := strconv.Atoi(word)
		ports = append(ports, port)
	}
	if status != 0 || len(ports) != 8 || slices.Contains(ports, 0) {
		l.t.Fatalf("knockclient %q -test: status %d, stdout %q, stderr %q; want 8 ports", args, status, stdout, stderr)
	}
	return ports
}

// rules gives the gate's firewall, without what changes by itself.
func (l *lab) rules() string {
	l.t.Helper()
	return changing.ReplaceAllString(l.gate.in(l.iptables+"-save"), "")
}

// rule is a rule of the daemon's, as iptables-save prints it: with its end, or
// without.
var rule = regexp.MustCompile(`^-A KNOCK -s (\S+)/32 -p tcp -m tcp --dport (\d+)( -m time --datestop (\S+))? -m comment --comment knockdaemon -j ACCEPT\n$`)

// open gives "ADDRESS PORT" of each rule of the daemon's, the latest first.
func (l *lab) open() (rules []string) {
	l.t.Helper()
	for line := range strings.Lines(l.rules()) {
		if !strings.HasPrefix(line, "-A KNOCK ") {
			continue
		}
		words := rule.FindStringSubmatch(line)
		if words == nil {
			l.t.Fatalf("a rule of another form: %s", line)
		}
		rules = append(rules, words[1]+" "+words[2])
	}
	return rules
}

// ends gives when each rule that has an end stops matching.
func (l *lab) ends() map[string]time.Time {
	l.t.Helper()
	ends := map[string]time.Time{}
	for line := range strings.Lines(l.rules()) {
		words := rule.FindStringSubmatch(line)
		if words == nil || words[4] == "" {
			continue
		}
		last, err := time.Parse("2006-01-02T15:04:05", words[4])
		if err != nil {
			l.t.Fatalf("no time in %s", line)
		}
		ends[words[1]+" "+words[2]] = last.Add(time.Second) // the second named still matches
	}
	return ends
}

// knockRule finds the first rule for knock ports.
var knockRule = regexp.MustCompile(`^\[\d+:\d+\] -A INPUT -p tcp -m tcp --dport \d+:\d+ `)

// logged counts the packets to knock ports: those that the firewall has logged, or
// would have.
func (l *lab) logged() (packets int) {
	l.t.Helper()
	for line := range strings.Lines(l.gate.in(l.iptables+"-save", "-c")) {
		if knockRule.MatchString(line) {
			if _, err := fmt.Sscanf(line, "[%d:", &packets); err != nil {
				l.t.Fatalf("no counter in %s", line)
			}
			return packets
		}
	}
	l.t.Fatal("the firewall has no rule for knock ports")
	return 0
}
