package config

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portknock/knock/pkg/command"
	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/sequence"
)

var compare = []cmp.Option{
	cmpopts.IgnoreUnexported(Daemon{}, Key{}, Event{}, Commands{}),
	cmpopts.EquateComparable(netip.Prefix{}, netip.AddrPort{}, netip.Addr{}, command.Command{}),
}

func mustCommand(text string) command.Command {
	c, err := command.Parse(text)
	if err != nil {
		panic(err)
	}
	return c
}

// The file that Debian's knockd comes with, as it is.
func TestKnockdsOwnFile(t *testing.T) {
	t.Parallel()
	d, err := LoadDaemon(flags("-conf="+write(t, `[options]
	UseSyslog

[openSSH]
	sequence    = 7000,8000,9000
	seq_timeout = 5
	command     = /sbin/iptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT
	tcpflags    = syn

[opencloseSMTP]
	one_time_sequences = /etc/knockd/smtp_sequences
	Seq_Timeout        = 15
	TCPFlags           = fin,!ack
	target = 192.0.2.9
	start_command      = "/usr/sbin/iptables" "%IP%"
	start_command_6    =
	cmd_timeout        = 5
	stop_command       = /usr/sbin/iptables -D INPUT -s %IP% -p tcp --dport 25 -j ACCEPT
	stop_command_6     = /usr/sbin/ip6tables -D INPUT
`, 0o644)), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	want := newDaemon()
	want.Source.Interface, want.Syslog = "eth0", true
	ssh, smtp := newEvent("openSSH"), newEvent("opencloseSMTP")
	ssh.Match = sequence.Section{
		Steps:   []sequence.Step{{Proto: packet.TCP, Port: 7000}, {Proto: packet.TCP, Port: 8000}, {Proto: packet.TCP, Port: 9000}},
		Timeout: 5 * time.Second, Flags: sequence.Flags{Set: packet.SYN},
	}
	ssh.Commands.Start = mustCommand("/sbin/iptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT")
	ssh.Commands.Start6 = ssh.Commands.Start
	smtp.OneTime = "/etc/knockd/smtp_sequences"
	smtp.Match.Timeout, smtp.Match.Target = 15*time.Second, netip.MustParseAddr("192.0.2.9")
	smtp.Match.Flags = sequence.Flags{Set: packet.FIN, Clear: packet.ACK}
	smtp.Commands.Start = mustCommand(`"/usr/sbin/iptables" "%IP%"`)
	smtp.Commands.Wait = 5 * time.Second
	smtp.Commands.Stop = mustCommand("/usr/sbin/iptables -D INPUT -s %IP% -p tcp --dport 25 -j ACCEPT")
	smtp.Commands.Stop6 = mustCommand("/usr/sbin/ip6tables -D INPUT")
	want.Events = []Event{*ssh, *smtp}
	want.Warnings = []string{"[openSSH] its ports are evenly spaced: a scan in such steps completes it"}
	if diff := cmp.Diff(want, d, compare...); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A flag wins over knockd's own settings, and those of ours over them too.
func TestKnockdsOptions(t *testing.T) {
	t.Parallel()
	const section = "[s]\nsequence = 1,2\ncommand = c\n"
	for name, test := range map[string]struct {
		file  string
		flags []string
		want  Source
		pid   string
	}{
		"interface":        {"[options]\nInterface = ppp0\nPidFile = /p\n" + section, nil, Source{Interface: "ppp0"}, "/p"},
		"a flag":           {"[Options]\ninterface = ppp0\n" + section, []string{"-nflog=5", "-pid-file=/q"}, Source{NFLOG: true, Group: 5}, "/q"},
		"a line of ours":   {"log = /l\npid-file = /r\n[options]\nPidFile = /p\n" + section, nil, Source{Log: "/l"}, "/r"},
		"no options":       {section, nil, Source{Interface: "eth0"}, ""},
		"a flag over ours": {"log = /l\n" + section, []string{"-kmsg=true"}, Source{Kmsg: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := LoadDaemon(flags(append(test.flags, "-conf="+write(t, test.file, 0o644))...), noEnv)
			if err != nil {
				t.Fatal(err)
			}
			if d.Source != test.want || d.PidFile != test.pid {
				t.Errorf("source %v, pid file %q, want %v, %q", d.Source, d.PidFile, test.want, test.pid)
			}
		})
	}
}

func TestSections(t *testing.T) {
	t.Parallel()
	d, err := LoadDaemon(flags("-max-time=30", "-conf="+write(t, `log = /l
key = k
allow-ports = 22
allow-ips = 198.51.100.0/24
header = randomiv
port-min = 2000

[key alice]
key = a
allow-ports = 80
allow-ips = 192.0.2.0/24
header = none
iv = abcdefgh
until = 2027-01-31

[key bob]
key = b
max-time = 5
forward = 222=10.0.0.5:22

[key carol]
pad = /pad

[open]
sequence = 102,100,100,103
open = 22/tcp, 53/udp
forward = 10.0.0.6:80/tcp
time = 0

[dynamic]
sequence = 1042,1044,1043
digits = 1040
allow_ports = 1-1000,8080
time = 5

[close]
sequence = 103,100,100,102
close = 22
allow_ips = 203.0.113.7
`, 0o600)), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	var steps = func(ports ...uint16) (list []sequence.Step) {
		for _, p := range ports {
			list = append(list, sequence.Step{Proto: packet.TCP, Port: p})
		}
		return list
	}
	top := knock.Options{Passphrase: []byte("k"), Header: "randomiv", PortMin: 2000}
	with := func(change func(*knock.Options)) knock.Options {
		o := top
		change(&o)
		return o
	}
	ips := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	allow22 := Allow{Ports: Ports{{22, 22}}, IPs: ips, MaxTime: 30}
	wantKeys := []Key{
		{Knock: top, Allow: allow22},
		{Name: "alice", Knock: with(func(o *knock.Options) { o.Passphrase, o.Header, o.IV = []byte("a"), "none", []byte("abcdefgh") }),
			Allow: Allow{Ports: Ports{{80, 80}}, IPs: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, MaxTime: 30},
			Until: time.Date(2027, 2, 1, 0, 0, 0, 0, time.Local)},
		{Name: "bob", Knock: with(func(o *knock.Options) { o.Passphrase = []byte("b") }),
			Allow:   Allow{Ports: Ports{{22, 22}}, IPs: ips, MaxTime: 5},
			Forward: []Forward{{PortProto{222, packet.TCP}, netip.MustParseAddrPort("10.0.0.5:22")}}},
		{Name: "carol", Pad: "/pad", Knock: with(func(o *knock.Options) { o.Passphrase = nil }), Allow: allow22},
	}
	if diff := cmp.Diff(wantKeys, d.Keys, compare...); diff != "" {
		t.Errorf("keys (-want +got)\n%s", diff)
	}
	open, dynamic, shut := newEvent("open"), newEvent("dynamic"), newEvent("close")
	for _, e := range []*Event{open, dynamic, shut} {
		e.Match.Flags, e.AllowIPs = sequence.Flags{Set: packet.SYN, Clear: packet.ACK}, ips
	}
	open.Match.Steps = steps(102, 100, 100, 103)
	open.Open = []PortProto{{22, packet.TCP}, {53, packet.UDP}}
	open.Forward = []Forward{{PortProto{80, packet.TCP}, netip.MustParseAddrPort("10.0.0.6:80")}}
	open.Time = 0
	dynamic.Match.Steps, dynamic.Match.Digits = steps(1042, 1044, 1043), 1040
	dynamic.Dynamic, dynamic.Time = Ports{{1, 1000}, {8080, 8080}}, 5*time.Minute
	shut.Match.Steps, shut.Close = steps(103, 100, 100, 102), []PortProto{{22, packet.TCP}}
	shut.AllowIPs = []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}
	if diff := cmp.Diff([]Event{*open, *dynamic, *shut}, d.Events, compare...); diff != "" {
		t.Errorf("events (-want +got)\n%s", diff)
	}
}
