package test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// newCheckedLab makes a lab behind the example's firewall, which has logged three knocks.
func newCheckedLab(t *testing.T) *lab {
	t.Helper()
	needPrograms(t, "ip6tables:iptables", "iptables-legacy:iptables", "nft:nftables")
	l := newLab(t, firewallKind{})
	r := firewallScripts["iptables"].try(l.gate, "-p", l.prefix)
	r.answer("yes\n")
	r.end(0)
	l.tap(laptopIP, 745, 800, 1000)
	eventually(t, "the knocks in the log", func() bool { return l.has(l.log, 1000) })
	return l
}

// check runs knockdaemon -check at the gate. In what it says, the lab's own names are replaced.
func (l *lab) check(args ...string) (stdout, stderr string, status int) {
	l.t.Helper()
	stdout, stderr, status = l.run(l.daemonCommand(append([]string{"-check", "-output", "text", "-allow-ports", "22"}, args...)...))
	return strings.NewReplacer(l.prefix, "DENY ", l.dir, "DIR").Replace(stdout), stderr, status
}

// A good firewall has no fault, and looking at it changes nothing, with a daemon and without.
func TestCheckOfGoodFirewall(t *testing.T) {
	t.Parallel()
	l := newCheckedLab(t)
	want := []string{
		`ok: the firewall drops TCP 745..1000 and logs it with prefix "DENY "`,
		`ok: knockdaemon will put its jump to KNOCK at the top of INPUT`,
		`ok: TCP 22 is closed to those who have not knocked`,
		`ok: established connections to TCP 22 are kept`,
		`ok: TCP 22 is closed to those who have not knocked, over IPv6`,
		`ok: no program listens on a knock port`,
		`ok: the log "DIR/knock.log" can be read, and only root can write to it`,
		`ok: "DIR/knock.log" holds 3 packets to knock ports, logged with prefix "DENY ", AGE`,
		`ok: the state directory "DIR/state" will be made`,
	}
	look := func(runs string) {
		t.Helper()
		before := l.rules()
		stdout, stderr, status := l.check()
		if status != 0 || stderr != "" {
			t.Errorf("%s: status %d, stderr %q; want status 0 and nothing\n%s", runs, status, stderr, stdout)
		}
		var got []string
		for line := range strings.Lines(stdout) {
			switch {
			case strings.HasPrefix(line, "ok: iptables v"), strings.Contains(line, "xt_time"): // of this machine
			default:
				line, _, _ = strings.Cut(strings.TrimSuffix(line, "\n"), ", the newest ")
				got = append(got, line)
			}
		}
		if diff := cmp.Diff(strings.Split(strings.ReplaceAll(strings.Join(want, "\n"), ", AGE", ""), "\n"), got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", runs, diff)
		}
		l.wantBefore(before)
	}
	look("before the daemon")
	if _, err := os.Stat(filepath.Join(l.dir, "state")); !os.IsNotExist(err) {
		t.Errorf("the state directory was made: %v", err)
	}
	d := l.daemon("-allow-ports", "22")
	want[1] = want[2]
	want[2] = `ok: connections to TCP 22 come to the chain KNOCK`
	want[8] = `ok: the state directory "DIR/state" can be written, and has room`
	want = append(want, fmt.Sprintf("note: knockdaemon runs (process %d)", d.cmd.Process.Pid))
	look("beside the daemon")
	d.stop()
}

// A fault is something that is wrong with a gate, and all that is said of it.
type fault struct {
	name string
	sh   string   // what makes it
	undo string   // beyond the rules of IPv4
	args []string // of knockdaemon
	want string
}

// Each fault by itself is all that is found.
func TestCheckFindsFault(t *testing.T) {
	t.Parallel()
	l := newCheckedLab(t)
	const ports, syns = "-p tcp --dport 745:1000", "-p tcp -m tcp --dport 745:1000 --tcp-flags FIN,SYN,RST,ACK SYN"
	faults := []fault{
		{
			name: "a log that nobody writes", args: []string{"-log", writeTemp(t, l.dir, "empty.log", "", 0o640)},
			want: `problem: the firewall has logged 3 packets, and "DIR/empty.log" holds none of them
  fix: this is a network namespace (a container, say): the kernel logs for it only with sysctl net.netfilter.nf_log_all_netns=1 on the host
`,
		},
		{name: "no LOG", sh: "iptables -D INPUT 7", want: `problem: TCP 745..1000 is not logged, so no knock is seen
  fix: iptables -I INPUT 7 -p tcp --syn --dport 745:1000 -j LOG --log-prefix "DENY "
`},
		{
			name: "another prefix", sh: "iptables -R INPUT 7 " + ports + " --syn -j LOG --log-prefix 'OTHER '",
			want: `problem: TCP 745..1000 is logged with prefix "OTHER ", and log-prefix is "DENY ", by INPUT rule 7 (` + syns + ` -j LOG --log-prefix "OTHER ")
  fix: give that rule --log-prefix "DENY ", or set log-prefix = "OTHER "
`,
		},
		{
			name: "a limit", sh: "iptables -R INPUT 7 " + ports + " --syn -m limit --limit 3/min -j LOG --log-prefix '" + l.prefix + "'",
			want: "problem: not every packet to TCP 745..1000 is logged, for INPUT rule 7 (" + syns + ` -m limit --limit 3/min -j LOG --log-prefix "DENY ") counts them: one knock that is missing spoils the whole sequence
  fix: take the limit out, or count each source by itself: -m hashlimit --hashlimit-name knock --hashlimit-mode srcip --hashlimit-burst 16 --hashlimit-upto 60/min
`,
		},
		{
			name: "REJECT in place of DROP", sh: "iptables -R INPUT 8 " + ports + " -j REJECT",
			want: `problem: TCP 745..1000 is refused by INPUT rule 8 (-p tcp -m tcp --dport 745:1000 -j REJECT --reject-with icmp-port-unreachable): the answer tells strangers of this host
  fix: use DROP there in place of REJECT
`,
		},
		{
			name: "ACCEPT in place of DROP", sh: "iptables -R INPUT 8 " + ports + " -j ACCEPT",
			want: `problem: TCP 745..1000 is let in by INPUT rule 8 (-p tcp -m tcp --dport 745:1000 -j ACCEPT): what answers there tells strangers of this host
  fix: drop the knock ports before that (examples/firewall.sh does)
`,
		},
		{
			name: "a drop above the LOG", sh: "iptables -I INPUT 7 -i eth0 -p tcp -j DROP",
			want: "problem: INPUT rule 7 (-i eth0 -p tcp -j DROP) drops TCP 745..1000 before it is logged\n  fix: put INPUT rule 8 (" + syns +
				" -m hashlimit --hashlimit-upto 100/sec --hashlimit-burst 200 --hashlimit-mode srcip --hashlimit-name knock " +
				"--hashlimit-htable-size 65536 --hashlimit-htable-max 262144 --hashlimit...) above it (examples/firewall.sh does)\n",
		},
		{
			name: "a drop above the jump", sh: "iptables -N KNOCK; iptables -A INPUT -p tcp -j DROP; iptables -A INPUT -j KNOCK",
			want: `problem: INPUT rule 9 (-p tcp -j DROP) drops TCP 22 before the jump to KNOCK: a knock opens nothing
  fix: iptables -D INPUT 10: knockdaemon puts a jump of its own at the top
`,
		},
		{name: "connections that end", sh: "iptables -D INPUT 2", want: `problem: established connections to TCP 22 are cut off by the policy of INPUT when the port closes again
  fix: iptables -I INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
`},
		{name: "an open port", sh: "iptables -A INPUT -p tcp --dport 20:30 -j ACCEPT", want: `problem: TCP 22 is open to everybody, by INPUT rule 9 (-p tcp -m tcp --dport 20:30 -j ACCEPT): knocking protects nothing
  fix: close it once a knock has let you in (examples/firewall.sh without -k does)
`},
		{name: "IPv6", sh: "ip6tables -P INPUT ACCEPT", undo: "ip6tables -P INPUT DROP", want: `problem: over IPv6 TCP 22 is open to everybody, by the policy of INPUT: knocking protects IPv4 alone
  fix: close it there too (examples/firewall.sh does)
`},
		{name: "a second firewall", sh: "iptables-legacy -P INPUT DROP", undo: "iptables-legacy -P INPUT ACCEPT", want: `problem: iptables-legacy has rules too, and does not let TCP 22 in, whatever a knock opens: the policy of INPUT
  fix: flush the rules of one of them, or name the one that is meant with iptables = iptables-legacy
`},
		{name: "a log that everybody writes", sh: "chmod 666 " + l.log, undo: "chmod 640 " + l.log, want: `problem: everybody can write to the log "DIR/knock.log" (mode 0666), and so forge knocks
  fix: chmod o-w DIR/knock.log, and have the logger make it so
`},
		{
			name: "another head", args: []string{"-log-head", "dmesg"},
			want: `problem: "DIR/knock.log" holds 3 packets to knock ports whose lines begin as those of log-head = syslog, and log-head is dmesg
  fix: set log-head = syslog
`,
		},
	}
	const forwarded = "22=" + innerIP + ":22"
	faults = append(faults, fault{
		name: "a kernel that does not forward", sh: "sysctl -q -w net.ipv4.ip_forward=0", args: []string{"-forward", forwarded},
		want: `problem: the kernel forwards nothing (net.ipv4.ip_forward is 0): what a knock forwards gets nowhere
  fix: sysctl -w net.ipv4.ip_forward=1, and the same in a file of /etc/sysctl.d
`,
	}, fault{
		name: "a FORWARD that stops answers", sh: "sysctl -q -w net.ipv4.ip_forward=1; iptables -P FORWARD DROP", undo: "sysctl -q -w net.ipv4.ip_forward=0",
		args: []string{"-forward", forwarded},
		want: `problem: answers to what is forwarded from TCP 22 are stopped by the policy of FORWARD: forwarding does not work
  fix: iptables -I FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
`,
	}, fault{
		name: "sequences that nothing logs", args: []string{"-conf", writeTemp(t, l.dir, "sequences.conf", l.daemonConf()+
			"[door]\nsequence = 7000,7002:udp,8000,7001:udp\nopen = 22/tcp\n", 0o600)},
		want: `problem: TCP 7000, 8000 is not logged, so no knock is seen
  fix: iptables -A INPUT -p tcp --syn -m multiport --dports 7000,8000 -j LOG --log-prefix "DENY "
problem: UDP 7001..7002 is not logged, so no knock is seen
  fix: iptables -A INPUT -p udp --dport 7001:7002 -j LOG --log-prefix "DENY "
`,
	}, fault{
		name: "sections that name what is not there", args: []string{"-conf", writeTemp(t, l.dir, "sections.conf", l.daemonConf()+
			"[once]\none_time_sequences = "+l.dir+"/none\ncommand = /nowhere/tool %IP%\n[key ann]\npad = "+l.dir+"/pad\n", 0o600)},
		want: `problem: [key ann]: failed to open the one-time pad: open DIR/pad: no such file or directory
  fix: make a new one (knockclient -make-pad), for both ends
problem: [once]: failed to open the sequences: open DIR/none: no such file or directory
  fix: write one, with a sequence a line, each behind a blank
problem: [once]: a command cannot run: failed to look at a program: stat /nowhere/tool: no such file or directory
  fix: install it, or give its path
`,
	})
	saved := l.gate.in("iptables-save", "-c")
	for _, f := range faults {
		l.gate.in("sh", "-c", f.sh)
		l.wantFault(f)
		l.gate.must(saved, "ip", "netns", "exec", l.gate.name, "iptables-restore", "-c")
		l.gate.in("sh", "-c", f.undo)
	}

	listener := l.listen(":800")
	l.wantFault(fault{name: "a service", want: `problem: a program listens on TCP 800, among the knock ports 745..1000: nobody can reach it, or knocks there are answered
  fix: move it, or set another port-min at both ends and in the firewall (ss -tlnp names the program)
`})
	listener.Close()
	if stdout, stderr, status := l.check("-quiet"); stdout+stderr != "" || status != 0 {
		t.Errorf("with all mended: status %d, %s%s", status, stdout, stderr)
	}
}

// wantFault runs -check -quiet.
func (l *lab) wantFault(f fault) {
	l.t.Helper()
	stdout, stderr, status := l.check(append([]string{"-quiet"}, f.args...)...)
	if diff := cmp.Diff(f.want, stdout); diff != "" {
		l.t.Errorf("%s (-want +got)\n%s", f.name, diff)
	}
	found := "1 problem found"
	if n := strings.Count(f.want, "problem: "); n > 1 {
		found = fmt.Sprintf("%d problems found", n)
	}
	if status != 1 || stderr != "knockdaemon: error: "+found+"\n" {
		l.t.Errorf("%s: status %d, stderr %q; want status 1 and %s", f.name, status, stderr, found)
	}
}

// listen takes a port at the gate.
func (l *lab) listen(address string) (listener net.Listener) {
	l.t.Helper()
	l.gate.enter(func() (err error) {
		listener, err = net.Listen("tcp", address)
		return err
	})
	l.t.Cleanup(func() { listener.Close() })
	return listener
}

// The example for nft is not followed rule by rule, and is no problem.
func TestCheckOfNFTFirewall(t *testing.T) {
	t.Parallel()
	needPrograms(t, "nft:nftables")
	l := newLab(t, firewallKind{noLog: true})
	l.gate.in("nft", "flush", "ruleset")
	r := firewallScripts["nft"].try(l.gate, "-p", l.prefix)
	r.answer("yes\n")
	r.end(0)
	l.tap(laptopIP, 745, 800, 1000)
	eventually(t, "the knocks in the log", func() bool { return l.has(l.log, 1000) })
	stdout, stderr, status := l.check()
	if status != 0 || stderr != "" {
		t.Errorf("status %d, stderr %q; want status 0 and nothing", status, stderr)
	}
	for _, want := range []string{
		"note: nft's own table ip knock looks at what comes in too",
		"ok: nft's own table ip knock logs with prefix \"DENY \"\n",
		"ok: \"DIR/knock.log\" holds 3 packets to knock ports",
		"note: nft's own table ip6 knock looks at what comes in too",
		"note: perhaps over IPv6 TCP 22 is open to everybody, by the policy of INPUT: ",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("not said: %s", want)
		}
	}
	if t.Failed() {
		t.Log(stdout)
	}
}

// Where the daemon does not read a log, nothing is said of one, and all that the other
// feed needs is looked at.
func TestCheckOfFeeds(t *testing.T) {
	t.Parallel()
	needPrograms(t, "setpriv:util-linux")
	const unlogged = "problem: TCP 745..1000 is not %s, so no knock is seen\n  fix: iptables -I INPUT 4 -p tcp --syn --dport 745:1000 -j %s\n"
	for f, tt := range map[feed]struct {
		good    []string
		mute    string // what is said when the rule for the feed is gone
		without string // a capability
		lacks   string
	}{
		fromInterface: {
			[]string{"ok: the firewall drops TCP 745..1000\n", "ok: the interface \"eth0\" is up\n", "ok: packets may be taken from an interface here; "},
			"", "net_raw", "problem: failed to open a packet socket (it takes CAP_NET_RAW): operation not permitted\n",
		},
		fromNFLOG: {
			[]string{"ok: the firewall drops TCP 745..1000 and sends it to NFLOG group 5\n", "ok: nobody has NFLOG group 5\n"},
			fmt.Sprintf(unlogged, "sent to NFLOG group 5", "NFLOG --nflog-group 5"), "", "",
		},
		fromKmsg: {
			[]string{"ok: the firewall drops TCP 745..1000 and logs it with prefix \"DENY \"\n", "ok: the kernel's log can be read; ", "note: this is a network namespace "},
			fmt.Sprintf(unlogged, "logged", "LOG --log-prefix \"DENY \""), "syslog", "problem: failed to read the kernel's log: open /dev/kmsg: operation not permitted\n",
		},
	} {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, firewallKind{feed: f})
			l.gate.in("iptables", "-D", "INPUT", "2")
			l.gate.in("iptables", "-I", "INPUT", "1", "-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT")
			l.gate.in("ip6tables", "-P", "INPUT", "DROP")
			stdout, stderr, status := l.check()
			if status != 0 || stderr != "" {
				t.Errorf("status %d, stderr %q; want status 0 and nothing\n%s", status, stderr, stdout)
			}
			for _, want := range tt.good {
				if !strings.Contains(stdout, want) {
					t.Errorf("not said: %s\n%s", want, stdout)
				}
			}
			if strings.Contains(stdout, "knock.log") {
				t.Errorf("a log is spoken of:\n%s", stdout)
			}
			if tt.without != "" {
				l.wantLack(tt.without, tt.lacks)
			}
			if tt.mute != "" {
				l.gate.in("iptables", "-D", "INPUT", "3")
				l.gate.in("iptables", "-I", "INPUT", "3", "-p", "icmp", "-j", "DROP")
				l.wantFault(fault{name: "no rule for the feed", want: tt.mute})
			}
		})
	}
}

// wantLack runs -check without a capability.
func (l *lab) wantLack(capability, want string) {
	l.t.Helper()
	args := l.daemonCommand("-check", "-quiet", "-output", "text", "-allow-ports", "22").Args[4:]
	stdout, _, status := l.run(l.gate.command("setpriv", append([]string{"--bounding-set", "-" + capability}, args...)...))
	if status != 1 || !strings.HasPrefix(stdout, want) || strings.Count(stdout, "problem: ") != 1 {
		l.t.Errorf("without %s: status %d, %s", capability, status, stdout)
	}
}
