package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// A knockdaemon is that of the tree this program was built from, with the example's logger.
type knockdaemon struct {
	*lab
	settings
	key, log, conf string
}

var _ daemon = (*knockdaemon)(nil)

func newKnockdaemon(l *lab, s settings) (daemon, error) {
	k := &knockdaemon{lab: l, settings: s}
	if s.life.Minutes() != float64(int(s.life.Minutes())) || s.life.Minutes() < 1 {
		return nil, fmt.Errorf("knockdaemon cannot open a port for %v", s.life)
	}
	var err error
	if k.key, err = l.write("knock.key", rand.Text()+"\n"); err != nil {
		return nil, err
	}
	k.log = filepath.Join(l.dir, "knock.log")
	if s.logDisk {
		k.log = filepath.Join(l.state, "knock.log")
	}
	if err := k.startLogger(); err != nil {
		return nil, err
	}
	state := filepath.Join(l.state, "knockdaemon")
	if s.logDisk {
		state = filepath.Join(l.dir, "knockdaemon")
	}
	// The line-age is for imkmsg, which works out times from the uptime: this machine may have slept.
	k.conf, err = l.write("knockdaemon.conf", fmt.Sprintf("log = %s\nlog-prefix = %q\nline-age = 86400\nkey-file = %s\n"+
		"state-dir = %s\nheader = %s\n", k.log, l.prefix, k.key, state, k.headerName()))
	return k, err
}

func (k *knockdaemon) headerName() string {
	if k.header {
		return "randomiv"
	}
	return "none"
}

// startLogger starts rsyslogd as the example has it, and waits until it writes what the firewall logs. It reads
// /dev/kmsg, of which each reader sees all lines. It is a copy of rsyslogd, because an AppArmor profile may keep the
// one in /usr/sbin to /etc.
func (k *knockdaemon) startLogger() error {
	example, err := os.ReadFile(k.rsyslog)
	if err != nil {
		return err
	}
	rules := strings.NewReplacer("/var/log/knock.log", k.log, "DENY ", k.prefix).Replace(string(example))
	if !strings.Contains(rules, k.log) || !strings.Contains(rules, k.prefix) {
		return fmt.Errorf("%s names neither /var/log/knock.log nor the prefix DENY", k.rsyslog)
	}
	conf, err := k.write("rsyslog.conf",
		fmt.Sprintf("module(load=\"imkmsg\")\nglobal(workDirectory=%q)\n%s", k.dir, rules))
	if err != nil {
		return err
	}
	path, err := exec.LookPath("rsyslogd")
	if err != nil {
		return err
	}
	program := filepath.Join(k.dir, "rsyslogd")
	if _, err := output("", exec.Command("cp", path, program)); err != nil {
		return err
	}
	for range 10 { // its imkmsg gives up if the kernel's memory of lines turns over just when it begins
		p, err := k.spawn("rsyslogd", exec.Command(program, "-n", "-f", conf, "-i", filepath.Join(k.dir, "rsyslogd.pid")))
		if err != nil {
			return err
		}
		if k.isLogged() == nil {
			return nil
		}
		if _, err := p.stop(k.ctx, soon); err != nil {
			return err
		}
	}
	return fmt.Errorf("rsyslogd does not write %q", k.log)
}

// isLogged waits until a packet to a knock port is in the log.
func (k *knockdaemon) isLogged() error {
	return eventually(k.ctx, patience/4, "the log to be written", func() (bool, error) {
		if err := k.send(packet{from: invented(0), source: 1, dst: 1000}); err != nil {
			return false, err
		}
		return k.lines() > 0, nil
	})
}

// lines counts the lines of the log.
func (k *knockdaemon) lines() int {
	text, _ := os.ReadFile(k.log) // it may not be there yet
	return strings.Count(string(text), "\n")
}

func (k *knockdaemon) command() *exec.Cmd {
	return k.gate.command(filepath.Join(k.bin, "knockdaemon"), "-conf", k.conf)
}
func (k *knockdaemon) reports() []string { return []string{k.said("daemon")} }
func (k *knockdaemon) ready() string     { return "watching" }

func (k *knockdaemon) knock() (packets []packet, err error) {
	out, err := output("", exec.Command(filepath.Join(k.bin, "knockclient"), "-ip", laptopIP, "-port", strconv.Itoa(port),
		"-time", fmt.Sprintf("%.0f", k.life.Minutes()), "-key-file", k.key, "-header", k.headerName(), "-test", gateIP))
	if err != nil {
		return nil, err
	}
	for word := range strings.FieldsSeq(out) {
		p, err := strconv.ParseUint(word, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("failed to read a port from %q: %w", out, err)
		}
		packets = append(packets, packet{dst: uint16(p)})
	}
	return k.fresh(packets), nil
}

// junk is a SYN to a knock port.
func (k *knockdaemon) junk(n int) packet {
	return packet{from: invented(n), source: uint16(1024 + n%60000), dst: uint16(745 + n%256)}
}

func (k *knockdaemon) floods() (n, rate int) { return k.syns, 20000 }

func (k *knockdaemon) spoil() error { return appendTo(k.conf, "max-time = banana\n") }
