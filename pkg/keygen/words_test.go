package keygen

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWords(t *testing.T) {
	t.Parallel()
	const client = `In ~/.knockclient.conf on the client, at the end:

    [gate]
    host = gate.example.org
    port = 22
    key-file = ~/gate.key

host is the name or address by which the client reaches this machine, port what it asks for.
If the daemon's file says cipher, header, iv, iv-length or port-min, say the same there.

Copy the key to the client, where nobody else may read it; there, for example:

`
	for name, test := range map[string]struct {
		o    Options
		path string
		p    place
		want string
	}{
		"for one": {Options{}, "/etc/knockdaemon.key", place{host: exampleHost}, `A key of 256 random bits is in /etc/knockdaemon.key (mode 0600).

In /etc/knockdaemon.conf, above the first section, in place of any other key there:

    key-file = /etc/knockdaemon.key

` + client + `    scp gate.example.org:/etc/knockdaemon.key ~/gate.key
    chmod 600 ~/gate.key
`},
		"for several, as root": {
			Options{Name: "alice", Conf: "/etc/knock.conf"}, "/root/alice's key", place{host: exampleHost, user: "root", service: true},
			`A key of 256 random bits is in /root/alice's key (mode 0600).

In /etc/knock.conf, at the end:

    [key alice]
    key-file = /root/alice's key

The service runs as the user knockdaemon, which must own the file:

    chown knockdaemon '/root/alice'\''s key'

The service does not see what is in /root: move the file, to /etc for example.

` + client + `    scp 'root@gate.example.org:/root/alice'\''s key' ~/gate.key
    chmod 600 ~/gate.key
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := words(test.o, test.path, "SECRET", test.p)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestSaneHost(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"gate":                          "gate",
		"Gate-2.Example.ORG.":           "gate-2.example.org",
		"":                              exampleHost,
		"(none)":                        exampleHost,
		"localhost":                     exampleHost,
		"localhost.localdomain":         exampleHost,
		"192.0.2.1":                     exampleHost,
		"a b":                           exampleHost,
		"a]\nkey = b":                   exampleHost,
		"a..b":                          exampleHost,
		"-a":                            exampleHost,
		strings.Repeat("a", 64):         exampleHost,
		"a_b":                           exampleHost,
		strings.Repeat("a.", 99):        strings.Repeat("a.", 98) + "a",
		"a" + strings.Repeat(".a", 127): exampleHost,
	} {
		if got := sane(host); got != want {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
	}
}

func TestHidden(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/etc/key": "", "/rootkey": "", "/var/lib/tmp/key": "", "/home": "",
		"/root/key": "/root", "/home/a/key": "/home", "/tmp/key": "/tmp", "/var/tmp/key": "/var/tmp", "/run/user/0/key": "/run/user",
	} {
		if got := hidden(path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

// A real shell reads back what is quoted for it.
func TestQuote(t *testing.T) {
	t.Parallel()
	for _, v := range []string{"/etc/key", "a b", "it's", "$HOME", "`id`", "a;b", `\`, `"`, "*", "é", "~/x", "a&b", "#"} {
		out, err := exec.Command("sh", "-c", "printf %s "+quote(v)).Output()
		if err != nil || string(out) != v {
			t.Errorf("%s comes back as %s, %v", v, out, err)
		}
	}
}
