package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/ui"
)

// A desk is a directory in which the examples of a page are tried one after another, as if it were the root of the file
// system and a home at once.
type desk struct {
	dir string
	env map[string]string
}

// standIns are files that examples speak of without making them.
var standIns = map[string]string{
	"gate.key":          "open sesame",
	"home.pad":          "its bytes do not matter until one knocks",
	"etc/knockd.conf":   "[options]\nlogfile = /var/log/knockd.log\n[wake]\nsequence = 7000,8000,9000\ncommand = /bin/true\n",
	"var/log/knock.log": "",
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{dir: t.TempDir(), env: map[string]string{}}
	for name, text := range standIns {
		path := filepath.Join(d.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		writeTemp(t, filepath.Dir(path), filepath.Base(path), text, 0o600)
	}
	return d
}

func (d *desk) getenv(name string) string {
	if name == "HOME" {
		return d.dir
	}
	return d.env[name]
}

func (d *desk) environ() []string {
	env := []string{"HOME=" + d.dir, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	for name, value := range d.env {
		env = append(env, name+"="+value)
	}
	return env
}

var absolute = regexp.MustCompile(`/(etc|var)/`)

// here puts what an example says under /etc and /var on the desk.
func (d *desk) here(text string) string {
	return absolute.ReplaceAllString(text, d.dir+"/$1/")
}

// argv gives what a shell makes of a line: the words of the one command of ours that is in it.
func (d *desk) argv(t *testing.T, text string) []string {
	t.Helper()
	script := `tell() { printf '%s\0' "$@" >&3; }
knockclient() { tell knockclient "$@"; }
knockdaemon() { tell knockdaemon "$@"; }
zcat() { :; }
` + d.here(text)
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir, cmd.Env = d.dir, d.environ()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{w}
	out, err := cmd.CombinedOutput()
	w.Close()
	if err != nil || len(out) > 0 {
		t.Fatalf("%s: %v: %s", text, err, out)
	}
	var said bytes.Buffer
	if _, err := said.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(said.String(), "\x00"), "\x00")
}

// load takes a command line as the command would, up to its checked settings.
func (d *desk) load(argv []string) (flags []ui.Given, err error) {
	daemon := argv[0] == "knockdaemon"
	settings := config.ClientSettings()
	if daemon {
		settings = config.DaemonSettings()
	}
	c := ui.Command{Name: argv[0], Flags: config.FlagsOf(settings), Stdout: new(bytes.Buffer)}
	c.Do = func(given []ui.Given, args []string) (err error) {
		if flags = given; daemon {
			_, err = config.LoadDaemon(given, d.getenv)
		} else {
			_, err = config.LoadClient(given, args, d.getenv)
		}
		return err
	}
	return flags, c.Run(argv[1:])
}

// widest is how long a command line can be, without its prompt, that stands on one line of a terminal.
const widest = 78 - 11 - 2

// offline tells whether a command needs no network and changes nothing outside of the desk.
func offline(flags []ui.Given) bool {
	return slices.ContainsFunc(flags, func(f ui.Given) bool {
		switch f.Name {
		case "test", "log-to-file", "make-pad", "save", "hosts", "keygen":
			return true
		case "replay":
			return f.Value != "-"
		}
		return false
	})
}

// try tries one example: its command line makes sense, and what can be run is run.
func (d *desk) try(t *testing.T, commands, text string) {
	t.Helper()
	if assignment, ok := strings.CutPrefix(text, "export "); ok {
		name, value, _ := strings.Cut(assignment, "=")
		d.env[name] = value
		return
	}
	if len(text) > widest {
		t.Errorf("%s: the example is cut on a terminal, and cannot be copied", text)
	}
	argv := d.argv(t, text)
	if argv[0] == "" {
		t.Errorf("%s: the example is of no command of ours", text)
		return
	}
	d.clear(t, argv)
	if argv[0] == "knockdaemon" && !slices.Contains(argv, "-conf") && !slices.Contains(argv, "-keygen") {
		argv = append(argv, "-conf", filepath.Join(d.dir, "etc/knockdaemon.conf"))
	}
	flags, err := d.load(argv)
	if err != nil {
		t.Errorf("%s: %v", text, err)
	}
	if err != nil || !offline(flags) || argv[0] == "knockdaemon" && slices.Contains(argv, "-test") {
		return
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(commands, argv[0]), argv[1:]...)
	cmd.Dir, cmd.Env = d.dir, d.environ()
	if out, err := cmd.CombinedOutput(); err != nil || len(out) == 0 && !slices.Contains(argv, "-log-to-file") {
		t.Errorf("%s: %v\n%s", text, err, out)
	}
}

// clear takes a file out of the way that an example makes.
func (d *desk) clear(t *testing.T, argv []string) {
	t.Helper()
	for i, word := range argv[:len(argv)-1] {
		if word != "-make-pad" && word != "-keygen" {
			continue
		}
		if err := os.Remove(argv[i+1]); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

// conf writes an example of a configuration file, with a key for each that it speaks of.
func (d *desk) conf(t *testing.T, name, text string) {
	t.Helper()
	text = d.here(text)
	for _, match := range regexp.MustCompile(`(?m)^key-file = (/.*)$`).FindAllStringSubmatch(text, -1) {
		writeTemp(t, filepath.Dir(match[1]), filepath.Base(match[1]), "key of "+match[1], 0o600)
	}
	writeTemp(t, d.dir, name, text, 0o600)
}

// The examples of the pages, in their order. It is not parallel to others: what parses flags keeps some in variables.
func TestManualExamples(t *testing.T) {
	binaries := buildCommands(t)
	least := map[string]int{"knockclient/knockclient.1": 14, "knockclient/knockclient.conf.5": 5, "knockdaemon/knockdaemon.8": 12, "knockdaemon/knockdaemon.conf.5": 4}
	for _, m := range manuals(t) {
		for _, path := range []string{m.page, m.keys} {
			d := newDesk(t)
			d.conf(t, "etc/knockdaemon.conf", "log = /var/log/knock.log\nkey-file = /etc/first.key\n")
			examples := readManualPage(t, path).examples()
			if len(examples) < least[path] {
				t.Errorf("%s: only %d examples", path, len(examples))
			}
			for _, e := range examples {
				d.tryExample(t, m, binaries, e)
			}
		}
	}
}

func (d *desk) tryExample(t *testing.T, m manual, commands string, e manualExample) {
	t.Helper()
	proxy := regexp.MustCompile(`ProxyCommand (.*)`).FindStringSubmatch(e.file)
	switch {
	case e.command != "":
		d.try(t, commands, e.command)
	case proxy != nil: // it is ssh's
		d.try(t, commands, strings.NewReplacer("%h", "gate", "%p", "22").Replace(proxy[1]))
	case m.command == "knockdaemon":
		d.conf(t, "etc/knockdaemon.conf", e.file)
		d.try(t, commands, "knockdaemon")
	default: // the command lines below it show what it does
		d.conf(t, ".knockclient.conf", e.file)
	}
}
