package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/ui"
)

// at is an environment with a home directory.
func at(home string) func(string) string {
	return func(name string) string { return map[string]string{"HOME": home}[name] }
}

// A section says all that a flag can, and wins over what stands above it.
func TestHosts(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	for name, text := range map[string]string{
		"office.key": "of the office\n", "home.key": "of home\n",
		".knockclient.conf": "key-file = ~/home.key\nport = 22\ntime = 5\n\n" +
			"[office]\nhost = gate.example.org\nport = 22,80\nkey-file = ~/office.key\nverify\nRetries = 2\n" +
			"[web]\nexec = date\n[192.0.2.9]\ntime = 255\n[knockd]\nhost = old.example.org\nsequence = 7000,8000:udp\n",
	} {
		writeAt(t, filepath.Join(home, name), text)
	}
	for name, test := range map[string]struct {
		flags []ui.Given
		args  string
		want  func(*Client)
	}{
		"no section": {nil, "gate.example.org", func(c *Client) {
			c.Host, c.Ports, c.Time, c.Knock.Passphrase = "gate.example.org", []uint16{22}, 5, []byte("of home")
		}},
		"a section": {nil, "office", func(c *Client) {
			c.Host, c.Ports, c.Time, c.Knock.Passphrase = "gate.example.org", []uint16{22, 80}, 5, []byte("of the office")
			c.After = After{Verify: true, Retries: 2}
		}},
		"a flag wins": {flags("-port=443", "-digits=1040", "-sequence=1042", "-verify=false"), "office", func(c *Client) {
			c.Host, c.Ports, c.Time, c.Sequence = "gate.example.org", []uint16{443}, 5, steps("1042,1044,1044,1043,1042")
			c.After.Retries = 2
		}},
		"named as the host is": {nil, "192.0.2.9", func(c *Client) {
			c.Host, c.Ports, c.Time, c.Knock.Passphrase = "192.0.2.9", []uint16{22}, 255, []byte("of home")
		}},
		"a sequence": {nil, "knockd", func(c *Client) {
			c.Host, c.Time, c.Sequence = "old.example.org", 5, steps("7000,8000:udp")
		}},
		"ssh names the host": {flags("-proxy=true"), "gate.example.org 22", func(c *Client) {
			c.Host, c.Ports, c.Time, c.Knock.Passphrase = "gate.example.org", []uint16{22}, 5, []byte("of the office")
			c.After = After{Verify: true, Retries: 2, Proxy: true}
		}},
		"ssh names the host, in other letters": {flags("-proxy=true"), "Gate.example.ORG 22", func(c *Client) {
			c.Host, c.Ports, c.Time, c.Knock.Passphrase = "gate.example.org", []uint16{22}, 5, []byte("of the office")
			c.After = After{Verify: true, Retries: 2, Proxy: true}
		}},
		"ssh names the section, in other letters": {flags("-proxy=true"), "OFFICE 80", func(c *Client) {
			c.Host, c.Ports, c.Time, c.Knock.Passphrase = "gate.example.org", []uint16{80}, 5, []byte("of the office")
			c.After = After{Verify: true, Retries: 2, Proxy: true}
		}},
		"ssh names the section": {flags("-proxy=true"), "office 80", func(c *Client) {
			c.Host, c.Ports, c.Time, c.Knock.Passphrase = "gate.example.org", []uint16{80}, 5, []byte("of the office")
			c.After = After{Verify: true, Retries: 2, Proxy: true}
		}},
		"a command": {nil, "web", func(c *Client) {
			c.Host, c.Ports, c.Time, c.Knock.Passphrase = "web", []uint16{22}, 5, []byte("of home")
			c.After.Exec = "date"
		}},
		"closed, which leaves nothing for the command": {flags("-time=255", "-json=true"), "web", func(c *Client) {
			c.Host, c.Ports, c.Time, c.Knock.Passphrase = "web", []uint16{22}, 255, []byte("of home")
			c.After.Verify, c.JSON = true, true
		}},
		"a flag is quiet": {flags("-conf="+write(t, "debug = true\nkey = k\nport = 22\n", 0o600), "-quiet=true"), "x", func(c *Client) {
			c.Host, c.Ports, c.Knock.Passphrase, c.Quiet = "x", []uint16{22}, []byte("k"), true
		}},
		"a host without a key": {flags("-conf=" + write(t, "key = k\nport = 22\n[open]\ncipher = none\n", 0o600)), "open", func(c *Client) {
			c.Host, c.Ports, c.Knock.Cipher = "open", []uint16{22}, knock.CipherNone
			c.Warnings = []string{"cipher none hides nothing: whoever sees this knock can read it, and make others"}
		}},
		"asked for the address": {flags("-ip=resolve", "-ip-service=https://ip.example.net/"), "192.0.2.9", func(c *Client) {
			c.Host, c.Ports, c.Time, c.Knock.Passphrase = "192.0.2.9", []uint16{22}, 255, []byte("of home")
			c.IPService = "https://ip.example.net/"
		}},
		"a service is not asked unless it is to be": {flags("-ip=auto", "-ip-service=https://ip.example.net/"), "192.0.2.9", func(c *Client) {
			c.Host, c.Ports, c.Time, c.Knock.Passphrase = "192.0.2.9", []uint16{22}, 255, []byte("of home")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := LoadClient(test.flags, strings.Fields(test.args), at(home))
			if err != nil {
				t.Fatal(err)
			}
			want := newClient()
			test.want(want)
			if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Client{}), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	names, err := HostNames(nil, at(home))
	if diff := cmp.Diff([]string{"office", "web", "192.0.2.9", "knockd"}, names); diff != "" || err != nil {
		t.Errorf("the names: %v (-want +got)\n%s", err, diff)
	}
}

func writeAt(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// manyPorts gives ",1,2,3" up to 64.
func manyPorts() (list string) {
	for port := range 64 {
		list += fmt.Sprintf(",%d", port+1)
	}
	return list
}

func TestWrongHosts(t *testing.T) {
	t.Parallel()
	conf := func(text string) string { return "-conf=" + write(t, text, 0o600) }
	const key = "key = k\nport = 22\n"
	for name, test := range map[string]struct {
		flags []ui.Given
		args  string
		want  string
	}{
		"a host above":         {flags(conf("host = x\n")), "x", "FILE:1: host belongs in a section, below a line like [name]"},
		"two words":            {flags(conf(key + "[the office]\n")), "x", `FILE:3: "the office" is no name to knock by: want one word, like office`},
		"like a flag":          {flags(conf(key + "[-office]\n")), "x", `FILE:3: "-office" is no name to knock by: want one word, like office`},
		"twice":                {flags(conf(key + "[a]\n[a]\n")), "x", "FILE:4: [a] is there twice, first in FILE:3: [a]"},
		"a wrong port":         {flags(conf(key + "[a]\nport = 70000\n")), "a", "FILE:4: [a] port: 70000 is out of range: want a port, 0..65535"},
		"an unknown name":      {flags(conf(key + "[a]\nprot = 7\n")), "x", "FILE:4: unknown setting prot, did you mean port?"},
		"a flag only":          {flags(conf(key + "[a]\nsave = b\n")), "x", "FILE:4: save is a flag only, not for a configuration file"},
		"an empty host":        {flags(conf(key + "[a]\nhost =\n")), "a", "FILE:4: [a] host: it is empty"},
		"a key unused":         {flags(conf("cipher = none\nport = 22\n[a]\nkey = k\n")), "a", "FILE:1: cipher: none needs no key: with one, name a cipher"},
		"unused in a section":  {flags(conf("port = 22\n[a]\nkey = k\ncipher = none\n")), "a", "FILE:4: [a] cipher: none needs no key: with one, name a cipher"},
		"a port twice":         {flags("-key=k", "-port=22,80,22"), "x", "flag -port: port 22 is there twice"},
		"nobody to ask":        {flags(conf(key), "-ip=resolve"), "x", "flag -ip: nobody is set to be asked for the address"},
		"a file as service":    {flags(conf(key), "-ip-service=/etc/ip"), "x", "flag -ip-service: want a URL like https://HOST/PATH"},
		"retries for nothing":  {flags(conf(key), "-retries=3"), "x", "flag -retries: it goes with verify, proxy or exec"},
		"too many retries":     {flags(conf(key), "-verify=true", "-retries=21"), "x", "flag -retries: 21 is out of range: want times, 0..20"},
		"verify, unsent":       {flags(conf(key), "-verify=true", "-test=true"), "x", "flag -verify: nothing is sent, so there is nothing to see then"},
		"json, unsent":         {flags(conf(key), "-json=true", "-test=true"), "x", "flag -json: nothing is sent, so there is nothing to see then"},
		"proxy without a port": {flags(conf("key = k\nport = 22,80"), "-proxy=true"), "x", "no port to connect to: want -proxy HOST PORT"},
		"proxy, two ports":     {flags(conf(key), "-proxy=true"), "x 22 80", `"80" is one too many: want -proxy HOST PORT`},
		"proxy, no number":     {flags(conf(key), "-proxy=true"), "x ssh", `"ssh" is not a number: want a port, 0..65535`},
		"proxy and a flag":     {flags(conf(key), "-proxy=true", "-port=22"), "x 22", "flag -port: the port stands behind the host: -proxy HOST PORT"},
		"proxy to close":       {flags(conf(key), "-proxy=true", "-time=255"), "x 22", "flag -time: 255 closes the port: nothing can use it then"},
		"exec to close":        {flags(conf(key), "-exec=date", "-time=255"), "x", "flag -time: 255 closes the port: nothing can use it then"},
		"proxy and exec":       {flags(conf(key), "-proxy=true", "-exec=true"), "x 22", "flag -exec: it does not go with proxy, which is for the bytes of the connection alone"},
		"exec and json":        {flags(conf(key), "-exec=true", "-json=true"), "x", "flag -json: it does not go with exec, whose command has the word"},
		"a sequence, no port":  {flags("-verify=true"), "x 1 2", "no port: say which to open with -port"},
		"hosts and a host":     {flags("-hosts=true"), "x", `no host has a place beside hosts, which sends nothing: "x" is one too many`},
		"lab and a port":       {flags("-lab=true", "-port=22"), "", "flag -port: it does not go with lab"},
		"a lab's port, no lab": {flags("-lab-port=8000", "-port=22", "-key=k"), "x", "flag -lab-port: it goes with lab only"},
		"too many ports":       {flags("-key=k", "-port=0"+manyPorts()), "x", "flag -port: 65 ports are too many: want 1 to 64"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, refusal(t, test.flags, test.args)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// What is saved is what the flags said, whatever was in the file stays, and what would not work is not saved.
func TestSave(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	key := filepath.Join(home, "my key")
	writeAt(t, key, "k\n")
	conf := filepath.Join(home, ".knockclient.conf")
	given := flags("-save=office", "-port=22,80", "-key-file="+key, "-verify=true", `-iv=" 34567"`)
	title, path, err := SaveHost(given, []string{"gate.example.org"}, at(home))
	if err != nil || title != "office" || path != conf {
		t.Fatalf("saved as %q in %q, %v", title, path, err)
	}
	text := "[office]\nhost = gate.example.org\nport = 22,80\nkey-file = " + key + "\nverify = true\niv = \"\" 34567\"\"\n"
	checkFile(t, conf, text, 0o600)
	got, err := LoadClient(nil, []string{"office"}, at(home))
	if err != nil || got.Host != "gate.example.org" || string(got.Knock.IV) != `" 34567"` || !got.After.Verify {
		t.Errorf("it is read as %+v, %v", got, err)
	}

	for name, test := range map[string]struct {
		flags []ui.Given
		args  []string
		want  string
	}{
		"the name again": {flags("-save=office", "-port=22", "-key-file="+key), []string{"x"}, conf + ":1: [office] is there already"},
		"a passphrase":   {flags("-save=a", "-port=22", "-key=secret"), []string{"x"}, "flag -key: a passphrase is not written into the configuration file: give -key-file"},
		"no port":        {flags("-save=a", "-key-file="+key), []string{"x"}, "no port: say which to open with -port"},
		"two lines":      {flags("-save=a", "-port=22", "-key-file="+key, "-exec=a\nb"), []string{"x"}, "a value with a line's end in it has no place in a configuration file"},
		"a flag only":    {flags("-save=a", "-key-file="+key, "-proxy=true"), []string{"x", "22"}, conf + ":11: proxy is a flag only, not for a configuration file"},
	} {
		_, _, err := SaveHost(test.flags, test.args, at(home))
		if err == nil || err.Error() != test.want || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
	checkFile(t, conf, text, 0o600)

	// A link stays a link, and a mode a mode; what is there stays, to the letter.
	dots := filepath.Join(home, "dots")
	writeAt(t, dots, "# mine\ntime = 7") // without a newline
	if err := os.Chmod(dots, 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(home, "link")
	if err := os.Symlink(dots, link); err != nil {
		t.Fatal(err)
	}
	if _, _, err := SaveHost(flags("-save=old", "-conf="+link), []string{"192.0.2.1", "7000", "8000:udp"}, at(home)); err != nil {
		t.Fatal(err)
	}
	checkFile(t, dots, "# mine\ntime = 7\n\n[old]\nhost = 192.0.2.1\nsequence = 7000,8000:udp\n", 0o644)
	if to, err := os.Readlink(link); err != nil || to != dots {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	if err := os.Remove(dots); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("failed to write the configuration file: %q is a link that leads nowhere", link)
	if _, _, err := SaveHost(flags("-save=new", "-conf="+link, "-sequence=1,2"), []string{"x"}, at(home)); err == nil || err.Error() != want {
		t.Errorf("a link to nothing: %v, want %s", err, want)
	}
	left, err := filepath.Glob(filepath.Join(home, ".*-*"))
	if len(left) > 0 || err != nil {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// Who saves at the same time loses nothing, and the owner of a file stays.
func TestSaveTogether(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	key, conf := filepath.Join(home, "key"), filepath.Join(home, ".knockclient.conf")
	writeAt(t, key, "k\n")
	writeAt(t, conf, "time = 7\n")
	const owner = 4711
	if err := os.Chown(conf, owner, owner); err != nil {
		t.Fatal(err) // the tests are root's
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if _, _, err := SaveHost(flags(fmt.Sprintf("-save=n%d", i), "-port=22", "-key-file="+key), []string{"192.0.2.1"}, at(home)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	names, err := HostNames(nil, at(home))
	slices.Sort(names)
	if diff := cmp.Diff(strings.Fields("n0 n1 n2 n3 n4 n5 n6 n7"), names); diff != "" || err != nil {
		t.Errorf("the names: %v (-want +got)\n%s", err, diff)
	}
	info, err := os.Stat(conf)
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != owner || info.Sys().(*syscall.Stat_t).Gid != owner {
		t.Errorf("the file is now of %+v, %v", info, err)
	}
}

// A file's command is run only if nobody else can write it there; a flag's always.
func TestExecOfOthers(t *testing.T) {
	t.Parallel()
	const text = "port = 22\ncipher = none\n[x]\nexec = true\n"
	shared, foreign := write(t, text, 0o662), write(t, text, 0o600)
	if err := os.Chown(foreign, 4711, 4711); err != nil {
		t.Fatal(err) // the tests are root's
	}
	for path, want := range map[string]string{
		shared:  fmt.Sprintf("others may write %q (mode 0662), and it says which commands are run", shared),
		foreign: fmt.Sprintf("%q belongs to another user, who can so have any command run", foreign),
	} {
		if c, err := LoadClient(flags("-conf="+path), []string{"x"}, noEnv); c != nil || err == nil || err.Error() != want {
			t.Errorf("got %+v, %v, want %s", c, err, want)
		}
		for name, words := range map[string][]string{"a flag's": {"-conf=" + path, "-exec=date"}, "none": {"-conf=" + path, "-proxy=true"}} {
			if _, err := LoadClient(flags(words...), []string{"x"}, noEnv); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func checkFile(t *testing.T, path, want string, mode os.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	info, serr := os.Stat(path)
	if err != nil || serr != nil || string(got) != want || info.Mode() != mode {
		t.Errorf("%s has %v, %v, %v and\n%s\nwant %v and\n%s", path, err, serr, info.Mode(), got, mode, want)
	}
}
