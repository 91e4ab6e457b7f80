package test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// A firewallScript is one of the two examples that make a firewall.
type firewallScript struct {
	path string
	// before makes the rules that the script finds.
	before []string
	// rules prints all that the script could have touched.
	rules []string
}

var firewallScripts = map[string]firewallScript{
	"iptables": {
		path: "firewall.sh",
		before: []string{
			"iptables -P FORWARD DROP",
			"iptables -A INPUT -p tcp --dport 9 -m comment --comment 'two words' -j DROP",
			"iptables -N theirs", "iptables -A theirs -s 198.51.100.7 -j DROP", "iptables -A INPUT -j theirs",
			"ip6tables -A INPUT -p tcp --dport 9 -j DROP",
		},
		rules: []string{"iptables-save", "ip6tables-save"},
	},
	"nft": {
		path:   "firewall-nft.sh",
		before: []string{"nft 'add table inet theirs; add chain inet theirs in { type filter hook input priority 5; }; add rule inet theirs in tcp dport 9 drop'"},
		rules:  []string{"nft list ruleset"},
	},
}

// changing is what differs between two listings of the same rules.
var changing = regexp.MustCompile(`(?m)^#.*\n|\[\d+:\d+\]`)

// sandbox makes a sandbox with rules, and gives their snapshot.
func (f firewallScript) sandbox(t *testing.T) (s sandbox, before string) {
	t.Helper()
	s = newSandbox(t)
	for _, command := range f.before {
		s.in("sh", "-c", command)
	}
	return s, f.snapshot(s)
}

// snapshot prints the rules in the sandbox.
func (f firewallScript) snapshot(s sandbox) string {
	s.t.Helper()
	var all strings.Builder
	for _, command := range f.rules {
		all.WriteString(changing.ReplaceAllString(s.in("sh", "-c", command), ""))
	}
	return all.String()
}

// A trial is a run of a firewall script that waits for an answer.
type trial struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *watched
	tmp   string
}

// watched is an output that is read while it grows.
type watched struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.Write(p)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.String()
}

// try starts the script and returns when the new rules are in force.
func (f firewallScript) try(s sandbox, args ...string) trial {
	s.t.Helper()
	return f.tryAs(s, append([]string{filepath.Join(examples, f.path)}, args...)...)
}

func (f firewallScript) tryAs(s sandbox, command ...string) trial {
	s.t.Helper()
	r := trial{s.t, s.command(command[0], command[1:]...), nil, new(watched), s.t.TempDir()}
	r.cmd.Env = append(os.Environ(), "TMPDIR="+r.tmp)
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	stdin, err := r.cmd.StdinPipe()
	if err == nil {
		r.stdin = stdin
		err = r.cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "the rules to be in force", func() bool { return strings.Contains(r.out.String(), "in force") })
	return r
}

// end waits for the script's end and wants an exit status; -1 is death by a signal.
func (r trial) end(status int) {
	r.t.Helper()
	_ = r.cmd.Wait() // the status says more
	if got := r.cmd.ProcessState.ExitCode(); got != status {
		r.t.Errorf("exit status %d, want %d:\n%s", got, status, r.out.String())
	}
}

func (r trial) answer(text string) {
	r.t.Helper()
	if _, err := io.WriteString(r.stdin, text); err != nil {
		r.t.Fatal(err)
	}
}

func (r trial) signal(s syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

// back gives the script that takes a kept firewall back.
func (r trial) back() string {
	r.t.Helper()
	paths, err := filepath.Glob(filepath.Join(r.tmp, "firewall.*", "back"))
	if err != nil || len(paths) != 1 {
		r.t.Fatalf("the ways back: %q, %v; want one", paths, err)
	}
	return paths[0]
}

// Whatever happens but a yes takes the new rules back.
func TestFirewallIsTakenBack(t *testing.T) {
	t.Parallel()
	needPrograms(t, "iptables:iptables", "nft:nftables", "ip:iproute2", "setsid:util-linux", "script:bsdutils")
	tests := map[string]struct {
		args   []string
		do     func(trial)
		status int
	}{
		"no":         {nil, func(r trial) { r.answer("no\n") }, 1},
		"empty line": {nil, func(r trial) { r.answer("\n") }, 1},
		"yes, but":   {nil, func(r trial) { r.answer("yes, but\n") }, 1},
		"no answer":  {[]string{"-t", "1"}, func(trial) {}, 1},
		"nobody":     {[]string{"-t", "1"}, func(r trial) { r.stdin.Close() }, 1},
		"HUP":        {nil, func(r trial) { r.signal(syscall.SIGHUP) }, 1},
		"INT":        {nil, func(r trial) { r.signal(syscall.SIGINT) }, 1},
		"TERM":       {nil, func(r trial) { r.signal(syscall.SIGTERM) }, 1},
		"KILL":       {[]string{"-t", "2"}, func(r trial) { r.signal(syscall.SIGKILL) }, -1},
	}
	for kind, f := range firewallScripts {
		for name, tt := range tests {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				s, before := f.sandbox(t)
				r := f.try(s, tt.args...)
				if during := f.snapshot(s); during == before {
					t.Error("the script changed nothing")
				}
				tt.do(r)
				r.end(tt.status)
				eventually(t, "the old rules", func() bool { return f.snapshot(s) == before })
				if left, err := os.ReadDir(r.tmp); tt.status == 1 && (err != nil || len(left) > 0) {
					t.Errorf("left %v, %v", left, err)
				}
			})
		}
	}
}

// A chain that goes away during the trial, as knockdaemon's does when it stops, does
// not keep the rest from being taken back.
func TestFirewallIsTakenBackWithoutChain(t *testing.T) {
	t.Parallel()
	needPrograms(t, "iptables:iptables", "ip:iproute2")
	f := firewallScripts["iptables"]
	s, before := f.sandbox(t)
	s.in("sh", "-c", "iptables -N KNOCK; iptables -I INPUT -m comment --comment knockdaemon -j KNOCK; iptables -N ban; iptables -I INPUT -j ban")
	r := f.try(s, "-t", "4")
	s.in("sh", "-c", "iptables -D INPUT -m comment --comment knockdaemon -j KNOCK; iptables -X KNOCK; iptables -X ban")
	r.end(1)
	eventually(t, "the old rules, without the chains", func() bool { return f.snapshot(s) == before })
}

// The terminal goes away with the connection: here script(1) holds it, and is
// killed.
func TestFirewallIsTakenBackWithoutTerminal(t *testing.T) {
	t.Parallel()
	needPrograms(t, "iptables:iptables", "nft:nftables", "ip:iproute2", "setsid:util-linux", "script:bsdutils")
	for kind, f := range firewallScripts {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s, before := f.sandbox(t)
			r := f.tryAs(s, "script", "--quiet", "--flush", "--command", filepath.Join(examples, f.path), os.DevNull)
			r.signal(syscall.SIGKILL)
			r.end(-1)
			eventually(t, "the old rules", func() bool { return f.snapshot(s) == before })
		})
	}
}

// A yes keeps the rules, and the way back that is then named works, also twice.
func TestFirewallIsKept(t *testing.T) {
	t.Parallel()
	needPrograms(t, "iptables:iptables", "nft:nftables", "ip:iproute2", "setsid:util-linux")
	for kind, f := range firewallScripts {
		for name, do := range map[string]func(trial){
			"yes":  func(r trial) { r.answer("yes\n") },
			"USR1": func(r trial) { r.signal(syscall.SIGUSR1) },
			"USR1 with nobody there": func(r trial) {
				r.stdin.Close()
				r.signal(syscall.SIGUSR1)
			},
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				s, before := f.sandbox(t)
				r := f.try(s)
				during := f.snapshot(s)
				do(r)
				r.end(0)
				eventually(t, "the watchdog to end", func() bool { return s.must("", "ip", "netns", "pids", s.name) == "" })
				if diff := cmp.Diff(during, f.snapshot(s)); diff != "" {
					t.Errorf("the rules were not kept (-during +after):\n%s", diff)
				}
				for range 2 {
					s.in("sh", r.back())
					if diff := cmp.Diff(before, f.snapshot(s)); diff != "" {
						t.Errorf("the way back does not lead back (-before +after):\n%s", diff)
					}
				}
			})
		}
	}
}

// A jump of a running knockdaemon outlives the change, and stays the first rule.
func TestFirewallKeepsKnockChain(t *testing.T) {
	t.Parallel()
	needPrograms(t, "iptables:iptables", "ip:iproute2")
	s := newSandbox(t)
	s.in("iptables", "-N", "KNOCK")
	s.in("iptables", "-I", "INPUT", "-m", "comment", "--comment", "knockdaemon", "-j", "KNOCK")
	r := firewallScripts["iptables"].try(s)
	r.answer("yes\n")
	r.end(0)
	want := "-P INPUT DROP\n-A INPUT -m comment --comment knockdaemon -j KNOCK\n-A INPUT -i lo -j ACCEPT\n"
	if got := s.in("iptables", "-S", "INPUT"); !strings.HasPrefix(got, want) {
		t.Errorf("INPUT is\n%swant it to begin with\n%s", got, want)
	}
}

// The rules do what they say, to packets.
func TestFirewallRules(t *testing.T) {
	t.Parallel()
	needPrograms(t, "iptables:iptables", "nft:nftables", "ip:iproute2", "setsid:util-linux")
	logNamespaces(t)
	for kind, f := range firewallScripts {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			host, peer := newSandbox(t), newSandbox(t)
			connect(host, peer)
			for _, port := range []string{"22", "80", "800"} {
				host.serve(":" + port)
				peer.serve(":" + port)
			}
			log := openKernelLog(t)
			prefix := fmt.Sprintf("RULES%d%s ", os.Getpid(), kind)
			r := f.try(host, "-k", "22,8080", "-p", prefix)

			for _, tt := range []struct {
				what    string
				from    sandbox
				address string
				want    string
			}{
				{"kept", peer, "192.0.2.1:22", opened},
				{"kept, nobody listens", peer, "192.0.2.1:8080", refused},
				{"other", peer, "192.0.2.1:80", dropped},
				{"knock", peer, "192.0.2.1:800", dropped},
				{"knock, first", peer, "192.0.2.1:745", dropped},
				{"knock, last", peer, "192.0.2.1:1000", dropped},
				{"below the knocks", peer, "192.0.2.1:744", dropped},
				{"above the knocks", peer, "192.0.2.1:1001", dropped},
				{"loopback", host, "127.0.0.1:80", opened},
				{"loopback, knock", host, "127.0.0.1:800", opened},
				{"established", host, "192.0.2.2:80", opened},
				{"IPv6 kept", peer, "[fd00::1]:22", opened},
				{"IPv6 other", peer, "[fd00::1]:80", dropped},
				{"IPv6 knock port", peer, "[fd00::1]:800", dropped},
				{"IPv6 loopback", host, "[::1]:80", opened},
				{"IPv6 established", host, "[fd00::2]:80", opened},
			} {
				if got := tt.from.try(tt.address); got != tt.want {
					t.Errorf("%s: %s is %s, want %s", tt.what, tt.address, got, tt.want)
				}
			}
			if !peer.echoes("192.0.2.1") {
				t.Error("no answer to an ICMP echo request")
			}
			// The kernel logs before it drops: all lines are there by now. On a busy machine it may have sent a SYN again.
			if diff := cmp.Diff([]string{"800", "745", "1000"}, slices.Compact(log.knocks(prefix))); diff != "" {
				t.Errorf("logged ports (-want +got):\n%s", diff)
			}
			r.answer("no\n")
			r.end(1)
			if got := peer.try("192.0.2.1:80"); got != opened {
				t.Errorf("taken back, port 80 is %s", got)
			}
		})
	}
}

// An IPv6 that is left alone is left alone, and said so.
func TestFirewallLeavesIPv6(t *testing.T) {
	t.Parallel()
	needPrograms(t, "iptables:iptables", "nft:nftables", "ip:iproute2", "setsid:util-linux")
	for kind, f := range firewallScripts {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			host, peer := newSandbox(t), newSandbox(t)
			connect(host, peer)
			host.serve(":80")
			r := f.try(host, "-4")
			if !strings.Contains(r.out.String(), "IPv6 is left as it is") {
				t.Errorf("no word of IPv6:\n%s", r.out.String())
			}
			if got := peer.try("[fd00::1]:80"); got != opened {
				t.Errorf("IPv6 is %s, want %s", got, opened)
			}
			if got := peer.try("192.0.2.1:80"); got != dropped {
				t.Errorf("IPv4 is %s, want %s", got, dropped)
			}
			r.answer("no\n")
			r.end(1)
		})
	}
}

// What is printed by -n is valid and is not applied.
func TestFirewallPrints(t *testing.T) {
	t.Parallel()
	needPrograms(t, "iptables:iptables", "nft:nftables", "ip:iproute2")
	for kind, f := range firewallScripts {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t)
			before := f.snapshot(s)
			rules := s.in(filepath.Join(examples, f.path), "-n", "-k", "22")
			if diff := cmp.Diff(before, f.snapshot(s)); diff != "" {
				t.Errorf("-n changed rules (-before +after):\n%s", diff)
			}
			for _, want := range []string{"22", "DENY ", "IPv4", "IPv6"} {
				if !strings.Contains(rules, want) {
					t.Errorf("-n lacks %q:\n%s", want, rules)
				}
			}
		})
	}
}

// The nft firewall stands where iptables is not in use, and says so elsewhere.
func TestFirewallNFTRefusesIPTables(t *testing.T) {
	t.Parallel()
	needPrograms(t, "iptables:iptables", "nft:nftables", "ip:iproute2")
	s := newSandbox(t)
	s.in("iptables", "-A", "INPUT", "-j", "ACCEPT")
	before := s.in("nft", "list", "ruleset")
	out, err := s.command(filepath.Join(examples, "firewall-nft.sh")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "use firewall.sh") {
		t.Errorf("%v, %s", err, out)
	}
	if diff := cmp.Diff(before, s.in("nft", "list", "ruleset")); diff != "" {
		t.Errorf("rules (-before +after):\n%s", diff)
	}
}

// connect joins two sandboxes by a cable: 192.0.2.1 and fd00::1, ....2 and ...::2.
func connect(a, b sandbox) {
	a.t.Helper()
	a.must("", "ip", "link", "add", "eth0", "netns", a.name, "type", "veth", "peer", "name", "eth0", "netns", b.name)
	for i, s := range []sandbox{a, b} {
		s.in("ip", "address", "add", fmt.Sprintf("192.0.2.%d/24", i+1), "dev", "eth0")
		s.in("ip", "address", "add", fmt.Sprintf("fd00::%d/64", i+1), "dev", "eth0", "nodad")
		s.in("ip", "link", "set", "eth0", "up")
	}
}

// echoes reports whether an ICMP echo request is answered.
func (s sandbox) echoes(address string) (answered bool) {
	s.t.Helper()
	s.enter(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		limit := unix.Timeval{Sec: 2}
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
			return err
		}
		var to unix.SockaddrInet4
		if _, err := fmt.Sscanf(address, "%d.%d.%d.%d", &to.Addr[0], &to.Addr[1], &to.Addr[2], &to.Addr[3]); err != nil {
			return err
		}
		request := []byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0} // echo request, its checksum, id 0, number 0
		if err := unix.Sendto(fd, request, 0, &to); err != nil {
			return err
		}
		var packet [64]byte
		n, _, err := unix.Recvfrom(fd, packet[:], 0)
		answered = err == nil && n >= 28 && packet[20] == 0 // echo reply, behind the IP header
		return nil
	})
	return answered
}

// A kernelLog reads what the kernel has logged since it was opened.
type kernelLog struct {
	t  *testing.T
	fd int
}

func openKernelLog(t *testing.T) kernelLog {
	t.Helper()
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err == nil {
		_, err = unix.Seek(fd, 0, unix.SEEK_END)
	}
	if err != nil {
		t.Fatalf("failed to open the kernel's log: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return kernelLog{t, fd}
}

var destination = regexp.MustCompile(` PROTO=TCP .*DPT=(\d+) `)

// knocks gives the destination ports of the lines with a prefix.
func (k kernelLog) knocks(prefix string) (ports []string) {
	k.t.Helper()
	record := make([]byte, 8192) // one for each read
	for {
		n, err := unix.Read(k.fd, record)
		switch err {
		case nil:
		case unix.EPIPE, unix.EINTR: // older records were overwritten; go on
			continue
		case unix.EAGAIN:
			return ports
		default:
			k.t.Fatalf("failed to read the kernel's log: %v", err)
		}
		_, message, _ := strings.Cut(string(record[:n]), ";")
		if match := destination.FindStringSubmatch(message); match != nil && strings.HasPrefix(message, prefix+"IN=") {
			ports = append(ports, match[1])
		}
	}
}
