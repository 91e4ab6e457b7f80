package test

import (
	"crypto/md5"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// debiansConf is knockd's configuration as Debian ships it.
func debiansConf(t *testing.T) string {
	t.Helper()
	const path = "/etc/knockd.conf"
	sandbox := sandbox{t: t}
	shipped := sandbox.must("", "dpkg-query", "--show", "--showformat=${Conffiles}", "knockd")
	b, err := os.ReadFile(path)
	if err != nil || !strings.Contains(shipped, fmt.Sprintf("%s %x", path, md5.Sum(b))) {
		t.Fatalf("%s is not as Debian ships it: %v", path, err)
	}
	return path
}

// withSyslog gives the commands of the gate a /dev of their own, in which the system's log is the test's, and says what
// that log is told.
func (l *lab) withSyslog() (before []string, told *watched) {
	l.t.Helper()
	address := filepath.Join(l.dir, "syslog")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Close() })
	told = new(watched)
	go func() {
		for b := make([]byte, 4096); ; {
			n, _, err := c.ReadFromUnix(b)
			if err != nil {
				return
			}
			_, _ = told.Write(append(b[:n:n], '\n'))
		}
	}()
	return []string{"-c", `mount -t tmpfs tmpfs /dev && mknod -m 666 /dev/null c 1 3 && ln -s "$0" /dev/log && exec "$@"`, address}, told
}

// Debian's own file, as it is, and Debian's knock: the daemon runs the commands, and tells the system's log.
func TestDebiansKnockdConf(t *testing.T) {
	t.Parallel()
	l := newSniffLab(t)
	l.echo(22)
	before := l.rules()
	args, told := l.withSyslog()
	d := l.follow(l.gate.command("sh", append(args, filepath.Join(l.bin, "knockdaemon"),
		"-conf", debiansConf(t), "-state-dir", filepath.Join(l.dir, "state"), "-output", "json")...))
	for _, section := range []string{"[openSSH", "[closeSSH"} {
		if !strings.Contains(d.out.String(), section+evenlySpaced) {
			t.Errorf("no warning of %s]", section)
		}
	}
	l.wantClosed(laptopIP, 22)

	l.knockWith(gateIP, "7000", "8000", "9000")
	if got := d.next("command started")["section"]; got != "openSSH" {
		t.Errorf("section %v", got)
	}
	l.wantOpen(laptopIP, 22)
	l.wantClosed(strangerIP, 22)
	if got := l.accepted(laptopIP, 22); got != 1 {
		t.Errorf("%d rules, want 1", got)
	}
	l.knockWith(gateIP, "9000", "8000", "7000")
	d.next("command started")
	l.wantClosed(laptopIP, 22)
	l.wantAccepted(laptopIP, 22, 0)

	l.knockWith(gateIP, "12345", "54321", "24680", "13579") // its program is not there
	d.next("knock accepted")
	failed := map[string]any{}
	eventually(t, "the command to fail", func() bool { return d.sees("command start failed", &failed) })
	if got, _ := failed["error"].(string); failed["section"] != "openHTTPS" || !strings.Contains(got, "no such file") {
		t.Errorf("%v", failed)
	}
	l.knockWith(gateIP, "7000", "8000", "9000")
	l.wantOpen(laptopIP, 22)
	l.knockWith(gateIP, "9000", "8000", "7000")
	l.wantAccepted(laptopIP, 22, 0)
	d.stop()
	l.wantBefore(before)
	for _, want := range []string{`knockdaemon[`, `"msg":"watching"`, `"section":"openSSH"`, `"msg":"stopped"`} {
		eventually(t, "the system's log to have "+want, func() bool { return strings.Contains(told.String(), want) })
	}
}

// wantWarned waits for the next warning, which must have the message.
func (d *runningDaemon) wantWarned(message string) {
	d.t.Helper()
	event := map[string]any{}
	eventually(d.t, fmt.Sprintf("knockdaemon to warn %q", message), func() bool { return d.find(message, &event) })
	if event["level"] != "warning" {
		d.t.Errorf("want a warning: %v", event)
	}
}

// sees looks for a line with a message, whatever is before it.
func (d *runningDaemon) sees(message string, event *map[string]any) bool {
	d.t.Helper()
	for _, e := range d.events() {
		if e["msg"] == message {
			*event = e
			d.read = len(d.events())
			return true
		}
	}
	return false
}

// ruleFor is a command that adds or deletes the rule that lets %IP% in.
func ruleFor(verb string, port int) string {
	return fmt.Sprintf("/usr/sbin/iptables -w 5 -%s INPUT -s %%IP%% -p tcp --dport %d -j ACCEPT", verb, port)
}

// The forms of sections in knockd's manual, with its settings for files.
func TestKnockdStartAndStop(t *testing.T) {
	t.Parallel()
	l := newSniffLab(t)
	l.echo(22)
	before := l.rules()
	pid, log := filepath.Join(l.dir, "knockd.pid"), filepath.Join(l.dir, "own.log")
	d := l.sniffer(l.knockdConf(fmt.Sprintf(`[OPTIONS]
	LogFile = %s
	PidFile = %s
	Interface = eth0

[opencloseSSH]
	sequence      = 2222:udp,3333:tcp,4444:udp
	seq_timeout   = 15
	tcpflags      = syn
	Start_Command = %s
	cmd_timeout   = 1
	stop_command  = %s
`, log, pid, ruleFor("A", 22), ruleFor("D", 22))))
	l.wantText(pid, fmt.Sprintf("%d\n", d.cmd.Process.Pid))
	l.knockWith(gateIP, "2222", "3333", "4444") // of TCP alone
	l.knockWith(gateIP, "2222:udp", "3333:tcp", "4444:udp")
	d.next("knock accepted")
	if got := d.next("command started")["command"]; got != strings.ReplaceAll(ruleFor("A", 22), "%IP%", laptopIP) {
		t.Errorf("it ran %q", got)
	}
	d.next("command stopped")
	l.wantAccepted(laptopIP, 22, 0)
	if got := d.accepted(laptopIP); got != 1 {
		t.Errorf("%d knocks, want 1", got)
	}
	d.stop()
	l.wantBefore(before)
	if _, err := os.Stat(pid); !os.IsNotExist(err) {
		t.Errorf("the pid file is still there: %v", err)
	}
	b, err := os.ReadFile(log)
	if diff := cmp.Diff(d.out.String(), string(b)); err != nil || diff != "" {
		t.Errorf("LogFile is not what it said: %v\n%s", err, diff)
	}
}

// Each sequence of the file counts once, in their order, over a restart too.
func TestKnockdOneTimeSequences(t *testing.T) {
	t.Parallel()
	l := newSniffLab(t)
	once := writeTemp(t, l.dir, "sequences", "# mine\n 7000,8000,9000\n 1000:udp,2000,3000\n\n 7000,8000,9001\n", 0o600)
	conf := l.knockdConf("[options]\n[once]\n\tOne_Time_Sequences = " + once + "\n\tseq_timeout = 5\n\ttcpflags = syn\n\tcommand = " + ruleFor("A", 22) + "\n" +
		"[mark]\n\tsequence = 4100,4001,4070\n\ttcpflags = syn\n\tcommand = /bin/true\n")
	d := l.sniffer(conf)
	l.knockWith(gateIP, "1000:udp", "2000", "3000") // not yet
	l.knockWith(gateIP, "7000", "8000", "9000")
	d.next("command started")
	l.wantText(once, "# mine\n#7000,8000,9000\n 1000:udp,2000,3000\n\n 7000,8000,9001\n")
	l.knockWith(gateIP, "7000", "8000", "9000") // not again
	l.knockWith(gateIP, "4100", "4001", "4070") // when this is heard, all before it has been
	if section := d.next("command started")["section"]; section != "mark" {
		t.Errorf("a sequence that was used has %v run", section)
	}
	d.stop()
	l.wantAccepted(laptopIP, 22, 1)

	d = l.sniffer(conf)
	l.knockWith(gateIP, "7000", "8000", "9000")
	l.knockWith(gateIP, "1000:udp", "2000", "3000")
	d.next("command started")
	l.wantText(once, "# mine\n#7000,8000,9000\n#1000:udp,2000,3000\n\n 7000,8000,9001\n")
	l.knockWith(gateIP, "7000", "8000", "9001")
	d.wantWarned("all sequences are used up: write new ones and reload")
	d.next("command started")
	used := "# mine\n#7000,8000,9000\n#1000:udp,2000,3000\n\n#7000,8000,9001\n"
	l.wantText(once, used)
	for _, last := range []string{"9000", "9001"} {
		l.knockWith(gateIP, "7000", "8000", last)
	}
	d.stop()
	l.wantAccepted(laptopIP, 22, 3)
	d = l.launch(l.snifferCommand(conf))
	d.wantWarned("all sequences are used up: write new ones and reload")
	d.next("watching")
	l.knockWith(gateIP, "7000", "8000", "9001")
	l.wantText(once, used)
	writeTemp(t, l.dir, "sequences", used+" 100:udp,200:udp\n", 0o600)
	d.reload()
	d.next("configuration reloaded")
	d.next("watching")
	l.knockWith(gateIP, "7000", "8000", "9001")
	l.knockWith(gateIP, "100:udp", "200:udp")
	d.wantWarned("all sequences are used up: write new ones and reload")
	d.next("command started")
	writeTemp(t, l.dir, "sequences", " 100:udp,200:udp\n", 0o600) // the same again
	d.reload()
	d.next("configuration reloaded")
	d.next("watching")
	l.knockWith(gateIP, "100:udp", "200:udp")
	d.wantWarned("all sequences are used up: write new ones and reload")
	d.next("command started")
	d.stop()
	l.wantAccepted(laptopIP, 22, 5)
}

// Only packets with the flags count; others are as if they were not there.
func TestKnockdTCPFlags(t *testing.T) {
	t.Parallel()
	l := newSniffLab(t)
	d := l.sniffer(l.knockdConf("[options]\n[fin]\n\tsequence = 7000,8000,9000\n\tTCPFlags = fin,!ack\n\tcommand = " + ruleFor("A", 22) + "\n" +
		"[any]\n\tsequence = 7100,8100,9100\n\tcommand = " + ruleFor("A", 23) + "\n"))
	flagged := func(flags byte, list []segment) []segment {
		for i := range list {
			list[i].flags = flags
		}
		return list
	}
	l.send(syns(laptopIP, 7000, 8000, 9000)...)
	l.send(flagged(fin|ack, syns(strangerIP, 7000, 8000, 9000))...)
	knock := flagged(fin, syns(otherIP, 7000, 8000, 9000))
	wrong := syns(otherIP, 9000, 7000, 8001, 8002, 8000)
	l.send(append(append(append(knock[:1:1], wrong...), knock[1]), append(wrong, knock[2])...)...)
	d.next("command started")
	l.send(flagged(rst|ack, syns(laptopIP, 7100, 8100, 9100))...)
	d.next("command started")
	for address, want := range map[string][2]int{laptopIP: {0, 1}, strangerIP: {0, 0}, otherIP: {1, 0}} {
		if got := [2]int{l.accepted(address, 22), l.accepted(address, 23)}; got != want {
			t.Errorf("%s: rules for 22 and 23: %v, want %v", address, got, want)
		}
	}
}

// What goes to a target is on its way to another host, and counts for its section alone.
func TestKnockdTarget(t *testing.T) {
	t.Parallel()
	l := newSniffLab(t)
	l.laptop.in("ip", "route", "add", "198.51.100.0/24", "via", gateIP)
	d := l.sniffer(l.knockdConf("[options]\n[wake]\n\tsequence = 7000,8000,9000\n\ttcpflags = syn\n\ttarget = 198.51.100.9\n\tcommand = " + ruleFor("A", 25) + "\n" +
		"[here]\n\tsequence = 7000,8000,9000\n\ttcpflags = syn\n\tcommand = " + ruleFor("A", 22) + "\n"))
	l.knockWith("198.51.100.8", "7000", "8000", "9000") // somebody else
	l.knockWith("198.51.100.9", "7000", "8000", "9000")
	if got := d.next("command started")["section"]; got != "wake" {
		t.Errorf("section %v", got)
	}
	l.knockWith(gateIP, "7000", "8000", "9000")
	if got := d.next("command started")["section"]; got != "here" {
		t.Errorf("section %v", got)
	}
	if got := d.accepted(laptopIP); got != 2 {
		t.Errorf("%d knocks, want 2", got)
	}
}

// By IPv6 the commands for it run, or none if they are empty, or those for IPv4 if there are none.
func TestKnockdIPv6(t *testing.T) {
	t.Parallel()
	l := newSniffLab(t)
	d := l.sniffer(l.knockdConf(`[options]
[both]
	sequence = 7000,8000:udp,9000
	tcpflags = syn
	start_command = ` + ruleFor("A", 22) + `
	Start_Command_6 = /usr/sbin/ip6tables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT
	cmd_timeout = 1
	stop_command = ` + ruleFor("D", 22) + `
	stop_command_6 =
[nothing]
	sequence = 7001,8001,9001
	tcpflags = syn
	command = ` + ruleFor("A", 23) + `
	command_6 =
[same]
	sequence = 7002,8002,9002
	tcpflags = syn
	command = /bin/echo %IP%
`))
	l.knockWith("fd00::1", "-6", "7000", "8000:udp", "9000")
	d.next("command started")
	if got := l.gate.in("ip6tables-save"); !strings.Contains(got, "-A INPUT -s fd00::2/128 -p tcp -m tcp --dport 22 -j ACCEPT\n") {
		t.Errorf("no rule:\n%s", got)
	}
	l.knockWith("fd00::1", "-6", "7001", "8001", "9001")
	eventually(t, "the knock", func() bool { return d.accepted("fd00::2") == 2 })
	l.knockWith("fd00::1", "-6", "7002", "8002", "9002")
	if got := d.next("command started"); got["section"] != "same" || got["output"] != "fd00::2" {
		t.Errorf("%v", got)
	}
	if a, b := l.accepted(laptopIP, 22), l.accepted(laptopIP, 23); a+b != 0 {
		t.Errorf("%d and %d rules of IPv4", a, b)
	}
	d.stop()
}
