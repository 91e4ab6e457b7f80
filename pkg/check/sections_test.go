package check

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/command"
	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/pad"
)

func TestEnded(t *testing.T) {
	t.Parallel()
	past := config.Key{Name: "ann", Until: noon}
	tests := map[string]struct {
		keys []config.Key
		want string
	}{
		"none ends":     {[]config.Key{{}, {Name: "bob"}}, ""},
		"one will end":  {[]config.Key{{Until: noon.Add(time.Second)}}, ""},
		"one has ended": {[]config.Key{{}, past}, "note: [key ann] has ended 2026-11-20T12:00:00Z (until)\n"},
		"the only one": {[]config.Key{past}, "problem: [key ann] has ended 2026-11-20T12:00:00Z, and there is none that has not: no knock of a key is heeded\n" +
			"  fix: give it a later until\n"},
	}
	for name, tt := range tests {
		if diff := cmp.Diff(tt.want, dump(ended(tt.keys, noon))); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

func TestUnasked(t *testing.T) {
	t.Parallel()
	forward := []config.Forward{{Port: tcp(80), To: inner.To}, {Port: tcp(222), To: inner.To}}
	ports := config.Ports{{Low: 22, High: 80}}
	const want = "problem: the key forwards port 222/tcp, which is not in its allow-ports: no knock can ask for it\n  fix: add 222 to allow-ports\n"
	if diff := cmp.Diff(want, dump(unasked(config.Key{Forward: forward, Allow: config.Allow{Ports: ports}}))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := dump(unasked(config.Key{Forward: forward})); got != "" {
		t.Errorf("with any port: %s", got)
	}
}

func TestPrograms(t *testing.T) {
	t.Parallel()
	parse := func(text string) command.Command {
		c, err := command.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	events := []config.Event{
		{Name: "shell", Commands: config.Commands{Start: parse("nowhere | nothing")}},
		{Name: "none"},
		{Name: "gone", Commands: config.Commands{Start: parse("/nowhere/tool secret"), Start6: parse("/nowhere/tool secret"), Stop: parse("/bin/sh -x")}},
		{Name: "of who knocks", Commands: config.Commands{Stop6: parse("/nowhere/%IP%")}},
	}
	const want = `problem: [gone]: a command cannot run: failed to look at a program: stat /nowhere/tool: no such file or directory
  fix: install it, or give its path
ok: programs that commands run are there (/bin/sh); the daemon under the unit needs examples/knockdaemon-commands.conf beside it
`
	if diff := cmp.Diff(want, dump(programs(events))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := dump(programs(events[1:2])); got != "" {
		t.Errorf("without a command: %s", got)
	}
}

// machineAt is one whose state directory is there, in a directory of its own.
func machineAt(t *testing.T) (m *machine, dir string) {
	t.Helper()
	dir = t.TempDir()
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	return &machine{config: &config.Daemon{StateDir: state}}, dir
}

func TestLists(t *testing.T) {
	t.Parallel()
	const line = " 7000,8000:udp\n"
	tests := map[string]struct {
		text         string // empty: there is no file
		mode         os.FileMode
		owner, state int
		want         string
	}{
		"two are left":   {"#1\n" + line + line, 0o600, 0, 0, "ok: [door]: \"DIR/list\" holds 2 sequences\n"},
		"one is left":    {line, 0o600, 0, 0, "ok: [door]: \"DIR/list\" holds 1 sequence\n"},
		"it is all used": {"#7000\n\n", 0o600, 0, 0, "problem: [door]: no sequence is left in \"DIR/list\": nobody can knock\n  fix: add some, one a line, each behind a blank\n"},
		"it is not there": {"", 0, 0, 0, "problem: [door]: failed to open the sequences: open DIR/list: no such file or directory\n" +
			"  fix: write one, with a sequence a line, each behind a blank\n"},
		"a bad line":          {line + "x\n", 0o600, 0, 0, "problem: [door]: DIR/list:2: \"x\" is no port: want 1..65535\n"},
		"others can write it": {line, 0o622, 0, 0, "problem: [door]: the sequences in \"DIR/list\" cannot be used: others than its owner can write it (mode 0622, want 0600)\n"},
		"it is the daemon's":  {line, 0o600, 987, 987, "ok: [door]: \"DIR/list\" holds 1 sequence\n"},
		"it is somebody's": {line, 0o600, 987, 988, "ok: [door]: \"DIR/list\" holds 1 sequence\n" +
			"note: [door]: \"DIR/list\" belongs to the user number 987, and the state directory to 988: right only if the daemon, as who it runs, can use both\n" +
			"  fix: chown 988 DIR/list\n"},
		"it is root's": {line, 0o600, 0, 988, "ok: [door]: \"DIR/list\" holds 1 sequence\n" +
			"note: [door]: \"DIR/list\" belongs to the user number 0, and the state directory to 988: right only if the daemon, as who it runs, can use both\n" +
			"  fix: chown 988 DIR/list\n"},
		"nobody knows whose": {line, 0o600, 987, -1, "ok: [door]: \"DIR/list\" holds 1 sequence\n" +
			"note: [door]: \"DIR/list\" belongs to the user number 987: right only if the daemon runs as that user\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, dir := machineAt(t)
			path := filepath.Join(dir, "list")
			if tt.text != "" {
				give(t, path, tt.text, tt.mode, tt.owner)
			}
			if tt.state < 0 {
				m.config.StateDir = filepath.Join(dir, "nowhere")
			} else if err := os.Chown(m.config.StateDir, tt.state, 0); err != nil {
				t.Fatalf("this test gives files away: run it as root: %v", err)
			}
			got := strings.ReplaceAll(dump(m.list(config.Event{Name: "door", OneTime: path})), dir, "DIR")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// give writes a file and gives it to a user.
func give(t *testing.T, path, text string, mode os.FileMode, owner int) {
	t.Helper()
	for _, err := range []error{os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode), os.Chown(path, owner, 0)} {
		if err != nil {
			t.Fatalf("this test gives files away: run it as root: %v", err)
		}
	}
}

// The ports of the sequence that counts now must be logged, and those of used ones need not.
func TestStepsOfList(t *testing.T) {
	t.Parallel()
	m, dir := machineAt(t)
	path := filepath.Join(dir, "list")
	give(t, path, "#1,2\n 7000,8000:udp\n 3,4\n", 0o600, 987)
	m.config.Events = []config.Event{{OneTime: path}, {OneTime: path + ".none"}}
	if diff := cmp.Diff([]config.PortProto{tcp(7000), udp(8000)}, m.steps()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// newPad makes a pad of which some knocks are used.
func newPad(t *testing.T, path, stateDir string, knocks, used int) {
	t.Helper()
	if err := pad.Make(path, knocks); err != nil {
		t.Fatal(err)
	}
	if used == 0 {
		return
	}
	r, err := pad.OpenReceiver(path, stateDir, pad.Options{LookAhead: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Use(used - 1); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestPads(t *testing.T) {
	t.Parallel()
	const anew = "  fix: make a new one (knockclient -make-pad), for both ends\n"
	tests := map[string]struct {
		knocks, used int // none: there is no pad
		spoil        func(path string) error
		want         string
	}{
		"fresh":       {100, 0, nil, "ok: [key ann]: the one-time pad \"DIR/pad\" serves for 100 knocks\n"},
		"begun":       {100, 49, nil, "ok: [key ann]: the one-time pad \"DIR/pad\" serves for 51 knocks\n"},
		"nearly used": {100, 50, nil, "note: [key ann]: the one-time pad \"DIR/pad\" is nearly used up (50 knocks left)\n" + anew},
		"used up":     {100, 100, nil, "problem: [key ann]: the one-time pad \"DIR/pad\" is used up\n" + anew},
		"missing":     {0, 0, nil, "problem: [key ann]: failed to open the one-time pad: open DIR/pad: no such file or directory\n" + anew},
		"cut": {100, 0, func(path string) error { return os.Truncate(path, 99*pad.PerKnock) },
			"problem: [key ann]: failed to read the one-time pad \"DIR/pad\": it has 3861 bytes, which no one-time pad has: it was cut, or is none\n" + anew},
		"readable": {100, 0, func(path string) error { return os.Chmod(path, 0o644) },
			"problem: [key ann]: failed to read the one-time pad \"DIR/pad\": others may use it (mode 0644): chmod 600 it\n" +
				"  fix: chmod 600 DIR/pad, or say allow-readable-key\n"},
		"somebody's": {100, 0, func(path string) error { return os.Chown(path, 987, 0) },
			"ok: [key ann]: the one-time pad \"DIR/pad\" serves for 100 knocks\n" +
				"note: [key ann]: \"DIR/pad\" belongs to the user number 987, and the state directory to 0: right only if the daemon, as who it runs, can use both\n" +
				"  fix: chown 0 DIR/pad\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, dir := machineAt(t)
			path := filepath.Join(dir, "pad")
			if tt.knocks > 0 {
				newPad(t, path, m.config.StateDir, tt.knocks, tt.used)
			}
			if tt.spoil != nil {
				if err := tt.spoil(path); err != nil {
					t.Fatal(err)
				}
			}
			before := names(t, dir)
			findings, _ := m.pad(config.Key{Name: "ann", Pad: path}, nil)
			if diff := cmp.Diff(tt.want, strings.ReplaceAll(dump(findings), dir, "DIR")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(before, names(t, dir)); diff != "" {
				t.Errorf("files (-before +after)\n%s", diff)
			}
		})
	}
}

// names lists the files below dir.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	for _, pattern := range []string{"*", "*/*"} {
		some, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, some...)
	}
	return all
}

// Whoever may not read a file does not call it damaged.
func TestHidden(t *testing.T) {
	t.Parallel()
	m, dir := machineAt(t)
	list, key := filepath.Join(dir, "list"), config.Key{Pad: filepath.Join(dir, "pad")}
	give(t, list, " 7000,8000\n", 0o600, 0)
	newPad(t, key.Pad, m.config.StateDir, 60, 0)
	runtime.LockOSThread() // and never unlocked: the thread is not to be used again
	if _, err := unix.SetfsuidRetUid(987); err != nil {
		t.Fatal(err)
	}
	defer unix.SetfsuidRetUid(os.Getuid())
	findings, _ := m.pad(key, nil)
	findings = append(findings, m.list(config.Event{Name: "door", OneTime: list})...)
	const fix = "permission denied\n  fix: run as root, or as the user that the daemon runs as\n"
	want := "note: the key: what is in its file cannot be told: failed to open the one-time pad: open DIR/pad: " + fix +
		"note: [door]: what is in its file cannot be told: failed to open the sequences: open DIR/list: " + fix
	if diff := cmp.Diff(want, strings.ReplaceAll(dump(findings), dir, "DIR")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// All that sections name is looked at.
func TestSections(t *testing.T) {
	t.Parallel()
	m, dir := machineAt(t)
	path := filepath.Join(dir, "pad")
	newPad(t, path, m.config.StateDir, 60, 0)
	if err := os.Link(path, path+"2"); err != nil {
		t.Fatal(err)
	}
	m.config.Keys = []config.Key{
		{Name: "ann", Pad: path}, {Name: "bob", Pad: path + "2"},
		{Name: "cid", Until: noon, Forward: []config.Forward{inner}, Allow: config.Allow{Ports: config.Ports{{Low: 22, High: 22}}}},
	}
	m.config.Events = []config.Event{{Name: "door", OneTime: filepath.Join(dir, "none")}}
	var b strings.Builder
	m.report = newReport(m.config, &b)
	m.sections(noon)
	const want = `note: [key cid] has ended 2026-11-20T12:00:00Z (until)
ok: [key ann]: the one-time pad "DIR/pad" serves for 60 knocks
problem: [key bob]: the one-time pad "DIR/pad2" is another key's too: the daemon does not start
  fix: give each key its own
problem: [key cid] forwards port 2222/tcp, which is not in its allow-ports: no knock can ask for it
  fix: add 2222 to allow-ports
problem: [door]: failed to open the sequences: open DIR/none: no such file or directory
  fix: write one, with a sequence a line, each behind a blank
`
	if diff := cmp.Diff(want, strings.ReplaceAll(b.String(), dir, "DIR")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
