package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

var knockdPorts = []uint16{7001, 8002, 9003}

// A knockd is Debian's, with a rule for some seconds as its manual has it.
type knockd struct {
	*lab
	conf string
}

var _ daemon = (*knockd)(nil)

func newKnockd(l *lab, s settings) (daemon, error) {
	const command = "/usr/sbin/iptables -w 5 -%s INPUT -s %%IP%% -p tcp --dport %d -j ACCEPT"
	conf, err := l.write("knockd.conf", strings.Join([]string{
		"[options]",
		"\tlogfile = " + filepath.Join(l.state, "knockd.log"),
		"[open]",
		"\tsequence = " + strings.Trim(strings.ReplaceAll(fmt.Sprint(knockdPorts), " ", ","), "[]"),
		"\tseq_timeout = 5",
		"\ttcpflags = syn",
		"\tstart_command = " + fmt.Sprintf(command, "A", port),
		fmt.Sprintf("\tcmd_timeout = %.0f", s.life.Seconds()),
		"\tstop_command = " + fmt.Sprintf(command, "D", port), "",
	}, "\n"))
	return &knockd{l, conf}, err
}

func (k *knockd) command() *exec.Cmd { return k.gate.command("knockd", "-i", "eth0", "-c", k.conf) }
func (k *knockd) reports() []string {
	return []string{k.said("daemon"), filepath.Join(k.state, "knockd.log")}
}
func (k *knockd) ready() string { return "starting up, listening" }

func (k *knockd) knock() (packets []packet, err error) {
	for _, p := range knockdPorts {
		packets = append(packets, packet{dst: p})
	}
	return k.fresh(packets), nil
}

// junk is the first SYN of a knock.
func (k *knockd) junk(n int) packet {
	return packet{from: invented(n), source: uint16(1024 + n%60000), dst: knockdPorts[0]}
}

func (k *knockd) floods() (n, rate int) { return k.syns, 20000 }

func (k *knockd) spoil() error { return appendTo(k.conf, "\ttcpflags = banana\n") }

// appendTo appends text to a file that is there.
func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := f.Close(); err != nil {
		return err
	}
	return err
}
