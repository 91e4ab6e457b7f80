package config

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/ui"
)

func noEnv(string) string { return "" }

func write(t *testing.T, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// flags makes flags of "-name=value" words.
func flags(words ...string) (given []ui.Given) {
	for _, w := range words {
		name, value, _ := strings.Cut(strings.TrimPrefix(w, "-"), "=")
		given = append(given, ui.Given{Name: name, Value: value})
	}
	return given
}

func TestDaemonDefaults(t *testing.T) {
	t.Parallel()
	d, err := LoadDaemon(flags("-conf="+write(t, "log = /l\nkey = k\n", 0o600)), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	want := newDaemon()
	want.Source.Log = "/l"
	want.Keys = []Key{{Knock: knock.Options{Passphrase: []byte("k"), Header: knock.HeaderNone}}}
	if diff := cmp.Diff(want, d, cmpopts.EquateComparable(netip.Addr{}), cmpopts.IgnoreUnexported(Daemon{}, Key{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Every key of the file arrives in its place.
func TestDaemonFile(t *testing.T) {
	t.Parallel()
	path := write(t, byteOrderMark+`# a comment
; another
log=/var/log/knock.log
	log-prefix   =   "DENY ;#= "
log-head = ulogd
log-regexp = (?P<src>\S+) (?P<dpt>\d+)
line-age = 5
key = a # b ; "c" = d
cipher = des
allow-readable-key = no
header = randomiv
iv-length = 4
port-min = 65280
queue-timeout = 7
max-packets = 1024
allow-ports = 22, 80-82
allow-ips = 203.0.113.0/24,198.51.100.7
max-time = 60
match-source = yes
forward = 23=10.0.0.5:22, 10.0.0.6:80
until = 2027-01-31T18:00:00Z
pad-look-ahead = 7
command-limit = 8
kmsg = false
guess-limit = 9
guess-time = 2
ban-action = ignore
ban-time = 3
never-ban = 192.0.2.0/24
on-stop = keep
max-blocks = 11
chain = INPUT
iptables = iptables-legacy
state-dir = /s
pid-file = /p
metrics = 127.0.0.1:9745
output = json
test = true
debug = on
quiet = false
`, 0o600)
	d, err := LoadDaemon(flags("-conf="+path), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	want := newDaemon()
	want.Source.Log, want.LineAge = "/var/log/knock.log", 5*time.Second
	want.Lines.Prefix, want.Lines.Head, want.Lines.Regexp = "DENY ;#= ", "ulogd", `(?P<src>\S+) (?P<dpt>\d+)`
	k := Key{Knock: knock.Options{Passphrase: []byte(`a # b ; "c" = d`), Cipher: knock.CipherDES, Header: "randomiv", IVLength: 4, PortMin: 65280}}
	want.QueueTimeout, want.MaxPackets = 7*time.Second, 1024
	k.Allow = Allow{Ports: Ports{{22, 22}, {80, 82}}, MaxTime: 60, MatchSource: true,
		IPs: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("198.51.100.7/32")}}
	k.Forward = []Forward{{PortProto{23, packet.TCP}, netip.MustParseAddrPort("10.0.0.5:22")}, {PortProto{80, packet.TCP}, netip.MustParseAddrPort("10.0.0.6:80")}}
	k.Until = time.Date(2027, 1, 31, 18, 0, 0, 0, time.UTC)
	want.Keys = []Key{k}
	want.LookAhead, want.CommandLimit = 7, 8*time.Second
	want.Guessing = Guessing{Limit: 9, Within: 2 * time.Minute, Action: BanIgnore, Ban: 3 * time.Minute,
		Never: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	want.OnStop, want.MaxBlocks = OnStopKeep, 11
	want.Chain, want.Iptables, want.StateDir, want.PidFile, want.Output = "INPUT", "iptables-legacy", "/s", "/p", "json"
	want.Metrics, want.Test, want.Debug = "127.0.0.1:9745", true, true
	if diff := cmp.Diff(want, d, cmpopts.IgnoreUnexported(Daemon{}, Key{}), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, netip.AddrPort{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	checkHoldsEveryKey(t, string(data), DaemonSettings(), "key-file", "iv", "pad", "interface", "nflog")
}

// checkHoldsEveryKey fails for a key that has no line in a file's text, except those named.
func checkHoldsEveryKey(t *testing.T, data string, settings []Setting, except ...string) {
	t.Helper()
	has := map[string]bool{}
	for _, name := range except {
		has[name] = true
	}
	for line := range strings.Lines(data) {
		name, _, ok := strings.Cut(line, "=")
		if ok {
			has[strings.TrimSpace(name)] = true
		}
	}
	for _, s := range settings {
		if !s.flagOnly && !has[s.Name] {
			t.Errorf("no line for %s", s.Name)
		}
	}
}

// The example files show every key, each as a setting or, behind a #, as one that may be switched on, and are
// right with all of those switched on but the few that exclude each other.
func TestExampleFiles(t *testing.T) {
	t.Parallel()
	for file, settings := range map[string][]Setting{"knockdaemon.conf": DaemonSettings(), "knockclient.conf": ClientSettings()} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join("..", "..", "examples", file)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			of := newDaemon().sectionSettings
			if file == "knockclient.conf" {
				of = hostSettings
			}
			if _, err := parseFile(path, strings.NewReader(string(data)), of); err != nil {
				t.Errorf("as it is: %v", err)
			}
			var on strings.Builder
			for line := range strings.Lines(string(data)) {
				if name, _, ok := strings.Cut(strings.TrimPrefix(line, "#"), " = "); ok && !strings.Contains(name, " ") || strings.HasPrefix(line, "#[") {
					line = strings.TrimPrefix(line, "#")
				}
				on.WriteString(line)
			}
			checkHoldsEveryKey(t, on.String(), settings)
			sections, err := parseFile(path, strings.NewReader(on.String()), of)
			if err != nil {
				t.Fatalf("with every key switched on: %v", err)
			}
			for _, s := range sections {
				settings, err := of(s.title)
				if err != nil {
					t.Fatal(err)
				}
				if err := (origins{}).apply(settings, s.values); err != nil {
					t.Errorf("with every key switched on: %v", err)
				}
			}
		})
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	keyFile := write(t, "from the key file\n\n", 0o600)
	conf := write(t, "key = from the file\nport = 22\ntime = 5\n", 0o600)
	confWithKeyFile := write(t, "key-file = "+keyFile+"\nport = 22\n", 0o644)
	env := func(name string) string { return map[string]string{"KNOCK_KEY": "from the environment"}[name] }
	for name, test := range map[string]struct {
		flags []ui.Given
		env   func(string) string
		want  string
	}{
		"the file":                        {flags("-conf=" + conf), noEnv, "from the file"},
		"the file's key file":             {flags("-conf=" + confWithKeyFile), noEnv, "from the key file\n"},
		"the environment over the file":   {flags("-conf=" + conf), env, "from the environment"},
		"the environment over a key file": {flags("-conf=" + confWithKeyFile), env, "from the environment"},
		"a flag over both":                {flags("-conf="+conf, "-key=from a flag"), env, "from a flag"},
		"a key file by flag over both":    {flags("-key-file="+keyFile, "-conf="+conf), env, "from the key file\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := LoadClient(append(test.flags, flags("-time=7")...), []string{"host"}, test.env)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(c.Knock.Passphrase)); diff != "" || c.Time != 7 || !slices.Equal(c.Ports, []uint16{22}) {
				t.Errorf("time %d, port %v (-want +got)\n%s", c.Time, c.Ports, diff)
			}
		})
	}
}

func TestHomeFileFirst(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".knockclient.conf"), []byte("key = home\nport = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := LoadClient(nil, []string{"host"}, func(name string) string { return map[string]string{"HOME": home}[name] })
	if err != nil {
		t.Fatal(err)
	}
	if string(c.Knock.Passphrase) != "home" || !slices.Equal(c.Ports, []uint16{1}) || c.Host != "host" {
		t.Errorf("%+v", c)
	}
}

func TestWrongUse(t *testing.T) {
	t.Parallel()
	var (
		open   = write(t, "secret", 0o644)
		group  = write(t, "secret", 0o640)
		empty  = write(t, "\n", 0o600)
		longer = write(t, strings.Repeat("x", maxKey+1), 0o600)
		conf   = func(content string) string { return write(t, content, 0o600) }
	)
	type test struct {
		flags  []ui.Given
		want   string
		status int
	}
	daemon := map[string]test{
		"no log":                {flags("-key=k"), "nowhere to learn of packets", 2},
		"no key":                {flags("-log=l"), "no key", 2},
		"an empty key":          {flags("-log=l", "-key="), "flag -key: the key is empty", 2},
		"two keys":              {flags("-log=l", "-key=k", "-key-file=f"), "key and key-file are both given in one place: one must go", 2},
		"a key file missing":    {flags("-log=l", "-key-file=/nonexistent"), "failed to open the key file: open /nonexistent: no such file or directory", 1},
		"a key file for all":    {flags("-log=l", "-key-file="+open), `others may use "` + open + `" (mode 0644), and it is the key file`, 1},
		"a key file for some":   {flags("-log=l", "-key-file="+group), `others may use "` + group + `" (mode 0640), and it is the key file`, 1},
		"an empty key file":     {flags("-log=l", "-key-file="+empty), `the key file "` + empty + `" is empty`, 1},
		"a long key file":       {flags("-log=l", "-key-file="+longer), `the key file "` + longer + `" holds more than 65536 bytes`, 1},
		"a log that is a dir":   {flags("-log="+os.TempDir(), "-key=k"), `flag -log: "` + os.TempDir() + `" is a directory: want the file in it`, 2},
		"port-min too high":     {flags("-port-min=65300"), "flag -port-min: 65300 is out of range: want a port with 255 more above it, 1..65280", 2},
		"port-min zero":         {flags("-port-min=0"), "flag -port-min: 0 is out of range: want a port with 255 more above it, 1..65280", 2},
		"port-min wraps":        {flags("-port-min=99999999999999999999"), "flag -port-min: 99999999999999999999 is out of range: want a port with 255 more above it, 1..65280", 2},
		"port-min a word":       {flags("-port-min=ssh"), `flag -port-min: "ssh" is not a number: want a port with 255 more above it, 1..65280`, 2},
		"a header":              {flags("-header=salt"), `flag -header: "salt" is not one of none, randomiv`, 2},
		"a head":                {flags("-log-head=journal"), `flag -log-head: "journal" is not one of syslog, dmesg, ulogd`, 2},
		"iv too short":          {flags("-log=l", "-key=k", "-iv=1234"), `flag -iv: IV is 4 bytes, want exactly 8 with header "none"`, 2},
		"iv with the header":    {flags("-log=l", "-key=k", "-header=randomiv", "-iv=12345678"), "flag -iv: it goes with header = none only: with the header each knock carries its own", 2},
		"a log that is no file": {flags("-log=/dev/null", "-key=k"), `flag -log: "/dev/null" is not a regular file`, 2},
		"test and quiet":        {flags("-log=l", "-key=k", "-test=true", "-quiet=true"), "flag -quiet: test and quiet exclude each other: the commands would not be said", 2},
		"iv-length":             {flags("-iv-length=9"), "flag -iv-length: 9 is out of range: want bytes, 1..8", 2},
		"iv-length alone":       {flags("-log=l", "-key=k", "-iv-length=4"), "flag -iv-length: it goes with header = randomiv only: without the header an IV has a block's length", 2},
		"no groups":             {flags("-log-regexp=x"), "flag -log-regexp: the regular expression needs the named groups (?P<src>…) and (?P<dpt>…)", 2},
		"max-time":              {flags("-max-time=255"), "flag -max-time: 255 is out of range: want minutes, 1..254", 2},
		"allow-ports":           {flags("-allow-ports=22,443"), "flag -allow-ports: 443 is out of range: want a port, 0..255", 2},
		"allow-ports, back":     {flags("-allow-ports=90-80"), "flag -allow-ports: 90-80 runs backwards", 2},
		"allow-ports, comma":    {flags("-allow-ports=22,"), `flag -allow-ports: "22," has an empty part: want a list with commas`, 2},
		"allow-ips":             {flags("-allow-ips=example.org"), `flag -allow-ips: "example.org" is neither an IPv4 address nor a network like 203.0.113.0/24`, 2},
		"allow-ips, IPv6":       {flags("-allow-ips=2001:db8::/32"), "flag -allow-ips: 2001:db8::/32 is not IPv4, and a knock carries no other address", 2},
		"allow-ips, a host":     {flags("-allow-ips=203.0.113.7/24"), "flag -allow-ips: 203.0.113.7/24 has bits set behind its mask, did you mean 203.0.113.0/24?", 2},
		"a chain":               {flags("-chain=two words"), `flag -chain: chain "two words" is not 1 to 20 of A-Z a-z 0-9 _ . - with no "-" first`, 2},
		"a built-in chain":      {flags("-chain=FORWARD"), `flag -chain: chain "FORWARD" is built into the firewall: use INPUT or a name of your own`, 2},
		"a boolean":             {flags("-test=maybe"), `flag -test: "maybe" is neither true nor false`, 2},
		"debug and quiet":       {flags("-log=l", "-key=k", "-debug=true", "-quiet=true"), "flag -quiet: debug and quiet exclude each other", 2},
		"no such file":          {flags("-conf=/nonexistent"), "failed to open the configuration file: open /nonexistent: no such file or directory", 1},

		"file: unknown key":          {flags("-conf=" + conf("log = l\n\nalow-ports = 22\n")), "FILE:3: unknown setting alow-ports, did you mean allow-ports?", 2},
		"file: no such key":          {flags("-conf=" + conf("colour = red\n")), "FILE:1: unknown setting colour", 2},
		"file: no name":              {flags("-conf=" + conf("correct horse battery = staple\n")), "FILE:1: unknown setting", 2},
		"file: a key twice":          {flags("-conf=" + conf("log = a\nchain = c\nlog = b\n")), "FILE:3: log is set twice, first in line 1", 2},
		"file: range":                {flags("-conf=" + conf("# ports\nport-min = 99999\n")), "FILE:2: port-min: 99999 is out of range: want a port with 255 more above it, 1..65280", 2},
		"file: comment":              {flags("-conf=" + conf("port-min = 745 # first\n")), `FILE:1: port-min: "745 # first" is not a number: want a port with 255 more above it, 1..65280`, 2},
		"file: a section":            {flags("-conf=" + conf("[options\n")), "FILE:1: want a section as [name]", 2},
		"file: an unnamed key":       {flags("-conf=" + conf("[key]\n")), "FILE:1: a key needs a name: want [key NAME]", 2},
		"file: a section twice":      {flags("-conf=" + conf("[a]\nsequence = 1\n[a]\n")), "FILE:3: [a] is there twice, first in FILE:1: [a]", 2},
		"file: unknown directive":    {flags("-conf=" + conf("log = l\n[openSSH]\nseq_timout = 5\n")), "FILE:3: unknown setting seq_timout, did you mean seq-timeout?", 2},
		"file: sequence":             {flags("-conf=" + conf("log = l\n[openSSH]\nSequence = 7000,80000\n")), `FILE:3: [openSSH] Sequence: "80000" is no port: want 1..65535`, 2},
		"file: no sequence":          {flags("-conf=" + conf("log = l\n[openSSH]\nopen = 22/tcp\n")), "FILE:2: [openSSH]: no sequence: give sequence, or one_time_sequences", 2},
		"file: open":                 {flags("-conf=" + conf("log = l\n[openSSH]\nsequence = 1,2\nopen = 22/icmp\n")), `FILE:4: [openSSH] open: "icmp" is no protocol: want 22/tcp or 22/udp`, 2},
		"file: time alone":           {flags("-conf=" + conf("log = l\n[s]\nsequence = 1,2\nclose = 22\ntime = 1\n")), "FILE:5: [s] time: it goes with open, forward or digits: nothing is opened here", 2},
		"file: digits":               {flags("-conf=" + conf("log = l\n[s]\nsequence = 1,2\ndigits = 1040\n")), "FILE:4: [s] digits: digits and allow_ports go together: the first says how a port is asked for, the second which may be", 2},
		"file: two commands":         {flags("-conf=" + conf("log = l\n[s]\nsequence = 1,2\ncommand = a\nstart_command = b\n")), "FILE:5: [s] start_command: command is there too: one of the two is enough", 2},
		"file: one key twice":        {flags("-conf=" + conf("log = l\nkey = secret\n[key a]\nkey = secret\n")), "FILE:3: [key a] has the same key as the key at the top of the file: give each its own", 2},
		"file: a key of nobody":      {flags("-conf=" + conf("log = l\n[key a]\nallow-ports = 22\n")), "FILE:2: [key a]: no key", 2},
		"file: pad and key":          {flags("-conf=" + conf("log = l\n[key a]\nkey = secret\npad = p\n")), "FILE:4: [key a] pad: pad and key exclude each other: give one of them", 2},
		"file: pad and header":       {flags("-conf=" + conf("log = l\n[key a]\npad = p\nheader = randomiv\n")), "FILE:4: [key a] header: it does not go with a pad", 2},
		"file: a forward of a key":   {flags("-conf=" + conf("log = l\nkey = k\nforward = 2222=10.0.0.5:22\n")), "FILE:3: forward: no knock of a key asks for port 2222/tcp: it carries TCP ports 0..255", 2},
		"file: a forward to itself":  {flags("-conf=" + conf("forward = 80=127.0.0.1:80\n")), "FILE:1: forward: \"127.0.0.1\" is not the address of another host", 2},
		"file: opened and forwarded": {flags("-conf=" + conf("log = l\n[s]\nsequence = 1,2\nopen = 22\nforward = 22=10.0.0.5:22\n")), "FILE:5: [s] forward: port 22/tcp is opened too: it is either opened or forwarded", 2},
		"file: opened and closed":    {flags("-conf=" + conf("log = l\n[s]\nsequence = 1,2\nopen = 22\nclose = 22\n")), "FILE:5: [s] close: port 22/tcp is opened too", 2},
		"file: a name in Latin-1":    {flags("-conf=" + conf("log = l\n[B\xfcro]\n")), "FILE:2: the name of a section has 1 to 64 bytes of printable UTF-8", 2},
		"file: a key in a section":   {flags("-conf=" + conf("log = l\n[alice]\nKey_File = k\n")), "FILE:3: Key_File belongs above the first section, or in one like [key name]", 2},
		"file: a directive outside":  {flags("-conf=" + conf("Seq_Timeout = 5\n")), "FILE:1: Seq_Timeout belongs in a section, below a line like [name]", 2},
		"file: one list":             {flags("-conf=" + conf("log = l\n[a]\none_time_sequences = s\n[b]\none_time_sequences = s\n")), "[b] has the one_time_sequences of [a]: give each section its own file", 2},
		"file: commands for all":     {flags("-conf=" + write(t, "log = l\n[s]\nsequence = 1,2\ncommand = c\n", 0o646)), `others may write "FILE" (mode 0646), and it says which commands are run`, 1},
		"an alias of an interface":   {flags("-interface=eth0:1"), `flag -interface: "eth0:1" is no name of an interface: want one like eth0`, 2},
		"file: until":                {flags("-conf=" + conf("log = l\n[key a]\nkey = k\nuntil = May\n")), `FILE:4: [key a] until: "May" is neither a day like 2027-01-31 nor an instant like 2027-01-31T18:00:00Z`, 2},
		"file: forward":              {flags("-conf=" + conf("forward = 22=host:22\n")), `FILE:1: forward: "host:22" is not where a port can lead to: want an IPv4 address and a port, like 10.0.0.5:22`, 2},
		"cipher none":                {flags("-log=l", "-cipher=none", "-allow-ports=22"), "flag -cipher: none hides nothing: it goes with match-source and allow-ports only", 2},
		"cipher none with a key":     {flags("-log=l", "-cipher=none", "-key=k"), "flag -cipher: none needs no key: with one, name a cipher", 2},
		"a block for two headers":    {flags("-log=l", "-cipher=rijndael", "-key=k", "-header=randomiv"), "flag -header: randomiv goes with Blowfish and DES only: Rijndael has none", 2},
		"two sources":                {flags("-interface=eth0", "-log=l", "-key=k"), "log, interface, nflog and kmsg exclude each other: one is enough", 2},
		"interface":                  {flags("-interface=et h0"), `flag -interface: "et h0" is no name of an interface: want one like eth0`, 2},
		"nflog":                      {flags("-nflog=65536"), "flag -nflog: 65536 is out of range: want a group, 0..65535", 2},
		"file: no =":                 {flags("-conf=" + conf("quiet\n")), "FILE:1: want a line of name = value", 2},
		"file: a flag only":          {flags("-conf=" + conf("replay = f\n")), "FILE:1: replay is a flag only, not for a configuration file", 2},
		"file: huge":                 {flags("-conf=" + conf(strings.Repeat("# xxxxxx\n", maxFile/8))), "FILE: larger than 1048576 bytes, not a configuration file", 2},
		"file: a long line":          {flags("-conf=" + conf(strings.Repeat("x", 2*maxFile))), "FILE: larger than 1048576 bytes, not a configuration file", 2},
		"file: two keys":             {flags("-conf=" + conf("log = l\nkey = a\nkey-file = b\n")), "key and key-file are both given in one place: one must go", 2},
		"file: key for all":          {flags("-conf=" + write(t, "log = l\nkey = secret\n", 0o604)), `others may use "FILE" (mode 0604), and it holds the key`, 1},
	}
	client := map[string]test{
		"no host":         {flags("-port=22", "-key=k"), "no host to knock at", 2},
		"no port":         {flags("-key=k", "-host=h"), "no port: say which to open with -port", 2},
		"port 443":        {flags("-port=443"), "flag -port: 443 does not fit: the classic knock carries ports 0..255; for others see forward at the daemon, or a sequence with digits", 2},
		"port 65536":      {flags("-port=65536"), "flag -port: 65536 is out of range: want a port, 0..65535", 2},
		"port -1":         {flags("-port=-1"), "flag -port: -1 is out of range: want a port, 0..65535", 2},
		"time 256":        {flags("-time=256"), "flag -time: 256 is out of range: want minutes, or 0 for no limit, or 255 to close, 0..255", 2},
		"time":            {flags("-time=1h"), `flag -time: "1h" is not a number: want minutes, or 0 for no limit, or 255 to close, 0..255`, 2},
		"ip":              {flags("-ip=1.2.3"), `flag -ip: "1.2.3" is not an IP address`, 2},
		"ip, IPv6":        {flags("-ip=::1"), "flag -ip: ::1 is not an IPv4 address, and a knock carries no other", 2},
		"delay":           {flags("-delay=10001"), "flag -delay: 10001 is out of range: want milliseconds, 0..10000", 2},
		"two ways":        {flags("-port=22", "-key=k", "-host=h", "-test=true", "-log-to-file=f"), "test and log-to-file exclude each other", 2},
		"two hosts":       {flags("-port=22", "-key=k", "-host=h", "-host=i"), `one host at a time: "i" is one too many`, 2},
		"iv too long":     {flags("-port=22", "-key=k", "-host=h", "-header=randomiv", "-iv=123456789"), `flag -iv: IV is 9 bytes, want 1 to 8 with header "randomiv"`, 2},
		"file: iv":        {flags("-host=h", "-conf="+conf("key = k\nport = 22\niv = 123\n")), `FILE:3: iv: IV is 3 bytes, want exactly 8 with header "none"`, 2},
		"an empty iv":     {flags("-iv="), "flag -iv: it is empty", 2},
		"unreadable home": {flags("-conf=" + os.TempDir()), `failed to read the configuration file "` + os.TempDir() + `": read ` + os.TempDir() + `: is a directory`, 1},
	}
	check := func(t *testing.T, test test, err error) {
		if err == nil {
			t.Fatal("no error")
		}
		got := err.Error()
		for _, v := range test.flags {
			if v.Name == "conf" {
				got = strings.ReplaceAll(got, v.Value, "FILE")
				test.want = strings.ReplaceAll(test.want, v.Value, "FILE")
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if status := ui.Fail(new(strings.Builder), "p", err); status != test.status {
			t.Errorf("status %d, want %d", status, test.status)
		}
		if strings.Contains(got, "secret") || strings.Contains(got, "staple") {
			t.Errorf("a secret in %q", got)
		}
	}
	for name, test := range daemon {
		t.Run("daemon/"+name, func(t *testing.T) {
			t.Parallel()
			_, err := LoadDaemon(test.flags, noEnv)
			check(t, test, err)
		})
	}
	for name, test := range client {
		t.Run("client/"+name, func(t *testing.T) {
			t.Parallel()
			var hosts []string
			var values []ui.Given
			for _, v := range test.flags {
				if v.Name == "host" {
					hosts = append(hosts, v.Value)
				} else {
					values = append(values, v)
				}
			}
			test.flags = values
			_, err := LoadClient(values, hosts, noEnv)
			check(t, test, err)
		})
	}
}

// A key file that others can read is taken where the administrator says so, and so is a file that holds a key.
func TestAllowReadableKey(t *testing.T) {
	t.Parallel()
	for name, values := range map[string][]ui.Given{
		"key file": flags("-log=l", "-allow-readable-key=true", "-key-file="+write(t, "k", 0o644)),
		"file":     flags("-conf=" + write(t, "log = l\nkey = k\nallow-readable-key = true\n", 0o644)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := LoadDaemon(values, noEnv)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(d.Keys[0].Knock.Passphrase); got != "k" {
				t.Errorf("the key is %q", got)
			}
		})
	}
}

func TestKeyOnTheCommandLineIsWarnedOf(t *testing.T) {
	t.Parallel()
	d, err := LoadDaemon(flags("-log=l", "-key=hush"), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Warnings) != 1 || strings.Contains(d.Warnings[0], "hush") {
		t.Errorf("warnings %q", d.Warnings)
	}
}

// Whatever a file holds, what is accepted are names that exist, each once, and no error repeats a line's value.
func FuzzReadKey(f *testing.F) {
	for _, key := range []string{"", "\n", "a long passphrase\n", "two\nlines\n\n", "\x00\xff", strings.Repeat("k", maxKey) + "\n", strings.Repeat("k", maxKey+2)} {
		f.Add([]byte(key))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		key, err := readKey(bytes.NewReader(file))
		if err != nil {
			if key != nil || len(file) > 1 && len(file) <= maxKey {
				t.Fatalf("%q of %d bytes: got %v", key, len(file), err)
			}
			return
		}
		if rest := strings.TrimPrefix(string(file), string(key)); rest != "" && rest != "\n" || len(key) == 0 || len(key) > maxKey {
			t.Fatalf("got a key of %d bytes of a file of %d, and %q is left", len(key), len(file), rest)
		}
	})
}

func FuzzParseFile(f *testing.F) {
	f.Add("log = a\n#\nkey = b\n")
	f.Add("log\r\n[x]\n=\n")
	f.Add("[options]\n\tUseSyslog\n\n[openSSH]\n\tSequence = 7000,8000:udp\n\tcommand = \"a\" %IP%\n[key a]\nkey = b\nuntil = 2027-01-31\n")
	f.Fuzz(func(t *testing.T, content string) {
		of := newDaemon().sectionSettings
		sections, err := parseFile("FILE", strings.NewReader(content), of)
		if err != nil {
			if sections != nil {
				t.Fatal("values and an error")
			}
			return
		}
		titles := map[string]bool{}
		for _, section := range sections {
			settings, err := of(section.title)
			if err != nil || titles[section.title] {
				t.Fatalf("[%s] was accepted: %v", section.title, err)
			}
			titles[section.title] = true
			seen := map[string]bool{}
			for _, v := range section.values {
				if s, ok := find(settings, v.name); !ok || s.flagOnly || seen[v.name] {
					t.Fatalf("%q was accepted", v.name)
				}
				seen[v.name] = true
				if v.text != "" && v.text != "true" && !strings.Contains(content, v.text) {
					t.Fatalf("the value %q is not in the file", v.text)
				}
			}
			_ = (origins{}).apply(settings, section.values)
		}
	})
}

// The values that a setting lists, for who completes them, are values that it takes.
func TestValues(t *testing.T) {
	t.Parallel()
	listed := map[string][]string{}
	for _, s := range append(ClientSettings(), DaemonSettings()...) {
		if len(s.Values) > 0 {
			listed[s.Name] = s.Values
		}
		for _, v := range s.Values {
			if err := s.set(v); err != nil {
				t.Errorf("%s = %s: %v", s.Name, v, err)
			}
		}
	}
	want := map[string][]string{
		"ban-action": {"report", "ignore", "drop"},
		"cipher":     {"Blowfish", "DES", "Rijndael", "none"},
		"header":     {"none", "randomiv"},
		"log-head":   {"syslog", "dmesg", "ulogd"},
		"on-stop":    {"remove", "keep"},
		"output":     {"text", "json"},
	}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
