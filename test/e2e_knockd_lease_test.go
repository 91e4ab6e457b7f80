package test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// exampleOfSequences writes the example with another log in it.
func (l *lab) exampleOfSequences() string {
	l.t.Helper()
	return writeTemp(l.t, l.dir, "sequences.conf", readExample(l.t, "sequences.conf", "/var/log/knock.log", l.log), 0o600)
}

// sequenceSources are labs whose gate learns of packets in different ways, and the flags for that.
var sequenceSources = map[string]func(t *testing.T) (*lab, []string){
	"log": func(t *testing.T) (*lab, []string) {
		l := newLab(t, firewallKind{})
		rules := "*filter\n:INPUT DROP\n-A INPUT -i lo -j ACCEPT\n-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n"
		for _, proto := range []string{"tcp", "udp"} {
			rules += "-A INPUT -p " + proto + ` -j LOG --log-prefix "` + l.prefix + "\"\n"
		}
		l.must(rules+"COMMIT\n", "ip", "netns", "exec", l.gate.name, "iptables-restore")
		return l, []string{"-log-prefix", l.prefix, "-line-age", "86400"}
	},
	"interface": func(t *testing.T) (*lab, []string) { return newSniffLab(t), []string{"-interface", "eth0"} },
}

// inEachSource runs a test with each of them, and the example as the daemon's configuration.
func inEachSource(t *testing.T, test func(t *testing.T, l *lab, start func() *runningDaemon)) {
	for name, newSource := range sequenceSources {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, flags := newSource(t)
			l.gate.in("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
			l.gate.in("iptables", "-t", "nat", "-P", "PREROUTING", "ACCEPT") // what forwards makes a table, which stays
			conf := l.exampleOfSequences()
			test(t, l, func() *runningDaemon { return l.sniffer(conf, flags...) })
		})
	}
}

// The pair that port knocking began with: one sequence opens, another one closes.
func TestSequencesOfTheArticle(t *testing.T) {
	t.Parallel()
	inEachSource(t, func(t *testing.T, l *lab, start func() *runningDaemon) {
		l.echo(22)
		before := l.rules()
		d := start()
		l.wantClosed(laptopIP, 22)
		l.tap(laptopIP, 102, 100, 103) // one is missing
		l.tap(laptopIP, 102, 100, 100, 103)
		d.next("knock accepted")
		until := d.timeOf(d.next("rule opened"), "until")
		if left := time.Until(until); left < 14*time.Minute || left > 15*time.Minute+time.Second {
			t.Errorf("it is open for %v", left)
		}
		l.wantOpen(laptopIP, 22)
		l.wantClosed(strangerIP, 22)
		l.wantRules(laptopIP + " 22")
		l.tap(strangerIP, 103, 100, 100, 102) // closes nothing of others
		eventually(t, "the stranger's knock", func() bool { return d.accepted(strangerIP) == 1 })
		l.wantRules(laptopIP + " 22")
		l.tap(laptopIP, 103, 100, 100, 102)
		d.next("rule closed")
		l.wantClosed(laptopIP, 22)
		l.wantRules()
		d.stop()
		l.wantBefore(before)
	})
}

// The port is part of the knock. What it opened is open after a restart and a kill, until its end.
func TestDynamicPort(t *testing.T) {
	t.Parallel()
	inEachSource(t, func(t *testing.T, l *lab, start func() *runningDaemon) {
		l.echo(8080)
		d := start()
		ask := func(digits ...int) {
			l.tap(laptopIP, 1042, 1044, 1043)
			l.tap(laptopIP, digits...)
			l.tap(laptopIP, 1042, 1044, 1043)
		}
		ask(1042, 1043) // 23
		refused := map[string]any{}
		eventually(t, "the refusal", func() bool { return d.sees("knock refused", &refused) })
		if got := refused["reason"]; got != "port 23 is not in allow_ports" {
			t.Errorf("the reason is %q", got)
		}
		ask(1048, 1040, 1048, 1040)
		until := d.timeOf(d.next("rule opened"), "until")
		if left := time.Until(until); left < 4*time.Minute || left > 5*time.Minute+time.Second {
			t.Errorf("it is open for %v", left)
		}
		l.wantOpen(laptopIP, 8080)
		l.wantClosed(strangerIP, 8080)
		const lease = laptopIP + " 8080"
		l.wantRules(lease)
		d.stop()
		l.wantRules()

		d = start()
		l.wantOpen(laptopIP, 8080)
		l.wantRules(lease)
		d.kill()
		l.wantOpen(laptopIP, 8080)
		d = start()
		l.wantRules(lease)
		if end := l.ends()[lease]; end.Sub(until).Abs() > 2*time.Second {
			t.Errorf("it ends at %v, want %v", end, until)
		}
		d.stop()
	})
}

// A replay says what each sequence of a log would have done.
func TestSequencesReplayed(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	source := 40000
	say := func(at, src, proto string, ports ...int) {
		for _, port := range ports {
			source++
			fmt.Fprintf(&log, "2026-11-20T%s+00:00 gate kernel: [ 1217.785818] DENY IN=eth0 OUT= SRC=%s DST=192.0.2.1 LEN=60 PROTO=%s SPT=%d DPT=%d %s\n",
				at, src, proto, source, port, map[string]string{"TCP": "WINDOW=64240 RES=0x00 SYN URGP=0", "UDP": "LEN=8"}[proto])
		}
	}
	say("20:00:00", laptopIP, "TCP", 102, 100, 100, 103)
	say("20:00:01", strangerIP, "TCP", 102, 100, 103, 100) // no knock
	say("20:00:02", otherIP, "TCP", 102, 100)
	say("20:00:13", otherIP, "TCP", 100, 103) // too late
	say("20:01:00", laptopIP, "TCP", 1042, 1044, 1043, 1048, 1040, 1048, 1040, 1042, 1044, 1043)
	say("20:02:00", laptopIP, "TCP", 1042, 1044, 1043, 1042, 1043, 1042, 1044, 1043)
	say("20:03:00", strangerIP, "TCP", 7000)
	say("20:03:01", strangerIP, "UDP", 8000)
	say("20:03:02", strangerIP, "TCP", 9000)
	say("20:04:00", laptopIP, "TCP", 7001, 8002, 9003)
	say("20:05:00", laptopIP, "TCP", 103, 100, 100, 102)
	needPrograms(t)
	dir := t.TempDir()
	out := sandbox{t: t}.must("", filepath.Join(buildCommands(t), "knockdaemon"), "-conf", filepath.Join(examples, "sequences.conf"),
		"-replay", writeTemp(t, dir, "log", log.String(), 0o600))
	want := `2026-11-20T20:00:00Z 192.0.2.2: section open: open 22/tcp for 15 min: allowed
2026-11-20T20:01:00Z 192.0.2.2: section any: open 8080/tcp for 5 min: allowed
2026-11-20T20:02:00Z 192.0.2.2: section any: open 23/tcp for 5 min: refused: port 23 is not in allow_ports
2026-11-20T20:03:02Z 192.0.2.3: section inside: forward 2222/tcp to 10.0.0.5:22 for 30 min: allowed
2026-11-20T20:04:00Z 192.0.2.2: section wake: run /usr/bin/logger knocked by 192.0.2.2, after 10s /usr/bin/logger forgotten 192.0.2.2: allowed
2026-11-20T20:05:00Z 192.0.2.2: section close: close 22/tcp: allowed
40 lines, 40 packets, 6 knocks, TIME
`
	out = regexp.MustCompile(`[0-9.]+ s\n$`).ReplaceAllString(out, "TIME\n")
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// With -test nothing is run, opened or used up, and all is said.
func TestSequencesWithTest(t *testing.T) {
	t.Parallel()
	l := newSniffLab(t)
	before := l.rules()
	ran, once := filepath.Join(l.dir, "ran"), writeTemp(t, l.dir, "once", " 100,200\n", 0o600)
	d := l.sniffer(l.knockdConf(fmt.Sprintf(`[options]
[run]
	sequence = 7000,8000,9000
	tcpflags = syn
	start_command = /usr/bin/touch %s %%IP%%
	stop_command = /bin/rm "%%IP%%"
	cmd_timeout = 1
[open]
	sequence = 7001,8001,9001
	tcpflags = syn
	open = 22
[once]
	one_time_sequences = %s
	tcpflags = syn
	command = /usr/bin/touch %s
`, ran, once, ran)), "-test")
	l.send(syns(laptopIP, 7000, 8000, 9000, 7001, 8001, 9001, 100, 200)...)
	d.next("rule opened")
	eventually(t, "all knocks", func() bool { return d.accepted(laptopIP) == 3 })
	var said []string
	for _, e := range d.events() {
		if command, _ := e["command"].(string); e["msg"] == "would run" && !strings.Contains(command, "iptables") {
			said = append(said, command)
		}
	}
	want := []string{"/usr/bin/touch " + ran + " " + laptopIP, `/bin/rm "` + laptopIP + `"`, "/usr/bin/touch " + ran}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("what it would run (-want +got)\n%s", diff)
	}
	if !strings.Contains(d.out.String(), "-s 192.0.2.2/32 -p tcp") {
		t.Errorf("it does not say the rule")
	}
	d.stop()
	l.wantBefore(before)
	l.wantText(once, " 100,200\n")
	for _, path := range []string{ran, filepath.Join(l.dir, "state")} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is there: %v", path, err)
		}
	}
}
