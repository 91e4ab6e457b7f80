package main

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A fwknopd is Debian's fwknop-server with one key for all.
type fwknopd struct {
	*lab
	conf, access string
	sent         int // knocks
}

var _ daemon = (*fwknopd)(nil)

func newFwknopd(l *lab, s settings) (daemon, error) {
	f := &fwknopd{lab: l}
	key, hmac := make([]byte, 32), make([]byte, 64)
	_, _ = rand.Read(key) // it never fails
	_, _ = rand.Read(hmac)
	secrets := fmt.Sprintf("KEY_BASE64 %s\nHMAC_KEY_BASE64 %s\n",
		base64.StdEncoding.EncodeToString(key), base64.StdEncoding.EncodeToString(hmac))
	_, err := l.write(".fwknoprc", fmt.Sprintf("[default]\nACCESS tcp/%d\nALLOW_IP %s\nSPA_SERVER %s\nUSE_HMAC Y\n%s",
		port, laptopIP, gateIP, secrets))
	if err != nil {
		return nil, err
	}
	f.access, err = l.write("access.conf", fmt.Sprintf("SOURCE ANY\nOPEN_PORTS tcp/%d\nFW_ACCESS_TIMEOUT %.0f\n%s",
		port, s.life.Seconds(), secrets))
	if err != nil {
		return nil, err
	}
	f.conf, err = l.write("fwknopd.conf",
		fmt.Sprintf("PCAP_INTF eth0;\nFIREWALL_EXE /usr/sbin/iptables;\nFWKNOP_RUN_DIR %s;\n", l.state))
	return f, err
}

func (f *fwknopd) command() *exec.Cmd {
	return f.gate.command("fwknopd", "-f", "-c", f.conf, "-a", f.access)
}
func (f *fwknopd) reports() []string { return []string{f.said("daemon")} }
func (f *fwknopd) ready() string     { return "Starting fwknopd main event loop" }

func (f *fwknopd) knock() ([]packet, error) {
	f.sent++
	file := filepath.Join(f.dir, fmt.Sprintf("spa-%d", f.sent))
	client := exec.Command("fwknop", "--no-save-args", "--test", "--save-packet", file)
	client.Env = append(os.Environ(), "HOME="+f.dir) // there is its configuration
	if _, err := output("", client); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return f.fresh([]packet{{dst: 62201, payload: strings.TrimSpace(string(text))}}), nil
}

// junk is a datagram of a knock's form and length, of no key.
func (f *fwknopd) junk(n int) packet {
	text := fmt.Sprintf("%08d", n)
	return packet{from: invented(n), source: uint16(1024 + n%60000), dst: 62201, payload: strings.Repeat(text, 26)[:204]}
}

func (f *fwknopd) floods() (n, rate int) { return f.datagrams, 2000 }

func (f *fwknopd) spoil() error { return appendTo(f.conf, "PCAP_LOOP_SLEEP banana;\n") }
