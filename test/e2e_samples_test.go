package test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/knock"
)

// The lines of the samples, made those of a knock that comes now, open a port. They are in the order in which the
// programs that wrote them came about.
func TestSamples(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file   string
		prefix string // that the line has
		flags  []string
	}{
		"ipchains":                     {"ipchains.log", "Packet log: input DENY ", nil},
		"iptables":                     {"rsyslog-traditional.log", "DENY ", nil},
		"iptables, --log-tcp-sequence": {"rsyslog-traditional.log", "DENYSEQ ", nil},
		"nftables":                     {"rsyslog-traditional.log", "KNOCK-NFT ", nil},
		"iptables, RFC 3339":           {"rsyslog-iso.log", "DENY ", nil},
		"nftables, RFC 3339":           {"rsyslog-iso.log", "KNOCK-NFT ", nil},
		"iptables, seen by dmesg":      {"dmesg.log", "DENY ", []string{"-log-head", "dmesg"}},
		"nftables, seen by dmesg":      {"dmesg.log", "KNOCK-NFT ", []string{"-log-head", "dmesg"}},
		"ulogd":                        {"ulogd-logemu.log", "DENY ", []string{"-log-head", "ulogd"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newGate(t, "iptables")
			if !strings.HasPrefix(test.prefix, "Packet") {
				test.flags = append(test.flags, "-log-prefix", test.prefix)
			}
			d := l.daemon(append(test.flags, "-line-age", "60")...)
			line := sampleLine(t, test.file, test.prefix)
			for i, port := range l.sealed(knock.Options{Passphrase: []byte(l.key)}, ask(laptopIP, 5)) {
				l.write(madeNow(t, line, laptopIP, 40000+i, int(port)))
			}
			d.next("rule opened")
			l.wantRules(laptopIP + " 22")
		})
	}
}

// sampleLine gives the first line of a sample that has prefix in it.
func sampleLine(t *testing.T, file, prefix string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "pkg", "packet", "testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, " "+prefix) {
			return line
		}
	}
	t.Fatalf("%s has no line with %q", file, prefix)
	return ""
}

// The fields of a line that are changed.
var (
	sampleSource = regexp.MustCompile(`SRC=\S+`)
	samplePorts  = regexp.MustCompile(`SPT=\d+ DPT=\d+`)
	ipchainsFrom = regexp.MustCompile(`[\d.]+:\d+ ([\d.]+):\d+`)
	syslogStamp  = regexp.MustCompile(`^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d`)
	isoStamp     = regexp.MustCompile(`^\d{4}-\S+`)
	dmesgStamp   = regexp.MustCompile(`^\[ *[\d.]+\]`)
)

// madeNow makes a sample line one of now, with other ends.
func madeNow(t *testing.T, line, src string, srcPort, dstPort int) string {
	t.Helper()
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &up); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, change := range []struct {
		from *regexp.Regexp
		to   string
	}{
		{sampleSource, "SRC=" + src},
		{samplePorts, fmt.Sprintf("SPT=%d DPT=%d", srcPort, dstPort)},
		{ipchainsFrom, fmt.Sprintf("%s:%d ${1}:%d", src, srcPort, dstPort)},
		{syslogStamp, now.Format(time.Stamp)},
		{isoStamp, now.Format("2006-01-02T15:04:05.000000-07:00")},
		{dmesgStamp, fmt.Sprintf("[%5d.%06d]", up.Sec, up.Nsec/1000)},
	} {
		line = change.from.ReplaceAllString(line, change.to)
	}
	return line
}

// The real ulogd writes what the firewall hands it, and the daemon reads that.
func TestUlogd(t *testing.T) {
	t.Parallel()
	needPrograms(t, "ulogd:ulogd2")
	l := newLab(t, firewallKind{noLog: true})
	l.echo(22)
	l.gate.in("iptables", "-I", "INPUT", "-p", "tcp", "--dport", "745:1000", "-j", "NFLOG", "--nflog-group", "7", "--nflog-prefix", l.prefix)
	l.log = filepath.Join(l.dir, "ulogd.log")
	l.ulogd(7)
	d := l.daemon("-log-head", "ulogd")
	l.knock("-port", "22", "-time", "5")
	d.next("rule opened")
	l.wantOpen(laptopIP, 22)
	l.wantClosed(strangerIP, 22)
	l.knock("-port", "22", "-time", "255")
	d.next("rule closed")
	l.wantClosed(laptopIP, 22)
}

// ulogd runs one at the gate, which writes the packets of a group to l.log, until the test ends.
func (l *lab) ulogd(group int) {
	l.t.Helper()
	plugins, err := filepath.Glob("/usr/lib/*/ulogd")
	if err != nil || len(plugins) != 1 {
		l.t.Fatalf("ulogd's plugins are in %q, %v", plugins, err)
	}
	said := filepath.Join(l.dir, "ulogd.said")
	conf := readExample(l.t, "ulogd.conf", "/usr/lib/x86_64-linux-gnu/ulogd", plugins[0], "/var/log/ulogd.log", said,
		"/var/log/knock.log", l.log, "group=5", fmt.Sprintf("group=%d", group))
	cmd := l.gate.command("ulogd", "-c", writeTemp(l.t, l.dir, "ulogd.conf", conf, 0o644))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	l.t.Cleanup(func() { <-ended }) // it was killed with the test's context
	eventually(l.t, "ulogd to take the packets", func() bool {
		select {
		case err := <-ended:
			ended <- err
			text, _ := os.ReadFile(said) // it may have said nothing
			l.t.Fatalf("ulogd has ended: %v: %s%s", err, &out, text)
		default:
		}
		_, err := os.Stat(l.log)
		return err == nil && l.bound(group)
	})
}

// bound tells whether somebody at the gate has a group of NFLOG.
func (l *lab) bound(group int) bool {
	l.t.Helper()
	for line := range strings.Lines(l.gate.in("cat", "/proc/net/netfilter/nfnetlink_log")) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] == fmt.Sprint(group) {
			return true
		}
	}
	return false
}
