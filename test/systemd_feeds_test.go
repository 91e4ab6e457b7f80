package test

import (
	"fmt"
	"strings"
	"testing"
)

// join puts a machine behind a firewall that feeds knocks to its daemon, and gives a
// laptop that is joined to it by a cable.
func (m machine) join(rules ...string) *lab {
	m.t.Helper()
	l := &lab{logger: logger{t: m.t, dir: m.t.TempDir()}, gate: m.sandbox, laptop: newSandbox(m.t), iptables: "iptables", bin: buildCommands(m.t)}
	connect(l.gate, l.laptop)
	lines := append([]string{"*filter", ":INPUT DROP", "-A INPUT -i lo -j ACCEPT"}, rules...)
	m.must(strings.Join(append(lines, "COMMIT", ""), "\n"), "ip", "netns", "exec", m.name, "iptables-restore")
	return l
}

// takeKey gives the laptop the machine's key.
func (l *lab) takeKey(m machine) {
	l.t.Helper()
	l.keyFile = writeTemp(l.t, l.dir, "knock.key", m.run("cat /etc/knockdaemon.key"), 0o600)
}

// wantIn waits until a rule is in the machine's firewall, or not.
func (m machine) wantIn(rule string, want bool) {
	m.t.Helper()
	eventually(m.t, fmt.Sprintf("%q in the firewall: %v", rule, want), func() bool { return strings.Contains(m.rules(), rule) == want })
}

// Installed as the README says, with the drop-in that it names if it names one, the
// service opens a port by each feed.
func TestFeedsUnderSystemd(t *testing.T) {
	t.Parallel()
	logNamespaces(t)
	for f, dropIn := range map[feed]string{fromInterface: "interface.conf", fromNFLOG: "", fromKmsg: "kmsg.conf"} {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			m := boot(t)
			prefix := fmt.Sprintf("SYSTEMD%d ", sandboxes.Add(1))
			rules := []string{"-A INPUT -p tcp --dport 745:1000 -j DROP"}
			if target := f.target(prefix); target != "" {
				rules = append([]string{"-A INPUT -p tcp --dport 745:1000 " + target}, rules...)
			}
			l := m.join(rules...)
			before := m.rules()
			steps := []string{fmt.Sprintf("sed -i 's/^kmsg = false//; s/^log = .*/%s/; s/^log-prefix = .*/log-prefix = \"%s\"/' /etc/knockdaemon.conf", string(f), prefix)}
			if f == fromKmsg { // which systemd-nspawn leaves out
				steps = append(steps, "mknod -m 644 /dev/kmsg c 1 11")
			}
			if dropIn != "" {
				steps = append(steps, "install -D -m 644 examples/knockdaemon-"+dropIn+" /etc/systemd/system/knockdaemon.service.d/"+dropIn)
			}
			m.install(steps...)
			l.takeKey(m)
			rule := "-A KNOCK -s " + laptopIP + "/32 -p tcp -m tcp --dport 22 "
			l.knock("-port", "22", "-time", "5")
			m.wantIn(rule, true)
			m.run("systemctl reload knockdaemon")
			l.knock("-port", "22", "-time", "255")
			m.wantIn(rule, false)
			m.run("systemctl restart knockdaemon")
			l.knock("-port", "22", "-time", "5")
			m.wantIn(rule, true)
			m.run("systemctl stop knockdaemon")
			if got := m.rules(); got != before {
				t.Errorf("the firewall is\n%swant\n%s", got, before)
			}
			if got := m.show("Result,NRestarts"); got != "Result=success\nNRestarts=0\n" {
				t.Errorf("the service has %s", got)
			}
			if dropIn != "" {
				m.wantEachLine("/etc/systemd/system/knockdaemon.service.d/" + dropIn)
			}
		})
	}
}

// wantEachLine takes the lines of a drop-in away that give something, each in turn: the
// service must not start without it.
func (m machine) wantEachLine(path string) {
	m.t.Helper()
	lines := strings.Split(m.run("grep -n = "+path), "\n")
	for _, line := range lines[:len(lines)-1] {
		number, text, _ := strings.Cut(line, ":")
		if strings.HasPrefix(text, "#") || strings.HasPrefix(text, "DevicePolicy=") {
			continue
		}
		m.run("cp " + path + " /root/whole; sed -i '" + number + "s/^/#/' " + path + "; systemctl daemon-reload")
		if out, err := m.command("systemctl", "start", "knockdaemon").CombinedOutput(); err == nil {
			m.t.Errorf("the service starts without %s", text)
		} else if !strings.Contains(string(out), "knockdaemon.service") {
			m.t.Errorf("systemctl: %v, %s", err, out)
		}
		m.run("systemctl stop knockdaemon; systemctl reset-failed knockdaemon; cp /root/whole " + path + "; systemctl daemon-reload")
	}
	m.run("systemctl start knockdaemon")
}

// Commands that change the firewall work under the unit as it is; the drop-in gives a
// file of one-time sequences a place, and what only root can do its last lines.
func TestCommandsUnderSystemd(t *testing.T) {
	t.Parallel()
	m := boot(t)
	l := m.join("-A INPUT -p tcp --syn -j NFLOG --nflog-group 5")
	sections := `[firewall]
sequence = 7000,7002,7004
tcpflags = syn
start_command = /usr/sbin/iptables -I INPUT -s %IP% -p tcp --dport 80 -j ACCEPT
cmd_timeout = 1
stop_command = /usr/sbin/iptables -D INPUT -s %IP% -p tcp --dport 80 -j ACCEPT

[once]
one_time_sequences = /etc/knockd/once
tcpflags = syn
open = 22/tcp

[root]
sequence = 7010,7012,7014
tcpflags = syn
start_command = /usr/bin/systemctl start mark
`
	write := func(path, text string) {
		m.must(text, "nsenter", "--target", m.leader, "--all", "sh", "-c", "cat >"+path)
	}
	dropIn := "/etc/systemd/system/knockdaemon.service.d/commands.conf"
	m.run("mkdir /etc/knockd")
	write("/etc/knockd/once", "8000,8002,8004\n8010,8012\n")
	write("/root/sections", sections)
	write("/etc/systemd/system/mark.service", "[Service]\nType=oneshot\nExecStart=/usr/bin/touch /run/mark\n")
	m.install("sed -i 's/^log = .*/nflog = 5/' /etc/knockdaemon.conf; cat /root/sections >>/etc/knockdaemon.conf",
		"chown knockdaemon /etc/knockd/once; chmod 600 /etc/knockd/once",
		"install -D -m 644 examples/knockdaemon-commands.conf "+dropIn)

	rule := "-A INPUT -s " + laptopIP + "/32 -p tcp -m tcp --dport 80 -j ACCEPT"
	l.tap(laptopIP, 7000, 7002, 7004)
	m.wantIn(rule, true)
	m.wantIn(rule, false)
	l.tap(laptopIP, 8000, 8002, 8004)
	m.wantIn("-A KNOCK -s "+laptopIP+"/32 -p tcp -m tcp --dport 22 ", true)
	if got := m.run("cat /etc/knockd/once"); got != "#000,8002,8004\n8010,8012\n" {
		t.Errorf("the file of sequences is %q", got)
	}
	l.tap(laptopIP, 7010, 7012, 7014)
	eventually(t, "the command to fail", func() bool {
		return strings.Contains(m.run("journalctl --no-pager --unit=knockdaemon"), "exit status 1")
	})

	m.run("sed -i 's/^#User=/User=/; s/^#Group=/Group=/' " + dropIn + "; chown root /etc/knockdaemon.key /etc/knockd/once; systemctl daemon-reload; systemctl restart knockdaemon")
	l.tap(laptopIP, 7010, 7012, 7014)
	eventually(t, "the mark", func() bool { return m.command("test", "-e", "/run/mark").Run() == nil })
	l.tap(laptopIP, 8010, 8012)
	eventually(t, "the file of sequences to be used up", func() bool { return m.run("cat /etc/knockd/once") == "#000,8002,8004\n#010,8012\n" })
	m.run("systemctl stop knockdaemon")
	if got := m.show("Result"); got != "Result=success\n" {
		t.Errorf("the service has %s", got)
	}
}
