package check

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/sequence"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// fields is what the kernel writes about a SYN to a port, behind the prefix.
func fields(port int) string {
	return fmt.Sprintf("IN=eth0 OUT= MAC=02:00:00:00:00:01 SRC=198.51.100.7 DST=192.0.2.1 LEN=60 TOS=0x00 PREC=0x00 TTL=64 "+
		"ID=1 DF PROTO=TCP SPT=40000 DPT=%d WINDOW=64240 RES=0x00 SYN URGP=0 \n", port)
}

// classic tells SYNs to the classic knock ports.
func classic(p packet.Packet) bool { return p.IsSYN() && p.DstPort >= 745 && p.DstPort <= 1000 }

const (
	iso    = "2026-11-20T11:59:30.000000+00:00 gate "
	later  = "2026-11-20T15:00:05.000000+00:00 gate "
	uptime = "[ 1217.785741] "
)

func TestJudgeLog(t *testing.T) {
	t.Parallel()
	ours := iso + "kernel: " + uptime + "DENY " + fields(800)
	type setup struct {
		text string
		set  func(l *logFile)
		want string
	}
	nothing := func(*logFile) {}
	tests := map[string]setup{
		"knocks": {ours + ours, nothing, `ok: "knock.log" holds 2 packets to knock ports, logged with prefix "DENY ", the newest 30 s ago
`},
		"no prefix": {iso + "kernel: " + fields(800), func(l *logFile) { l.options.Prefix = "" }, `ok: "knock.log" holds 1 packet to knock ports, logged without a prefix, the newest 30 s ago
`},
		"a regular expression": {"198.51.100.7 800\n", func(l *logFile) { l.options.Regexp = `(?P<src>\S+) (?P<dpt>\d+)` },
			`ok: "knock.log" holds 1 packet to knock ports, logged as log-regexp says, of unknown age
note: the lines of "knock.log" carry no time: one that is read again cannot be told from a new one
`},
		"dmesg": {uptime + "DENY " + fields(800), func(l *logFile) {
			l.options.Head, l.options.Boot = packet.HeadDmesg, noon.Add(-30*time.Minute)
			l.changed = noon.Add(-9 * time.Minute)
		}, `ok: "knock.log" holds 1 packet to knock ports, logged with prefix "DENY ", the newest 9 min ago
`},
		"ulogd": {"Nov 20 11:59:30 gate DENY " + fields(800), func(l *logFile) { l.options.Head = packet.HeadUlogd },
			`ok: "knock.log" holds 1 packet to knock ports, logged with prefix "DENY ", the newest 30 s ago
`},
		"another prefix": {strings.Repeat(iso+"kernel: "+uptime+"IPT-DROP "+fields(800), 3), nothing,
			`problem: "knock.log" holds 3 packets to knock ports logged with prefix "IPT-DROP ", and log-prefix is "DENY "
  fix: set log-prefix = "IPT-DROP ", or give the firewall's rule --log-prefix "DENY "
`},
		"another prefix for other ports": {iso + "kernel: [UFW BLOCK] " + fields(23), nothing,
			`note: "knock.log" holds no packet to a knock port yet: knock once, and run -check again
`},
		"ours, and another prefix": {ours + strings.Repeat(iso+"kernel: OTHER "+fields(800), 3), nothing,
			`ok: "knock.log" holds 1 packet to knock ports, logged with prefix "DENY ", the newest 30 s ago
`},
		"our prefix for other ports": {iso + "kernel: DENY " + fields(23), func(l *logFile) { l.rules, l.counted = 1, 1 },
			`note: "knock.log" holds no packet to a knock port yet: knock once, and run -check again
`},
		"lines of dmesg": {uptime + "DENY " + fields(800), nothing,
			`problem: "knock.log" holds 1 packet to knock ports whose lines begin as those of log-head = dmesg, and log-head is syslog
  fix: set log-head = dmesg, if nobody else writes to that log
`},
		"lines of ulogd": {"Nov 20 11:59:30 gate DENY " + fields(800), nothing,
			`problem: "knock.log" holds 1 packet to knock ports whose lines begin as those of log-head = ulogd, and log-head is syslog
  fix: set log-head = ulogd, if nobody else writes to that log
`},
		"lines of syslog": {ours, func(l *logFile) { l.options.Head = packet.HeadUlogd },
			`problem: "knock.log" holds 1 packet to knock ports whose lines begin as those of log-head = syslog, and log-head is ulogd
  fix: set log-head = syslog
`},
		"a stranger's advice": {iso + "sshd[7]: Invalid user DENY " + fields(800), nothing,
			`note: "knock.log" holds no packet to a knock port yet: knock once, and run -check again
note: programs write to "knock.log" too (1 line): a local user can forge knocks there
  fix: follow a log that only the firewall's lines go to: examples/rsyslog.conf makes one
`},
		"company": {ours + iso + "sshd[7]: hello\n", nothing,
			`ok: "knock.log" holds 1 packet to knock ports, logged with prefix "DENY ", the newest 30 s ago
note: programs write to "knock.log" too (1 line): a local user can forge knocks there
  fix: follow a log that only the firewall's lines go to: examples/rsyslog.conf makes one
`},
		"company that is believed": {"Nov 20 11:59:30 gate DENY " + fields(800) + iso + "sshd[7]: hello\n",
			func(l *logFile) { l.options.Head = packet.HeadUlogd },
			`ok: "knock.log" holds 1 packet to knock ports, logged with prefix "DENY ", the newest 30 s ago
problem: programs write to "knock.log" too (1 line), and log-head = ulogd takes each line for the firewall's: strangers can forge knocks
  fix: follow a log that only the firewall's lines go to: examples/rsyslog.conf makes one
`},
		"damaged": {iso + "kernel: DENY IN=eth0 OUT= SRC=198.51.100.7 DST=\n", nothing,
			`problem: "knock.log" holds only lines of the firewall's that are cut or damaged (1 line)
`},
		"half a line": {strings.TrimSuffix(ours, "\n"), nothing,
			`note: "knock.log" holds no packet to a knock port yet: knock once, and run -check again
`},
		"nothing": {"", nothing, `note: "knock.log" holds no packet to a knock port yet: knock once, and run -check again
`},
		"nothing, and nothing counted": {"", func(l *logFile) { l.rules = 1 },
			`note: the firewall has logged no packet yet: knock once, and run -check again
`},
		"nothing, but counted": {"", func(l *logFile) { l.rules, l.counted = 1, 8 },
			`problem: the firewall has logged 8 packets, and "knock.log" holds none of them
  fix: have the kernel's lines written there: examples/rsyslog.conf, with imklog or imkmsg loaded
`},
		"nothing, but counted in a namespace": {"", func(l *logFile) { l.rules, l.counted, l.namespace = 1, 8, true },
			`problem: the firewall has logged 8 packets, and "knock.log" holds none of them
  fix: this is a network namespace (a container, say): the kernel logs for it only with sysctl net.netfilter.nf_log_all_netns=1 on the host
`},
		"nothing, but counted for ulogd": {"", func(l *logFile) { l.rules, l.counted, l.options.Head = 1, 1, packet.HeadUlogd },
			`problem: the firewall has logged 1 packet, and "knock.log" holds none of them
  fix: have ulogd's LOGEMU write there, and read the group of the NFLOG rule
`},
		"nothing since it was rotated": {"", func(l *logFile) { l.rules, l.counted, l.rotated = 1, 8, true },
			`note: "knock.log" holds no packet to a knock port yet: knock once, and run -check again
`},
		"a clock that is fast": {strings.ReplaceAll(ours, "11:59:30", "12:07:30"), nothing,
			`ok: "knock.log" holds 1 packet to knock ports, logged with prefix "DENY ", the newest now
problem: the newest line of "knock.log" is stamped 7 min from now: lines more than 1m0s off (line-age) open nothing
  fix: set the clock; after a suspend imkmsg's times are wrong: use imklog
`},
		"a zone further east": {later + "kernel: DENY " + fields(800), nothing,
			`ok: "knock.log" holds 1 packet to knock ports, logged with prefix "DENY ", the newest now
problem: the newest line of "knock.log" is stamped 3 h 0 min from now: lines more than 1m0s off (line-age) open nothing
  fix: let logger and daemon run with one time zone (TZ, /etc/localtime), or have the logger write times with their zone (RFC 3339)
`},
		"a zone further west": {strings.ReplaceAll(ours, "11:59:30", "06:29:30"), nothing,
			`ok: "knock.log" holds 1 packet to knock ports, logged with prefix "DENY ", the newest 5 h 30 min ago
problem: the last line of "knock.log" was stamped 5 h 30 min before it was written: lines more than 1m0s off (line-age) open nothing
  fix: let logger and daemon run with one time zone (TZ, /etc/localtime), or have the logger write times with their zone (RFC 3339)
`},
		"a clock that is slow": {strings.ReplaceAll(ours, "11:59:30", "11:40:00"), nothing,
			`ok: "knock.log" holds 1 packet to knock ports, logged with prefix "DENY ", the newest 20 min ago
note: the last line of "knock.log" is stamped 19 min before the log was last changed: if nobody else changed it, the logger's clock is slow (imkmsg's is after a suspend: use imklog), and lines more than 1m0s off (line-age) open nothing
`},
		"an old log": {strings.ReplaceAll(ours, "11-20T11:59:30", "11-01T11:59:30"), func(l *logFile) { l.changed = noon.Add(-19 * 24 * time.Hour) },
			`ok: "knock.log" holds 1 packet to knock ports, logged with prefix "DENY ", the newest 19 days ago
`},
		"another line came later": {strings.ReplaceAll(ours, "11:59:30", "06:59:30") + "\n", nothing,
			`ok: "knock.log" holds 1 packet to knock ports, logged with prefix "DENY ", the newest 5 h 0 min ago
`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &logFile{
				path: "knock.log", options: packet.Options{Prefix: "DENY ", Head: packet.HeadSyslog}, lineAge: time.Minute,
				changed: noon.Add(-30 * time.Second),
			}
			tt.set(l)
			now := noon.In(time.Local) // stamps without a zone are local
			if strings.HasPrefix(tt.text, "Nov ") {
				now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.Local)
				l.changed = now.Add(-30 * time.Second)
			}
			read, err := readTail([]byte(tt.text), true, l.options, classic, now)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, dump(l.judge(read, now))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Of a log's end the first line may be a piece of one.
func TestReadTailSkipsAPiece(t *testing.T) {
	t.Parallel()
	text := []byte(iso + "kernel: DENY " + fields(800) + iso + "kernel: DENY " + fields(801))
	for whole, want := range map[bool]int{true: 2, false: 1} {
		got, err := readTail(text, whole, packet.Options{Prefix: "DENY "}, classic, noon)
		if err != nil || got.knocks != want {
			t.Errorf("whole %v: %d knocks, %v; want %d", whole, got.knocks, err, want)
		}
	}
}

// Packets of sequences count too, and those of no kind that is used do not.
func TestReadTailOfSequences(t *testing.T) {
	t.Parallel()
	m := &machine{config: &config.Daemon{Events: []config.Event{{Match: sequence.Section{Steps: []sequence.Step{
		{Proto: packet.TCP, Port: 7000}, {Proto: packet.UDP, Port: 7001},
	}}}}}}
	var text strings.Builder
	for _, port := range []int{800, 7000, 7001} {
		text.WriteString(iso + "kernel: DENY " + fields(port))
		text.WriteString(iso + "kernel: DENY " + strings.NewReplacer("PROTO=TCP", "PROTO=UDP", "WINDOW=64240 RES=0x00 SYN URGP=0", "LEN=40").Replace(fields(port)))
	}
	got, err := readTail([]byte(text.String()), true, packet.Options{Prefix: "DENY "}, m.isKnock(), noon)
	if err != nil || got.ours != 6 || got.knocks != 2 {
		t.Errorf("%d packets, %d of them knocks, %v; want 6 and 2", got.ours, got.knocks, err)
	}
}

// What the log holds is text that strangers choose.
func FuzzLines(f *testing.F) {
	f.Add(iso + "kernel: " + uptime + "DENY " + fields(800))
	f.Add("Nov 20 11:59:30 gate X " + fields(800) + uptime + fields(745))
	f.Add(iso + "sshd[7]: Invalid user DENY " + fields(800))
	f.Fuzz(func(t *testing.T, text string) {
		l := &logFile{path: "knock.log", options: packet.Options{Prefix: "DENY "}, lineAge: time.Minute, changed: noon}
		read, err := readTail([]byte(text), true, l.options, classic, noon)
		if err != nil {
			t.Fatal(err)
		}
		sum := read.ours + read.damaged + read.programs
		for _, n := range read.forms {
			sum += n
		}
		if sum > read.lines || read.knocks > read.ours || len(read.forms) > maxForms {
			t.Errorf("the counts do not fit: %+v", read)
		}
		for _, finding := range l.judge(read, noon) {
			line := finding.line(false)
			if n := strings.Count(line, "\n"); n < 1 || n > 2 || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }) {
				t.Errorf("%q is no line for a terminal", line)
			}
		}
	})
}
