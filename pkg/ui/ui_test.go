package ui

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFail(t *testing.T) {
	t.Parallel()
	cause := errors.New("no such\nthing")
	for name, test := range map[string]struct {
		err    error
		want   string
		status int
	}{
		"nil":               {nil, "", 0},
		"failed":            {cause, "p: error: no such, thing\n", 1},
		"hint":              {Hint(cause, "try %d", 7), "p: error: no such, thing\np: hint: try 7\n", 1},
		"hint of two lines": {Hint(cause, "a\nb"), "p: error: no such, thing\np: hint: a, b\n", 1},
		"usage":             {Usage(cause), "p: error: no such, thing\n", 2},
		"all, wrapped":      {fmt.Errorf("outer: %w", Usage(Hint(cause, "try"))), "p: error: outer: no such, thing; try\n", 2},
		"usage of nil":      {Usage(Hint(nil, "x")), "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			status := Fail(&b, "p", test.err)
			if diff := cmp.Diff(test.want, b.String()); diff != "" || status != test.status {
				t.Errorf("status %d, want %d (-want +got)\n%s", status, test.status, diff)
			}
		})
	}
}

func TestFlagsFirst(t *testing.T) {
	t.Parallel()
	isBool := func(name string) bool { return name == "test" || name == "h" }
	for name, test := range map[string]struct{ args, want string }{
		"nothing":                       {"", ""},
		"in order":                      {"-port 22 host", "-port 22 -- host"},
		"after the host":                {"host -port 22", "-port 22 -- host"},
		"around the host":               {"--test host --port=22 -time 5", "--test --port=22 -time 5 -- host"},
		"a boolean, the host":           {"-test host", "-test -- host"},
		"behind --":                     {"-test -- -port 22", "-test -- -port 22"},
		"a lone dash":                   {"- -test", "-test -- -"},
		"a value that is a flag's name": {"-key -test host", "-key -test -- host"},
		"a value is missing":            {"host -port", "-port"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, strings.Join(flagsFirst(strings.Fields(test.args), isBool), " ")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"key", "key-file", "port-min", "allow-ports", "allow-ips"}
	for word, want := range map[string]string{
		"keyfile": "key-file", "allow-port": "allow-ports", "portmin": "port-min", "ky": "key", "zzz": "", "foo": "", "k": "", "": "",
	} {
		if got := Nearest(word, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
