package config

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/sequence"
	"github.com/portknock/knock/pkg/ui"
)

func steps(text string) []sequence.Step {
	all, err := sequence.Parse(text)
	if err != nil {
		panic(err)
	}
	return all
}

// A file with all that an encrypted knock needs.
const sealedFile = "key = secret\nport = 22\nip = 192.0.2.7\ntime = 5\nheader = randomiv\n"

// What is asked for, and nothing else, is taken from the flags, the arguments and the file.
func TestKindsOfKnock(t *testing.T) {
	t.Parallel()
	file := "-conf=" + write(t, sealedFile, 0o600)
	// What the file says stays where nobody looks at it.
	filled := func(c *Client) {
		c.Time, c.IP, c.Knock.Header = 5, netip.MustParseAddr("192.0.2.7"), knock.HeaderRandomIV
	}
	for name, test := range map[string]struct {
		flags []ui.Given
		args  string
		env   string // KNOCK_KEY
		want  func(*Client)
	}{
		"a sequence": {flags("-sequence=7000,8000:udp,9000"), "host", "", func(c *Client) {
			c.Host, c.Sequence = "host", steps("7000,8000:udp,9000")
		}},
		"ports behind the host": {nil, "host 7000 8000:udp 9000:tcp", "", func(c *Client) {
			c.Host, c.Sequence = "host", steps("7000,8000:udp,9000")
		}},
		"to print, without a host": {flags("-sequence=1,2", "-test=true"), "", "", func(c *Client) {
			c.Sequence, c.Test = steps("1,2"), true
		}},
		"a key in the environment is no matter": {flags("-sequence=1,2"), "host", "s", func(c *Client) {
			c.Host, c.Sequence = "host", steps("1,2")
		}},
		"nor is a file": {flags(file), "host 1 2", "", func(c *Client) {
			filled(c)
			c.Host, c.Sequence = "host", steps("1,2")
		}},
		"nor is a port in it that does not fit": {flags("-conf=" + write(t, "port = 443", 0o600)), "host 1 2", "", func(c *Client) {
			c.Host, c.Sequence = "host", steps("1,2")
		}},
		"ports win over a file's sequence": {flags("-conf=" + write(t, "sequence = 1,2", 0o600)), "host 3:udp", "", func(c *Client) {
			c.Host, c.Sequence = "host", steps("3:udp")
		}},
		"digits": {flags("-sequence=1042,1044,1043", "-digits=1040", "-port=2222"), "host", "", func(c *Client) {
			c.Host, c.Ports, c.Sequence = "host", []uint16{2222}, steps("1042,1044,1043,1042,1042,1042,1042,1042,1044,1043")
		}},
		"digits, of a file's port": {flags(file, "-digits=65526"), "host 1", "", func(c *Client) {
			filled(c)
			c.Host, c.Ports, c.Sequence = "host", []uint16{22}, steps("1,65528,65528,1")
		}},
		"a pad": {flags("-pad=p", "-port=22", "-port-min=1000"), "host", "", func(c *Client) {
			c.Host, c.Pad, c.Ports, c.Knock.PortMin = "host", "p", []uint16{22}, 1000
		}},
		"a pad over a file's key": {flags(file, "-pad=p", "-allow-readable-key=true"), "host", "", func(c *Client) {
			filled(c)
			c.Host, c.Pad, c.Ports, c.AllowReadable = "host", "p", []uint16{22}, true
		}},
		"a pad over the environment": {flags("-pad=p", "-port=22"), "host", "s", func(c *Client) {
			c.Host, c.Pad, c.Ports = "host", "p", []uint16{22}
		}},
		"a key over a file's pad": {flags("-conf="+write(t, "pad = p\nport = 22", 0o600), "-key=s"), "host", "", func(c *Client) {
			c.Host, c.Ports, c.Knock.Passphrase, c.Warnings = "host", []uint16{22}, []byte("s"), keyWarnings(flags("-key=s"))
		}},
		"no cipher": {flags("-cipher=None", "-port=22"), "host", "s", func(c *Client) {
			c.Host, c.Ports, c.Knock.Cipher = "host", []uint16{22}, knock.CipherNone
			c.Warnings = []string{"cipher none hides nothing: whoever sees this knock can read it, and make others"}
		}},
		"Rijndael": {flags("-cipher=rijndael", "-port=22", "-iv=0123456789abcdef"), "host", "s", func(c *Client) {
			c.Host, c.Ports, c.Knock = "host", []uint16{22}, knock.Options{
				Passphrase: []byte("s"), Cipher: knock.CipherRijndael, Header: knock.HeaderNone, IV: []byte("0123456789abcdef")}
		}},
		"a short IV": {flags("-header=randomiv", "-port=22", "-iv-length=3"), "host", "s", func(c *Client) {
			c.Host, c.Ports, c.Knock = "host", []uint16{22}, knock.Options{
				Passphrase: []byte("s"), Header: knock.HeaderRandomIV, IVLength: 3}
		}},
		"a new pad": {flags("-make-pad=p", "-knocks=7"), "", "s", func(c *Client) { c.Other.MakePad, c.Other.Knocks = "p", 7 }},
		"a new pad beside a file": {flags("-make-pad=p", file), "", "", func(c *Client) {
			filled(c)
			c.Other.MakePad, c.Other.Knocks = "p", 1000
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := func(name string) string { return map[string]string{"KNOCK_KEY": test.env}[name] }
			got, err := LoadClient(test.flags, strings.Fields(test.args), env)
			if err != nil {
				t.Fatal(err)
			}
			want := newClient()
			want.Delay = 20 * time.Millisecond
			test.want(want)
			if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Client{}), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// refusal gives why a client's flags and arguments are wrong use, which they must be. FILE is what -conf names.
func refusal(t *testing.T, flags []ui.Given, args string) string {
	t.Helper()
	c, err := LoadClient(flags, strings.Fields(args), noEnv)
	if err == nil || c != nil {
		t.Fatalf("got %+v, error %v", c, err)
	}
	if status := ui.Fail(new(strings.Builder), "p", err); status != ui.StatusUsage {
		t.Errorf("status %d, want %d", status, ui.StatusUsage)
	}
	text := err.Error()
	for _, f := range flags {
		if f.Name == "conf" {
			text = strings.ReplaceAll(text, f.Value, "FILE")
		}
	}
	return text
}

// What goes with another kind of knock is refused as a flag, and what is missing is named.
func TestWrongKindsOfKnock(t *testing.T) {
	t.Parallel()
	const other = "it does not go with a sequence, which says nothing but its ports"
	conf := func(text string) string { return "-conf=" + write(t, text, 0o600) }
	for name, test := range map[string]struct {
		flags []ui.Given
		args  string
		want  string
	}{
		"two hosts":              {flags("-port=22", "-key=k"), "host other", `one host at a time: "other" is one too many`},
		"two addresses":          {flags("-port=22", "-key=k"), "192.0.2.1 192.0.2.2", `one host at a time: "192.0.2.2" is one too many`},
		"a port and a host":      {nil, "host 7000 other", `one host at a time: "other" is one too many`},
		"no port":                {nil, "host 70000", `"70000" is no port: want 1..65535`},
		"no protocol":            {nil, "host 7000:icmp", `"icmp" is no protocol: want 7000:tcp or 7000:udp`},
		"too many ports":         {nil, "host" + strings.Repeat(" 1", 33), "a sequence of 33 ports is too long: want 1 to 32"},
		"no sequence":            {flags("-sequence="), "host", "flag -sequence: a part of the sequence is empty: want ports with commas, like 7000,8000:udp,9000"},
		"two sequences":          {flags("-sequence=1,2"), "host 3", "flag -sequence: the ports behind the host are a sequence too: one must go"},
		"no host":                {flags("-sequence=1,2"), "", "no host to knock at"},
		"a port":                 {flags("-port=22"), "host 1 2", "flag -port: it goes with a sequence only if there are digits, or verify, proxy or exec"},
		"a key":                  {flags("-key=k"), "host 1 2", "flag -key: " + other},
		"a key file":             {flags("-key-file=k"), "host 1 2", "flag -key-file: " + other},
		"a pad and a sequence":   {flags("-pad=k"), "host 1 2", "flag -pad: " + other},
		"a time":                 {flags("-time=5", "-digits=1040", "-port=22"), "host 1 2", "flag -time: " + other},
		"an address":             {flags("-ip=192.0.2.1", "-sequence=1,2"), "host", "flag -ip: " + other},
		"a port over a file's":   {flags(conf("sequence = 1,2"), "-port=22"), "host", "flag -port: it goes with a sequence only if there are digits, or verify, proxy or exec"},
		"digits alone":           {flags("-digits=1040", "-port=22", "-key=k"), "host", "flag -digits: it goes with a sequence only"},
		"digits too high":        {flags("-digits=65527"), "host", "flag -digits: 65527 is out of range: want a port with 9 more above it, 1..65526"},
		"digits of no port":      {flags("-digits=1040"), "host 1 2", "no port: say which to open with -port"},
		"digits of port 0":       {flags("-digits=1040", "-port=0"), "host 1 2", "flag -port: 0 is no port to ask for: want 1..65535"},
		"digits that mislead":    {flags("-digits=1040", "-port=112"), "host 1041", "flag -port: port 112 cannot be asked for with 1041 and digit 0 at 1040: it would be read as 1"},
		"two secrets":            {flags("-pad=p", "-key=k", "-port=22"), "host", "flag -pad: pad and key exclude each other: give one of them"},
		"two secrets in a file":  {flags(conf("pad = p\nkey-file = k\nport = 22")), "host", "FILE:1: pad: pad and key exclude each other: give one of them"},
		"an empty pad":           {flags("-pad="), "host", "flag -pad: it is empty"},
		"a pad with a cipher":    {flags("-pad=p", "-port=22", "-cipher=DES"), "host", "flag -cipher: it does not go with a pad"},
		"a pad for port 443":     {flags("-pad=p", "-port=443"), "host", "flag -port: 443 does not fit: the classic knock carries ports 0..255; for others see forward at the daemon, or a sequence with digits"},
		"a file's port 443":      {flags(conf("key = k\nport = 443")), "host", "FILE:2: port: 443 does not fit: the classic knock carries ports 0..255; for others see forward at the daemon, or a sequence with digits"},
		"a key for no cipher":    {flags("-cipher=none", "-port=22", "-key=k"), "host", "flag -key: cipher none has no key, and hides nothing"},
		"no cipher, but an IV":   {flags("-cipher=none", "-port=22", "-iv=12345678"), "host", `flag -iv: an IV is given, and cipher "none" has none`},
		"no cipher, a header":    {flags("-cipher=none", "-port=22", "-header=randomiv"), "host", "flag -header: randomiv goes with Blowfish and DES only: none has none"},
		"Rijndael with a header": {flags("-cipher=Rijndael", "-port=22", "-key=k", "-header=randomiv"), "host", "flag -header: randomiv goes with Blowfish and DES only: Rijndael has none"},
		"Rijndael's IV":          {flags("-cipher=Rijndael", "-port=22", "-key=k", "-iv=01234567"), "host", `flag -iv: IV is 8 bytes, want exactly 16 with cipher "Rijndael" and header "none"`},
		"IV length, no header":   {flags("-iv-length=4", "-port=22", "-key=k"), "host", "flag -iv-length: it goes with header = randomiv only: without the header an IV has a block's length"},
		"IDEA":                   {flags("-cipher=IDEA"), "host", `flag -cipher: cipher "IDEA" is not supported: it was patented until 2012, and there is neither a maintained Go implementation nor a Crypt::IDEA in Debian to hold it against`},
		"a cipher":               {flags("-cipher=AES"), "host", `flag -cipher: cipher "AES" is unknown, want "Blowfish", "DES", "Rijndael" or "none"`},
		"knocks alone":           {flags("-knocks=5", "-port=22", "-key=k"), "host", "flag -knocks: it goes with make-pad only"},
		"too many knocks":        {flags("-make-pad=p", "-knocks=1000001"), "", "flag -knocks: 1000001 is out of range: want knocks, 1..1000000"},
		"a new pad and a host":   {flags("-make-pad=p"), "host", `no host has a place beside make-pad, which sends nothing: "host" is one too many`},
		"a new pad and a port":   {flags("-make-pad=p", "-port=22"), "", "flag -port: it does not go with make-pad"},
		"a new pad, old pad":     {flags("-make-pad=p", "-pad=p"), "", "flag -pad: it does not go with make-pad"},
		"a new pad in a file":    {flags(conf("make-pad = p")), "", "FILE:1: make-pad is a flag only, not for a configuration file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, refusal(t, test.flags, test.args)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
