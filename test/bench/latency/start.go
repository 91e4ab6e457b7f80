package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// start starts the contenders, in the order that report wants.
func (l *lab) start() ([]*contender, error) {
	ours, err := l.startKnockdaemon()
	if err != nil {
		return nil, err
	}
	if err := l.startKnockd(); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := l.spawn("floor", l.gate.command(self, "-floor", fmt.Sprint(floorPorts[0]))); err != nil {
		return nil, err
	}
	closeRule := func() error {
		_, err := l.gate.run("", "iptables", rule("-D")...)
		return err
	}
	return []*contender{
		ours,
		{name: "knockd", ports: knockdPorts, close: closeRule},
		{name: "floor", ports: floorPorts, close: closeRule},
	}, nil
}

// startKnockdaemon starts it and the logger, and makes its knocks.
func (l *lab) startKnockdaemon() (*contender, error) {
	key, err := l.write("knock.key", rand.Text()+"\n")
	if err != nil {
		return nil, err
	}
	log, err := l.startLogger()
	if err != nil {
		return nil, err
	}
	// The line-age is for imkmsg, which works out times from the uptime: this machine may have slept.
	conf, err := l.write("knockdaemon.conf", fmt.Sprintf("log = %s\nlog-prefix = %q\nline-age = 86400\nkey-file = %s\n"+
		"state-dir = %s\n", log, l.prefix, key, filepath.Join(l.dir, "state")))
	if err != nil {
		return nil, err
	}
	if err := l.spawn("knockdaemon", l.gate.command(filepath.Join(l.bin, "knockdaemon"), "-conf", conf)); err != nil {
		return nil, err
	}
	open, err := l.sequence(key, "5")
	if err != nil {
		return nil, err
	}
	shut, err := l.sequence(key, "255")
	if err != nil {
		return nil, err
	}
	return &contender{name: "knockdaemon", ports: open, close: func() error {
		return l.laptop.enter(func() error {
			_, err := l.probe.send(shut)
			return err
		})
	}}, l.waitFor("knockdaemon", "watching")
}

// sequence gives the ports of a knock for some minutes.
func (l *lab) sequence(key, minutes string) (ports []int, err error) {
	out, err := output("", filepath.Join(l.bin, "knockclient"), "-ip", laptopIP, "-port", fmt.Sprint(port), "-time", minutes,
		"-key-file", key, "-test", gateIP)
	if err != nil {
		return nil, err
	}
	for word := range strings.FieldsSeq(out) {
		var p int
		if _, err := fmt.Sscan(word, &p); err != nil {
			return nil, fmt.Errorf("failed to read a port from %q: %w", out, err)
		}
		ports = append(ports, p)
	}
	return ports, nil
}

// startLogger starts rsyslogd as the example has it, and gives its log. It reads /dev/kmsg, of which each reader sees
// all lines. It is a copy of rsyslogd, because an AppArmor profile may keep the one in /usr/sbin to /etc.
func (l *lab) startLogger() (log string, err error) {
	example, err := os.ReadFile(l.rsyslog)
	if err != nil {
		return "", err
	}
	if log, err = l.write("knock.log", ""); err != nil {
		return "", err
	}
	rules := strings.NewReplacer("/var/log/knock.log", log, "DENY ", l.prefix).Replace(string(example))
	if !strings.Contains(rules, log) || !strings.Contains(rules, l.prefix) {
		return "", fmt.Errorf("%s names neither /var/log/knock.log nor the prefix DENY", l.rsyslog)
	}
	conf, err := l.write("rsyslog.conf", fmt.Sprintf("module(load=\"imkmsg\")\nglobal(workDirectory=%q)\n%s", l.dir, rules))
	if err != nil {
		return "", err
	}
	path, err := exec.LookPath("rsyslogd")
	if err != nil {
		return "", err
	}
	program := filepath.Join(l.dir, "rsyslogd")
	if _, err := output("", "cp", path, program); err != nil {
		return "", err
	}
	pid := filepath.Join(l.dir, "rsyslogd.pid")
	if err := l.spawn("rsyslogd", exec.Command(program, "-n", "-f", conf, "-i", pid)); err != nil {
		return "", err
	}
	return log, eventually("rsyslogd to start", func() bool {
		st, err := os.Stat(pid)
		return err == nil && st.Size() > 0
	})
}

// startKnockd starts Debian's.
func (l *lab) startKnockd() error {
	command := "iptables " + strings.Join(rule("-I"), " ")
	sequence := strings.Trim(strings.ReplaceAll(fmt.Sprint(knockdPorts), " ", ","), "[]")
	conf, err := l.write("knockd.conf", fmt.Sprintf("[options]\n\tlogfile = %s\n[open]\n\tsequence = %s\n\tseq_timeout = 5\n"+
		"\ttcpflags = syn\n\tcommand = %s\n", filepath.Join(l.dir, "knockd.log"), sequence,
		strings.ReplaceAll(command, laptopIP, "%IP%")))
	if err != nil {
		return err
	}
	return l.spawn("knockd", l.gate.command("knockd", "-i", "eth0", "-c", conf))
}
