package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/ui"
)

// A completed is a line with the cursor at its end, and what a shell offers there.
type completed struct {
	name   string
	before string   // the words before the one at the cursor
	word   string   // at the cursor, as it is typed
	want   []string // as the command would get it, in any order
	loose  bool     // more may be offered: what the machine has
}

// flagNames gives the flags of a command, with the dashes.
func flagNames(dashes string, settings []config.Setting) []string {
	names := []string{dashes + "completion", dashes + "help", dashes + "version"}
	for _, f := range config.FlagsOf(settings) {
		names = append(names, dashes+f.Name)
	}
	return names
}

// odd is a command whose texts are hard to quote.
var odd = ui.Command{Name: "odd", Flags: []ui.Flag{
	{Name: "other", Usage: "a `WORD`"},
	{
		Name: "value", Values: []string{"it's", "a b", "c:dd", "c:=e", "$(touch pwned)", "[x]", `back\slash`, "`touch pwned`", `"`, "#", "*"},
		Usage: "it's a `WORD`: \"q\" [b], $(touch pwned) \\n %F{red}%B {d} <e> a;b 100%",
	},
}}

const oddDescription = "it's a WORD: \"q\" [b], $(touch pwned) \\n %F{red}%B {d} <e> a;b 100%"

// oddHost is a name that no shell may run.
const oddHost = "o'dd $(touch pwned)"

// completions are what every shell offers. Blanks in file names and oddities in names are part of it.
var completions = []completed{
	{"flags by prefix", "knockclient", "-he", []string{"-header", "-help"}, false},
	{"flags with two dashes", "knockclient", "--he", []string{"--header", "--help"}, false},
	{"all flags", "knockclient", "-", flagNames("-", config.ClientSettings()), false},
	{"all flags with two dashes", "knockclient", "--", flagNames("--", config.ClientSettings()), false},
	{"all flags of the daemon", "knockdaemon", "-", flagNames("-", config.DaemonSettings()), false},
	{"flags behind the host", "knockclient office", "-hea", []string{"-header"}, false},
	{"a flag behind flags", "knockclient -test -time 5 --port=22", "-hea", []string{"-header"}, false},
	{"no flag", "knockclient", "-zzz", nil, false},
	{"choices", "knockclient -header", "", []string{"none", "randomiv"}, false},
	{"choices with two dashes", "knockclient --header", "", []string{"none", "randomiv"}, false},
	{"a choice", "knockclient -cipher", "Ri", []string{"Rijndael"}, false},
	{"a choice behind =", "knockclient", "-header=r", []string{"-header=randomiv"}, false},
	{"a choice behind -- and =", "knockclient", "--header=r", []string{"--header=randomiv"}, false},
	{"choices of the daemon", "knockdaemon -test -ban-action", "", []string{"drop", "ignore", "report"}, false},
	{"other choices of the daemon", "knockdaemon -log-head", "", []string{"dmesg", "syslog", "ulogd"}, false},
	{"a shell", "knockdaemon -completion", "", []string{"bash", "fish", "zsh"}, false},
	{"files", "knockclient -key-file", "my", []string{"my key", "my other key"}, false},
	{"a file, begun with a blank", "knockclient -key-file", `my\ k`, []string{"my key"}, false},
	{"a file behind =", "knockclient", "-key-file=unus", []string{"-key-file=unusual"}, false},
	{"files of the daemon", "knockdaemon -conf", "un", []string{"unusual"}, false},
	{"directories", "knockdaemon -state-dir", "d", []string{"de pot"}, false},
	{"interfaces", "knockdaemon -interface", "l", []string{"lo"}, true},
	{"a value like no other", "knockclient -time", "", nil, false},
	{"a value like a host", "knockclient -ip", "off", nil, false},
	{"named hosts", "knockclient", "o", []string{"office", oddHost}, false},
	{"hosts of the system", "knockclient", "basti", []string{"bastion"}, false},
	{"a host behind a boolean", "knockclient -test", "off", []string{"office"}, false},
	{"a host behind a boolean with two dashes", "knockclient --test", "off", []string{"office"}, false},
	{"a host behind flags", "knockclient -header none -quiet -port=22", "off", []string{"office"}, false},
	{"a value of an unknown flag", "knockclient -zzz", "off", nil, false},
	{"a second host", "knockclient office", "off", nil, false},
	{"a host before a boolean", "knockclient -header none office -test", "off", nil, false},
	{"a host for the daemon", "knockdaemon", "off", nil, false},
	{"a flag behind --", "knockclient --", "-he", nil, false},
	{"a host behind --", "knockclient --", "off", []string{"office"}, false},
	{"a second host behind --", "knockclient -- office", "off", nil, false},
	{"odd values", "odd -value", "", odd.Flags[1].Values, false},
	{"an odd value", "odd -value", "c:d", []string{"c:dd"}, false},
	{"a flag with an odd description", "odd", "-v", []string{"-value", "-version"}, false},
}

// check compares what a shell offers.
func (c completed) check(t *testing.T, shell string, got []string) {
	t.Helper()
	want := slices.Sorted(slices.Values(c.want))
	for i := range got {
		got[i] = strings.TrimSuffix(got[i], "/") // which not all shells put behind a directory yet
	}
	if c.loose {
		got = slices.DeleteFunc(slices.Clone(got), func(s string) bool { return !slices.Contains(want, s) })
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
		t.Errorf("%s, %s: %s %s (-want +got)\n%s", shell, c.name, c.before, c.word, diff)
	}
}

// A shellTest is a home directory in which a shell completes commands that note their arguments.
type shellTest struct {
	dir, home, args string
	env             []string
}

// noter takes the place of each command: it tells the names of hosts, and notes its arguments for all else.
const noter = `#!/bin/sh
if [ "$1" = -hosts ]; then
	printf '%s\n' office "o'dd \$(touch pwned)"
	exit
fi
printf '%s\0' "$@" >"$ARGS"
echo noted
`

// newShellTest makes a home with the completion scripts of all commands for the shell, each in COMMAND.SHELL.
func newShellTest(t *testing.T, shell string) *shellTest {
	t.Helper()
	dir := t.TempDir()
	s := &shellTest{dir: dir, home: filepath.Join(dir, "home"), args: filepath.Join(dir, "args")}
	bin := filepath.Join(dir, "bin")
	for _, d := range []string{bin, filepath.Join(s.home, "de pot"), filepath.Join(s.home, ".ssh"), filepath.Join(dir, "fpath")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"my key", "my other key", "unusual", "data"} {
		s.write(t, filepath.Join(s.home, name), "")
	}
	s.write(t, filepath.Join(s.home, "hosts"), "192.0.2.7 bastion\n")
	s.write(t, filepath.Join(s.home, ".ssh", "known_hosts"), "bastion ssh-ed25519 AAAA\n")
	for _, command := range []string{"knockclient", "knockdaemon", "odd"} {
		s.write(t, filepath.Join(bin, command), noter)
		s.write(t, s.script(command, shell), completionScript(t, command, shell))
	}
	s.env = []string{
		"HOME=" + s.home, "ARGS=" + s.args, "PATH=" + bin + ":/usr/bin:/bin:/usr/sbin:/sbin", "TERM=xterm", "LC_ALL=C.UTF-8",
		"ZDOTDIR=" + s.home, "HOSTFILE=" + filepath.Join(s.home, "hosts"), "HISTFILE=", "PS1=ready> ",
	}
	return s
}

// completionScript asks a command for its script.
func completionScript(t *testing.T, command, shell string) string {
	t.Helper()
	var out bytes.Buffer
	if command == odd.Name {
		c := odd
		c.Stdout = &out
		if err := c.Run([]string{"-completion", shell}); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	cmd := exec.Command(filepath.Join(buildCommands(t), command), "-completion", shell)
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("failed to run %v: %v", cmd.Args, err)
	}
	return out.String()
}

func (s *shellTest) script(command, shell string) string {
	return filepath.Join(s.dir, command+"."+shell)
}

func (s *shellTest) write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func (s *shellTest) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = s.home, s.env
	return cmd
}

// nothingRun fails the test if the shell ran a word that it was to offer.
func (s *shellTest) nothingRun(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(s.home, "pwned")); err == nil {
		t.Error("the shell has run a name or a value")
	}
}

// inserted types a line and the key that inserts all that the shell offers, runs what is then on the line, and gives
// what the command got for the word at the cursor: nothing if the word stayed as it was.
func (s *shellTest) inserted(t *testing.T, term *terminal, c completed, key string) []string {
	t.Helper()
	term.typed(t, c.before+" "+c.word+key+"\r", "noted.*ready> ")
	noted, err := os.ReadFile(s.args)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSuffix(string(noted), "\x00"), "\x00")
	before := strings.Fields(c.before)[1:]
	if len(got) < len(before) || !slices.Equal(before, got[:len(before)]) {
		t.Fatalf("%q became %q", c.before, got)
	}
	got = got[len(before):]
	if len(got) == 0 || len(got) == 1 && got[0] == c.word {
		return nil
	}
	return got
}

// completeAll lets an interactive shell complete each line.
func (s *shellTest) completeAll(t *testing.T, shell string, term *terminal, key string) {
	for _, c := range completions {
		c.check(t, shell, s.inserted(t, term, c, key))
	}
	s.nothingRun(t)
}

func TestCompletionBash(t *testing.T) {
	t.Parallel()
	for name, setup := range map[string]string{
		"alone":           "",
		"bash-completion": "source /usr/share/bash-completion/bash_completion; ",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShellTest(t, "bash")
			for _, command := range []string{"knockclient", "knockdaemon", "odd"} {
				setup += "source " + s.script(command, "bash") + "; "
			}
			term := startOnTerminal(t, s.command("bash", "--norc", "--noprofile", "-i"))
			term.typed(t, "", "ready> ")
			shown := term.typed(t, setup+"complete -p knockclient; echo version ${BASH_COMPLETION_VERSINFO:-none} do''ne\r", " done.*ready> ")
			if !strings.Contains(shown, "complete -F _knockclient knockclient\r") {
				t.Errorf("complete -p says %q", shown)
			}
			if alone := strings.Contains(shown, "\nversion none done"); alone != (name == "alone") {
				t.Errorf("bash says %q", shown)
			}
			s.completeAll(t, "bash", term, "\x1b*") // insert-completions
		})
	}
}

// Bash cuts words at the characters of COMP_WORDBREAKS, which a user may have changed.
func TestCompletionBashWords(t *testing.T) {
	t.Parallel()
	s := newShellTest(t, "bash")
	for name, test := range map[string]struct {
		words []string // the last at the cursor
		want  []string
	}{
		"cut at =":               {[]string{"-header", "=", "ran"}, []string{"randomiv"}},
		"cut at =, no value":     {[]string{"-header", "="}, []string{"none", "randomiv"}},
		"not cut at =":           {[]string{"-header=ran"}, []string{"-header=randomiv"}},
		"= and a host":           {[]string{"-header", "=", "none", "off"}, []string{"office"}},
		"a value cut at : and =": {[]string{"-forward", "80", "=", "10.0.0.5", ":", "8080", "off"}, []string{"office"}},
		"a value like a flag":    {[]string{"-key", "-header", "off"}, []string{"office"}},
		"a value like --":        {[]string{"-key", "--", "-head"}, []string{"-header"}},
		"an empty value":         {[]string{"-key", "", "-head"}, []string{"-header"}},
		"a value like a host":    {[]string{"-key", "off"}, nil},
		"an unknown flag":        {[]string{"-zzz", "off"}, nil},
		"a lone dash":            {[]string{"-", "off"}, nil},
		"a choice, quoted":       {[]string{"--header", "none", "o\\'d"}, []string{`o\'dd\ \$\(touch\ pwned\)`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program := `set -u; source "$1"; shift; COMP_WORDS=(knockclient "$@"); COMP_CWORD=$#
				_knockclient; for word in ${COMPREPLY[@]+"${COMPREPLY[@]}"}; do printf '%s\n' "$word"; done`
			args := append([]string{"-c", program, "bash", s.script("knockclient", "bash")}, test.words...)
			out, err := s.command("bash", args...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var got []string
			for line := range strings.Lines(string(out)) {
				got = append(got, strings.TrimSuffix(line, "\n"))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestCompletionShellcheck(t *testing.T) {
	t.Parallel()
	s := newShellTest(t, "bash")
	for command, exclude := range map[string]string{
		"knockclient": "", "knockdaemon": "",
		"odd": "SC2016", // values with a $ that must not expand
	} {
		if out, err := s.command("shellcheck", "--exclude="+exclude, s.script(command, "bash")).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
}

func TestCompletionZsh(t *testing.T) {
	t.Parallel()
	s := newShellTest(t, "zsh")
	if err := os.Rename(s.script("knockdaemon", "zsh"), filepath.Join(s.dir, "fpath", "_knockdaemon")); err != nil {
		t.Fatal(err)
	}
	term := startOnTerminal(t, s.command("zsh", "-f", "-i"))
	term.typed(t, "", "ready> ")
	term.typed(t, strings.Join([]string{
		"unsetopt prompt_sp beep", "fpath=(" + s.dir + "/fpath $fpath)", "autoload -Uz compinit", "compinit -u -D",
		"source " + s.script("knockclient", "zsh"), "source " + s.script("odd", "zsh"),
		"insert_all() { _main_complete; compstate[insert]=all; compstate[list]= }",
		"zle -C insert_all complete-word insert_all", "bindkey '^I' insert_all", "echo do''ne\r",
	}, "; "), "done.*ready> ")
	s.completeAll(t, "zsh", term, "\t")

	shown := term.typed(t, "odd -val\x04", "100%") // list-choices, at the end of a line
	if !strings.Contains(shown, "-value  -- "+oddDescription) {
		t.Errorf("the list is %q, want in it %q", shown, oddDescription)
	}
}

func TestCompletionFish(t *testing.T) {
	t.Parallel()
	s := newShellTest(t, "fish")
	program := "for line in $argv; complete --do-complete $line; echo end; end"
	for _, command := range []string{"knockclient", "knockdaemon", "odd"} {
		program = "source " + s.script(command, "fish") + "; " + program
	}
	args := []string{"--no-config", "--command", program}
	for _, c := range completions {
		args = append(args, c.before+" "+c.word)
	}
	cmd := s.command("fish", args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("fish: %v\n%s", err, stderr.String())
	}
	answers := strings.Split(string(out), "end\n")
	if len(answers) != len(completions)+1 {
		t.Fatalf("%d answers to %d lines:\n%s", len(answers)-1, len(completions), out)
	}
	for i, c := range completions {
		var got []string
		for line := range strings.Lines(answers[i]) {
			word, description, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			got = append(got, word)
			if word == "-value" && description != oddDescription {
				t.Errorf("the description is %q, want %q", description, oddDescription)
			}
		}
		c.check(t, "fish", got)
	}
	s.nothingRun(t)
}
