package keygen

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/ui"
)

// run makes a key, and gives what is said and what is in the file.
func run(t *testing.T, o Options) (said, key string) {
	t.Helper()
	var b bytes.Buffer
	if err := Run(o, &b); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), strings.TrimSuffix(string(text), "\n")
}

// section gives the lines of said that are set in below the line that begins so.
func section(t *testing.T, said, begin string) string {
	t.Helper()
	_, rest, ok := strings.Cut("\n"+said, "\n"+begin)
	if !ok {
		t.Fatalf("nothing begins with %q in\n%s", begin, said)
	}
	_, rest, _ = strings.Cut(rest, "\n\n")
	text, _, _ := strings.Cut(rest, "\n\n")
	return text + "\n"
}

func conf(t *testing.T, text string) []ui.Given {
	t.Helper()
	path := filepath.Join(t.TempDir(), "conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return []ui.Given{{Name: "conf", Value: path}}
}

func TestKey(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 200 { // so that each of base64's characters comes
		key := newKey()
		raw, err := base64.StdEncoding.DecodeString(key)
		if err != nil || len(raw) != 32 || seen[key] {
			t.Fatalf("%q is %d bytes, %v, seen before: %t", key, len(raw), err, seen[key])
		}
		seen[key] = true
	}
}

// What is said for the daemon's file is understood there, and the key is the one in the file.
func TestDaemonTakesIt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ file, key string }{
		"at the top":           {"key", ""},
		"in a section":         {"key", "alice"},
		"with blanks":          {"a key ", "alice's old phone"},
		"with all sorts":       {`"k=#;[x]'é`, "a]"},
		"with the longest one": {"key", strings.Repeat("é", maxName/2)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said, key := run(t, Options{Path: filepath.Join(t.TempDir(), test.file), Name: test.key, Conf: "CONF"})
			got, err := config.LoadDaemon(conf(t, "log = /nowhere\n"+section(t, said, "In CONF,")), func(string) string { return "" })
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Keys) != 1 || got.Keys[0].Name != test.key || string(got.Keys[0].Knock.Passphrase) != key {
				t.Errorf("the keys are %+v, want one for %q, the one in the file", got.Keys, test.key)
			}
		})
	}
}

// loadClient reads the lines of a host's section as a client does.
func loadClient(t *testing.T, lines string) *config.Client {
	t.Helper()
	title, _, _ := strings.Cut(strings.TrimSpace(lines), "\n")
	got, err := config.LoadClient(conf(t, lines), []string{strings.Trim(title, "[]")}, func(string) string { return "" })
	if err != nil {
		t.Fatalf("%v, of\n%s", err, lines)
	}
	return got
}

// What is said for the client is understood there, and so is the key of any kind as a value.
func TestClientTakesIt(t *testing.T) {
	t.Parallel()
	o := Options{Path: filepath.Join(t.TempDir(), "key")}
	said, key := run(t, o)
	lines := regexp.MustCompile(`~/.*\.key`).ReplaceAllLiteralString(section(t, said, "In ~/.knockclient.conf"), o.Path)
	if got := loadClient(t, lines); !slices.Equal(got.Ports, []uint16{22}) || string(got.Knock.Passphrase) != key {
		t.Errorf("the client takes %+v of\n%s", got, lines)
	}
	for range 200 { // with = + and / in all places
		key := newKey()
		got := loadClient(t, clientLines(exampleHost, "key = "+key))
		if got.Host != exampleHost || !slices.Equal(got.Ports, []uint16{22}) || string(got.Knock.Passphrase) != key || got.IP != (netip.Addr{}) {
			t.Fatalf("the client takes %+v of the key %q", got, key)
		}
	}
}

func TestNothingSaysTheKey(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{}, {Name: "alice"}, {QR: true}} {
		o.Path = filepath.Join(t.TempDir(), "key")
		if said, key := run(t, o); strings.Contains(said, key[:8]) {
			t.Errorf("%+v: the key is said", o)
		}
		err := Run(o, io.Discard)
		if text, _ := os.ReadFile(o.Path); err == nil || strings.Contains(err.Error(), string(text[:8])) {
			t.Errorf("%+v: for the second time: %v", o, err)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	const name = "the name of a key has 1 to 60 bytes of printable UTF-8, and no blanks but single ones inside"
	for title, test := range map[string]struct {
		o    Options
		want string
	}{
		"no path":          {Options{}, "no file for the key: its name is empty"},
		"a path of lines":  {Options{Path: "/tmp/a\nkey = b"}, `the path "/tmp/a\nkey = b" cannot stand in a configuration file: it has unprintable characters`},
		"a path, not text": {Options{Path: "/tmp/\xff"}, `the path "/tmp/\xff" cannot stand in a configuration file: it has unprintable characters`},
		"two lines":        {Options{Path: "k", Name: "a]\n[b"}, name},
		"a long name":      {Options{Path: "k", Name: strings.Repeat("a", 61)}, name},
		"no text":          {Options{Path: "k", Name: "\xff"}, name},
		"an escape":        {Options{Path: "k", Name: "\x1b[2J"}, name},
		"blanks around":    {Options{Path: "k", Name: " a"}, name},
		"two blanks":       {Options{Path: "k", Name: "a  b"}, name},
		"a blank":          {Options{Path: "k", Name: " "}, name},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			err := Run(test.o, &b)
			if err == nil || err.Error() != test.want || b.Len() != 0 {
				t.Fatalf("got %v and %q, want %s", err, b.String(), test.want)
			}
			if status := ui.Fail(io.Discard, "x", err); status != ui.StatusUsage {
				t.Errorf("status %d, want that of wrong use", status)
			}
		})
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// A key that is made stays, for part of what was said may have been heard.
func TestNobodyListens(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	err := Run(Options{Path: path}, brokenPipe{})
	want := `failed to say what to do with the key (the file "` + path + `" is made): broken pipe`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if diff := cmp.Diff([]string{"-rw------- 45 key"}, list(t, filepath.Dir(path))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
