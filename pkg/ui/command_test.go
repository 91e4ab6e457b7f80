package ui

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// run runs a command with two flags and gives what it was called with, what it printed and its error's text.
func run(args ...string) (called, stdout, message string) {
	var out strings.Builder
	c := Command{
		Name: "prog", Summary: "do it", Synopsis: "[flags] HOST", Stdout: &out,
		Flags: []Flag{{Name: "port", Usage: "the `PORT`"}, {Name: "test", Usage: "only look", Bool: true}},
		Do: func(given []Given, args []string) error {
			for _, g := range given {
				called += g.Name + "=" + g.Value + " "
			}
			called += strings.Join(args, ",")
			return nil
		},
	}
	var b strings.Builder
	if err := c.Run(args); err != nil {
		Fail(&b, "prog", err)
	}
	return called, out.String(), b.String()
}

// The package that parses flags keeps the last help and version flags in variables, so these run one after another.
func TestCommand(t *testing.T) {
	for name, test := range map[string]struct{ args, called, message string }{
		"flags first":  {"-port 22 --test host", "port=22 test=true host", ""},
		"flags last":   {"host --port=22", "port=22 host", ""},
		"switched off": {"-test=false host", "test=false host", ""},
		"none":         {"host other", "host,other", ""},
		"an empty one": {"-port= host", "port= host", ""},
		"behind --":    {"-- -port", "-port", ""},
		"-h behind --": {"-- -h", "-h", ""},
		"unknown":      {"-prot 22 host", "", "prog: error: unknown flag -prot, did you mean -port?\n"},
		"alien":        {"host --colour", "", "prog: error: unknown flag -colour; prog -h lists them\n"},
		"no value":     {"host -port", "", "prog: error: flag -port needs a value\n"},
		"no boolean":   {"-test=maybe", "", "prog: error: invalid boolean value \"maybe\" for -test: parse error\n"},
	} {
		t.Run(name, func(t *testing.T) {
			called, stdout, message := run(strings.Fields(test.args)...)
			if diff := cmp.Diff([]string{test.called, "", test.message}, []string{called, stdout, message}); diff != "" {
				t.Errorf("called, stdout, message (-want +got)\n%s", diff)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	want := `prog: do it

usage: prog [flags] HOST

  --port PORT         the PORT
  --test              only look
  --completion SHELL  print the completion script for a SHELL, bash, zsh or fish, and leave
  --help, -h          show this
  --version           say which version this is
`
	for _, arg := range []string{"-h", "--help"} {
		called, stdout, message := run("host", arg)
		if diff := cmp.Diff([]string{"", want, ""}, []string{called, stdout, message}); diff != "" {
			t.Errorf("%s: called, stdout, message (-want +got)\n%s", arg, diff)
		}
	}
	if _, stdout, _ := run("-version"); stdout != "prog version "+Version()+"\n" {
		t.Errorf("-version says %q", stdout)
	}
}
