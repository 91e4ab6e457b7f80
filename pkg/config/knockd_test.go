package config

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/command"
	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/sequence"
)

// Every directive of knockd's manual, knockd(1) of version 0.8, and what becomes of it. A line stands in [options] or in
// a section that has a sequence.
func TestKnockdsDirectives(t *testing.T) {
	t.Parallel()
	defaults := func() *Event {
		e := newEvent("s")
		e.Match.Steps = []sequence.Step{{Proto: packet.TCP, Port: 7000}, {Proto: packet.UDP, Port: 8000}}
		e.Commands.Start, e.Commands.Start6 = mustCommand("/bin/true"), mustCommand("/bin/true")
		return e
	}
	section := func(change func(*Event)) *Event { e := defaults(); change(e); return e }
	sequences := []sequence.Step{{Proto: packet.TCP, Port: 1}, {Proto: packet.TCP, Port: 2}, {Proto: packet.UDP, Port: 3}}
	start, stop := mustCommand("/bin/start %IP%"), mustCommand("/bin/stop %IP%")
	for name, test := range map[string]struct {
		options, lines string
		without        string // "sequence" or "command": not in the section otherwise
		want           *Event
		more           func(*Daemon)
	}{
		"UseSyslog":           {options: "UseSyslog", more: func(d *Daemon) { d.Syslog = true }},
		"usesyslog":           {options: "usesyslog = no", more: func(*Daemon) {}},
		"LogFile":             {options: "LogFile = /var/log/knockd.log", more: func(d *Daemon) { d.LogFile = "/var/log/knockd.log" }},
		"logfile":             {options: "\tlogfile=/l", more: func(d *Daemon) { d.LogFile = "/l" }},
		"PidFile":             {options: "PidFile = /run/knockd.pid", more: func(d *Daemon) { d.PidFile = "/run/knockd.pid" }},
		"Interface":           {options: "Interface = ppp0", more: func(d *Daemon) { d.Source.Interface = "ppp0" }},
		"Sequence":            {lines: "Sequence = 1, 2:tcp ,3:UDP", without: "sequence", want: section(func(e *Event) { e.Match.Steps = sequences })},
		"SEQUENCE":            {lines: "SEQUENCE=1,2,3:udp", without: "sequence", want: section(func(e *Event) { e.Match.Steps = sequences })},
		"One_Time_Sequences":  {lines: "One_Time_Sequences = /etc/o", without: "sequence", want: section(func(e *Event) { e.OneTime, e.Match.Steps = "/etc/o", nil })},
		"Seq_Timeout":         {lines: "Seq_Timeout = 7", want: section(func(e *Event) { e.Match.Timeout = 7 * time.Second })},
		"no Seq_Timeout":      {want: section(func(e *Event) { e.Match.Timeout = 25 * time.Second })},
		"TCPFlags":            {lines: "TCPFlags = syn, !ack,URG", want: section(func(e *Event) { e.Match.Flags = sequence.Flags{Set: packet.SYN | packet.URG, Clear: packet.ACK} })},
		"tcpflags, all":       {lines: "tcpflags = fin,syn,rst,psh,ack,urg", want: section(func(e *Event) { e.Match.Flags = sequence.Flags{Set: 0x3f} })},
		"Target":              {lines: "Target = 192.0.2.9", want: section(func(e *Event) { e.Match.Target = netip.MustParseAddr("192.0.2.9") })},
		"Command":             {lines: "Command = /bin/start %IP%", without: "command", want: section(func(e *Event) { e.Commands.Start, e.Commands.Start6 = start, start })},
		"Start_Command":       {lines: "Start_Command = /bin/start %IP%", without: "command", want: section(func(e *Event) { e.Commands.Start, e.Commands.Start6 = start, start })},
		"Command_6":           {lines: "Command_6 = /bin/start %IP%", want: section(func(e *Event) { e.Commands.Start6 = start })},
		"Start_Command_6":     {lines: "Start_Command_6=/bin/start %IP%", want: section(func(e *Event) { e.Commands.Start6 = start })},
		"Command_6, empty":    {lines: "command_6 =", want: section(func(e *Event) { e.Commands.Start6 = command.Command{} })},
		"Start_Command_6, 0":  {lines: "START_COMMAND_6 =   ", want: section(func(e *Event) { e.Commands.Start6 = command.Command{} })},
		"Cmd_Timeout":         {lines: "Cmd_Timeout = 30\nstop_command = /bin/stop %IP%", want: section(func(e *Event) { e.Commands.Wait, e.Commands.Stop, e.Commands.Stop6 = 30*time.Second, stop, stop })},
		"Cmd_Timeout, 0":      {lines: "cmd_timeout = 0\nstop_command = /bin/stop %IP%", want: section(func(e *Event) { e.Commands.Wait, e.Commands.Stop, e.Commands.Stop6 = 0, stop, stop })},
		"Stop_Command":        {lines: "Stop_Command = /bin/stop %IP%", want: section(func(e *Event) { e.Commands.Wait, e.Commands.Stop, e.Commands.Stop6 = 10*time.Second, stop, stop })},
		"Stop_Command_6":      {lines: "Stop_Command_6 = /bin/stop %IP%", want: section(func(e *Event) { e.Commands.Stop6 = stop })},
		"Stop_Command_6 none": {lines: "stop_command = /bin/stop %IP%\nstop_command_6 =", want: section(func(e *Event) { e.Commands.Stop = stop })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := LoadDaemon(flags("-conf="+write(t, knockdText(test.options, test.lines, test.without), 0o644)), noEnv)
			if err != nil {
				t.Fatal(err)
			}
			want := newDaemon()
			want.Source.Interface = "eth0"
			if test.more != nil {
				test.more(want)
			}
			if test.want == nil {
				test.want = defaults()
			}
			want.Events = []Event{*test.want}
			want.Warnings = d.Warnings
			if diff := cmp.Diff(want, d, compare...); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// knockdText is a file with these lines in its sections.
func knockdText(options, lines, without string) string {
	text := "[options]\n" + options + "\n[s]\n"
	if without != "sequence" {
		text += "sequence = 7000,8000:udp\n"
	}
	if without != "command" {
		text += "command = /bin/true\n"
	}
	return text + lines + "\n"
}

// What cannot be meant is refused, with its place and the reason.
func TestKnockdsMistakes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ options, lines, without, want string }{
		"an empty interface":   {"interface =", "", "", `:2: [options] interface: "" is no name of an interface: want 1 to 15 bytes, like eth0`},
		"a path to it":         {"interface = /dev/eth0", "", "", `:2: [options] interface: "/dev/eth0" is no name of an interface: want one like eth0`},
		"an empty log file":    {"LogFile =", "", "", ":2: [options] LogFile: "},
		"an empty pid file":    {"pidfile =", "", "", ":2: [options] pidfile: "},
		"syslog":               {"UseSyslog = perhaps", "", "", ":2: [options] UseSyslog: "},
		"a global directive":   {"sequence = 1", "", "", ":2: unknown setting sequence"},
		"one of a section":     {"", "UseSyslog", "", ":6: want a line of name = value"},
		"no sequence":          {"", "", "sequence", ":3: [s]: no sequence: give sequence, or one_time_sequences"},
		"an empty sequence":    {"", "sequence =", "sequence", ":5: [s] sequence: a part of the sequence is empty"},
		"both":                 {"", "one_time_sequences = /o", "", ":6: [s] one_time_sequences: sequence is there too: one of the two is enough"},
		"two commands":         {"", "start_command = /o", "", ":6: [s] start_command: command is there too: one of the two is enough"},
		"the same twice":       {"", "COMMAND = /o", "", ":6: COMMAND is set twice, first in line 5"},
		"an empty command":     {"", "command =", "command", ":5: [s] command: the command is empty"},
		"an empty stop":        {"", "stop_command =", "", ":6: [s] stop_command: the command is empty"},
		"no time":              {"", "seq_timeout =", "", ":6: [s] seq_timeout: "},
		"time 0":               {"", "seq_timeout = 0", "", ":6: [s] seq_timeout: "},
		"an empty wait":        {"", "cmd_timeout =", "", ":6: [s] cmd_timeout: "},
		"no flags":             {"", "tcpflags =", "", `:6: [s] tcpflags: "" is no TCP flag`},
		"another flag":         {"", "tcpflags = syn,ece", "", `:6: [s] tcpflags: "ece" is no TCP flag`},
		"a flag and not":       {"", "tcpflags = syn,!syn", "", ":6: [s] tcpflags: the TCP flag syn is both wanted and excluded"},
		"a target's name":      {"", "target = gate", "", ":6: [s] target: "},
		"an empty target":      {"", "target =", "", ":6: [s] target: "},
		"no directive":         {"", "seq_timout = 5", "", ":6: unknown setting seq_timout, did you mean seq-timeout?"},
		"the section twice":    {"", "[s]", "", ":6: [s] is there twice"},
		"a section of a blank": {"", "[ ]", "", ":6: want a section as [name]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := write(t, knockdText(test.options, test.lines, test.without), 0o644)
			_, err := LoadDaemon(flags("-conf="+path), noEnv)
			if err == nil || !strings.Contains(err.Error(), path+test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// A file may have ends of lines of another system, a byte order mark, and comments.
func TestKnockdsFileForms(t *testing.T) {
	t.Parallel()
	path := write(t, "", 0o644)
	if err := os.WriteFile(path, []byte("\ufeff# c\r\n[Options]\r\n  ; c\r\n\tUseSyslog\r\n\r\n[s]\r\nsequence = 1:udp\r\ncommand = \"/bin/true\" # %IP%\r\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	d, err := LoadDaemon(flags("-conf="+path), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Events[0].Commands.Start.String(); got != `"/bin/true" # %IP%` || !d.Syslog {
		t.Errorf("command %q, syslog %t", got, d.Syslog)
	}
}
