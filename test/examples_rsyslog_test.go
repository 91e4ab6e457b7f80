package test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A logger is an rsyslogd of a test's own, with the example's rules.
type logger struct {
	t      *testing.T
	input  string // the module that reads the kernel's log
	dir    string
	prefix string // of the firewall's lines
	log    string // what rsyslog.conf writes
	all    string // all that it leaves to others
	socket string // as /dev/log
	pid    string
}

// kmsg reads the kernel's log through /dev/kmsg, of which each reader sees all
// lines.
const kmsg = `module(load="imkmsg")`

// newLogger writes the configuration. Input is the module that reads the kernel's
// log.
func newLogger(t *testing.T, input string) logger {
	t.Helper()
	dir := t.TempDir()
	l := logger{t, input, dir, fmt.Sprintf("RSYSLOG%d%d ", os.Getpid(), sandboxes.Add(1)), filepath.Join(dir, "knock.log"),
		filepath.Join(dir, "all.log"), filepath.Join(dir, "socket"), filepath.Join(dir, "pid")}
	writeTemp(t, dir, "10-knock.conf", readExample(t, "rsyslog.conf", "/var/log/knock.log", l.log, "DENY ", l.prefix), 0o644)
	writeTemp(t, dir, "rsyslog.conf", fmt.Sprintf(`
global(workDirectory="%s")
%s
module(load="imuxsock" sysSock.use="off")
input(type="imuxsock" socket="%s")
include(file="%s/10-knock.conf")
action(type="omfile" file="%s")
`, dir, input, l.socket, dir, l.all), 0o644)
	return l
}

// start runs rsyslogd until the test ends, and gives its process when it reads. Its
// imkmsg gives up if the oldest line goes out of the kernel's memory just when it
// looks, which happens when many tests log at a time: then it is started again.
func (l logger) start() (pid int) {
	l.t.Helper()
	path, err := exec.LookPath("rsyslogd")
	if err != nil {
		l.t.Fatal(err)
	}
	// A copy: an AppArmor profile may keep the one in /usr/sbin to /etc.
	program := filepath.Join(l.dir, "rsyslogd")
	if out, err := exec.Command("cp", path, program).CombinedOutput(); err != nil {
		l.t.Fatalf("cp: %v, %s", err, out)
	}
	for range 10 {
		said := new(watched)
		cmd := exec.Command(program, "-n", "-f", filepath.Join(l.dir, "rsyslog.conf"), "-i", l.pid)
		cmd.Stdout, cmd.Stderr = said, said
		if err := cmd.Start(); err != nil {
			l.t.Fatal(err)
		}
		end := sync.OnceFunc(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
			_ = cmd.Wait()                          // its status says nothing that matters here
		})
		l.t.Cleanup(end)
		if l.isHeard(said) {
			return cmd.Process.Pid
		}
		end()
	}
	l.t.Fatal("rsyslogd cannot read the kernel's log")
	return 0
}

// isHeard waits until rsyslogd listens and has read all that the kernel has said so
// far, which is false if it says that it cannot.
func (l logger) isHeard(said *watched) (heard bool) {
	l.t.Helper()
	eventually(l.t, "rsyslogd to listen", func() bool {
		c, err := net.Dial("unixgram", l.socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	if l.input != kmsg {
		return true
	}
	marker := l.prefix + "is heard"
	if err := os.WriteFile("/dev/kmsg", []byte("<4>"+marker+"\n"), 0); err != nil {
		l.t.Fatal(err)
	}
	eventually(l.t, "rsyslogd to read the kernel's log", func() bool {
		heard = contains(l.all, marker)
		return heard || strings.Contains(said.String(), "cannot open kernel log")
	})
	return heard
}

// say writes to the syslog socket, as any local user can.
func (l logger) say(line string) {
	l.t.Helper()
	c, err := net.Dial("unixgram", l.socket)
	if err != nil {
		l.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(line)); err != nil {
		l.t.Fatal(err)
	}
}

// firewall gives a sandbox that logs tries at its ports as the firewall does.
func (l logger) firewall() sandbox {
	l.t.Helper()
	s := newSandbox(l.t)
	s.in("iptables", "-A", "INPUT", "-p", "tcp", "--syn", "-j", "LOG", "--log-prefix", l.prefix)
	return s
}

// ports gives the destination ports in files that exist, in their order.
func (l logger) ports(paths ...string) (ports []string) {
	l.t.Helper()
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			l.t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			match := destination.FindStringSubmatch(line)
			if match == nil || !strings.Contains(line, " kernel: "+l.prefix+"IN=lo ") {
				l.t.Errorf("%s holds the line %q", path, line)
				continue
			}
			ports = append(ports, match[1])
		}
	}
	return ports
}

func contains(path, text string) bool {
	data, err := os.ReadFile(path)
	return err == nil && strings.Contains(string(data), text)
}

// has reports whether a file holds a line of this logger's prefix for a port. The
// other log has lines of other tests too.
func (l logger) has(path string, port int) bool {
	data, _ := os.ReadFile(path)
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, l.prefix+"IN=") && strings.Contains(line, fmt.Sprintf(" DPT=%d ", port)) {
			return true
		}
	}
	return false
}

// wantReadable wants the log to be readable for the unit's user, and for no
// stranger.
func (l logger) wantReadable() {
	l.t.Helper()
	info, err := os.Stat(l.log)
	if err != nil {
		l.t.Fatal(err)
	}
	want := groupID(l.t, readUnit(l.t, "knockdaemon.service").one(l.t, "SupplementaryGroups"))
	if got := int(info.Sys().(*syscall.Stat_t).Gid); info.Mode() != 0o640 || got != want {
		l.t.Errorf("the log has mode %v and group %d, want 0640 and %d", info.Mode(), got, want)
	}
}

// Only what the kernel says gets into the log, whoever else says the same.
func TestRsyslogTrustsTheKernelAlone(t *testing.T) {
	t.Parallel()
	needPrograms(t, "rsyslogd:rsyslog", "logger:bsdutils", "iptables:iptables", "ip:iproute2")
	logNamespaces(t)
	l := newLogger(t, kmsg)
	s := l.firewall()
	s.must("", "rsyslogd", "-N1", "-f", filepath.Join(l.dir, "rsyslog.conf"))
	l.start()

	forged := l.prefix + "IN=eth0 OUT= SRC=203.0.113.7 DST=192.0.2.1 LEN=60 PROTO=TCP SPT=40000 DPT=%d SYN "
	l.say("<4>Nov 20 12:00:00 kernel: " + fmt.Sprintf(forged, 801))
	l.say("<4>kernel: [ 12.345678] " + fmt.Sprintf(forged, 802))
	s.must("", "logger", "--socket", l.socket, "--tag", "kernel", "--priority", "kern.warning", fmt.Sprintf(forged, 803))
	if err := os.WriteFile("/dev/kmsg", []byte("<4>"+fmt.Sprintf(forged, 804)), 0); err != nil {
		t.Fatal(err)
	}
	// The kernel's lines in which the prefix comes later are of other rules.
	s.in("iptables", "-A", "INPUT", "-p", "tcp", "--dport", "805", "-j", "LOG", "--log-prefix", "OTHER "+l.prefix)
	s.try("127.0.0.1:805")
	for port := 901; port <= 908; port++ {
		s.try(fmt.Sprint("127.0.0.1:", port))
	}

	for port := 801; port <= 804; port++ {
		eventually(t, fmt.Sprintf("forged line %d, in the other log", port), func() bool { return l.has(l.all, port) })
	}
	eventually(t, "the last knock", func() bool { return l.has(l.log, 908) })
	if diff := cmp.Diff(strings.Fields("805 901 902 903 904 905 906 907 908"), l.ports(l.log)); diff != "" {
		t.Errorf("ports in knock.log (-want +got):\n%s", diff)
	}
	if l.has(l.all, 908) {
		t.Error("a knock is in the other logs too")
	}
	l.wantReadable()
}

// imklog leaves the kernel's [uptime] at the message's start. It has one reader for
// the whole machine, so a pipe stands in for /proc/kmsg.
func TestRsyslogReadsImklog(t *testing.T) {
	t.Parallel()
	needPrograms(t, "rsyslogd:rsyslog")
	pipe := filepath.Join(t.TempDir(), "kmsg")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	kernel, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer kernel.Close()
	l := newLogger(t, fmt.Sprintf(`module(load="imklog" logPath="%s")`, pipe))
	l.start()
	const packet = "IN=lo OUT= SRC=203.0.113.7 DST=192.0.2.1 LEN=60 PROTO=TCP SPT=40000 DPT=%d SYN URGP=0 \n"
	fmt.Fprintf(kernel, "<4>[    1.234567] "+l.prefix+packet, 901)
	fmt.Fprintf(kernel, "<4>[12345.678901] OTHER "+l.prefix+packet, 902)
	fmt.Fprintf(kernel, "<4>"+l.prefix+packet, 903)
	fmt.Fprintf(kernel, "<6>[12345.678901] "+l.prefix+packet, 904)
	eventually(t, "the other rule's line, in the other log", func() bool { return l.has(l.all, 902) })
	for _, port := range []int{901, 903, 904} {
		eventually(t, fmt.Sprint("knock ", port), func() bool { return l.has(l.log, port) })
	}
	if l.has(l.log, 902) {
		t.Error("another rule's line is in knock.log")
	}
}

// A rotation loses no line, in either file.
func TestLogrotate(t *testing.T) {
	t.Parallel()
	needPrograms(t, "rsyslogd:rsyslog", "logrotate:logrotate", "iptables:iptables", "ip:iproute2")
	logNamespaces(t)
	l := newLogger(t, kmsg)
	s := l.firewall()
	own := filepath.Join(l.dir, "knockdaemon.log")
	conf := writeTemp(t, l.dir, "logrotate.conf", readExample(t, "knockdaemon.logrotate", "/var/log/knock.log", l.log, "/var/log/knockdaemon.log", own,
		"/usr/lib/rsyslog/rsyslog-rotate", "kill -HUP $(cat "+l.pid+")"), 0o644)
	if out := s.must("", "logrotate", "--debug", "--state", filepath.Join(l.dir, "state"), conf); strings.Contains(out, "error") {
		t.Errorf("logrotate -d: %s", out)
	}
	l.start()
	said := openLog(t, own)

	var want []string
	knock := func(port int) {
		s.try(fmt.Sprint("127.0.0.1:", port))
		want = append(want, strconv.Itoa(port))
	}
	knock(745)
	eventually(t, "the log", func() bool { return l.has(l.log, 745) })
	fmt.Fprintln(said, "before")

	rotated := make(chan error)
	go func() {
		out, err := exec.Command("logrotate", "--force", "--state", filepath.Join(l.dir, "state"), conf).CombinedOutput()
		if err == nil && len(out) > 0 {
			err = fmt.Errorf("%s", out)
		}
		rotated <- err
	}()
	port := 746
	for running := true; running; port++ {
		select {
		case err := <-rotated:
			running = false
			if err != nil {
				t.Errorf("logrotate: %v", err)
			}
		default:
		}
		knock(port)
	}
	fmt.Fprintln(said, "after")

	// HUP may take a moment: what comes after it goes to a new file.
	eventually(t, "a new log", func() bool {
		knock(port)
		port++
		_, err := os.Stat(l.log)
		return err == nil
	})
	old := l.log + ".1"
	eventually(t, "the last knock", func() bool { return l.has(l.log, port-1) })
	if diff := cmp.Diff(want, l.ports(old, l.log)); diff != "" {
		t.Errorf("ports in both files (-want +got):\n%s", diff)
	}
	if !l.has(old, 745) {
		t.Errorf("%s lacks the first knock", old)
	}
	l.wantReadable()
	if data, err := os.ReadFile(own); err != nil || string(data) != "after\n" {
		t.Errorf("knockdaemon.log holds %q, %v; want what was said after the rotation", data, err)
	}
}

// openLog opens a log for appending, as start-stop-daemon does for its daemon.
func openLog(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
