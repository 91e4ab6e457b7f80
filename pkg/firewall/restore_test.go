package firewall

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// beside puts a script that stands for the restore program beside one that
// stands for iptables.
func beside(t *testing.T, program, body string) {
	t.Helper()
	if err := os.Rename(script(t, body), program+"-restore"); err != nil {
		t.Fatal(err)
	}
}

func TestRestorer(t *testing.T) {
	t.Parallel()
	const version = `if [ "$1" = --version ]; then echo "x v1 (a)"; exit; fi; `
	tests := map[string]struct {
		body string // of the restore program
		want string // error
	}{
		"works":           {version + `[ "$*" = "-w 5 --noflush" ] && [ "$(cat)" = "$(printf '*filter\n-I KNOCK\nCOMMIT')" ]`, ""},
		"fails":           {version + `cat >&2; exit 1`, `fake-iptables-restore -w 5 --noflush: *filter; -I KNOCK; COMMIT (exit status 1)`},
		"does not read":   {version + `exit 0`, ""},
		"other variant":   {`echo "x v1 (b)"`, `no restore program of the same version: fake-iptables-restore is "v1 (b)", not "v1 (a)"`},
		"without version": {`echo "no such option" >&2; exit 2`, `fake-iptables-restore --version: no such option (exit status 2)`},
		"hangs":           {version + `sleep 1000`, `fake-iptables-restore -w 5 --noflush: no end after 1s`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program := script(t, `echo "iptables v1 (a)"`)
			beside(t, program, tt.body)
			limit := 20 * time.Second
			if name == "hangs" {
				limit = time.Second
			}
			if diff := cmp.Diff(tt.want, errorText(restorer(program, limit)(t.Context(), "filter", "-I KNOCK\n"))); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRestorerIsNotThere(t *testing.T) {
	t.Parallel()
	program := script(t, `echo "iptables v1 (a)"`)
	if restorer(program, runLimit) != nil {
		t.Error("there is a restore program, want none")
	}
	beside(t, program, `echo "x v1 (a)"`)
	r := restorer(program, runLimit)
	if err := r(t.Context(), "filter", "-I KNOCK\n"); err != nil {
		t.Error(err)
	}
	if err := os.Remove(program + "-restore"); err != nil {
		t.Fatal(err)
	}
	if err := r(t.Context(), "filter", "-I KNOCK\n"); !errors.Is(err, errUnfit) || general(err) {
		t.Errorf("once it is gone: got %v, want errUnfit", err)
	}
}

// TestRanTellsOfEachRun counts the runs of both programs.
func TestRanTellsOfEachRun(t *testing.T) {
	t.Parallel()
	program := script(t, `echo "iptables v1 (a)"`)
	beside(t, program, `echo "x v1 (a)"`)
	ran := 0
	f, err := NewIPTables(Options{Program: program, Ran: func() { ran++ }})
	if err != nil {
		t.Fatal(err)
	}
	f.probed = true
	if _, err := f.Sync(t.Context(), many(3)); err != nil || ran != 4 { // -S, -N, -I, restore
		t.Errorf("got %d runs and error %v, want 4 and none", ran, err)
	}
}

func TestRestorable(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{
		"-D KNOCK" + spec:                                    true,
		"-D KNOCK" + timedSpec:                               true,
		"-D KNOCK" + dropSpec:                                true,
		"-I INPUT 1" + jump:                                  true,
		"-D KNOCK ! -s 10.0.0.0/8":                           true,
		"-A KNOCK -p tcp --tcp-flags SYN,ACK SYN":            true,
		`-A KNOCK --log-prefix "two words"`:                  false,
		`-A KNOCK --log-prefix ""`:                           false,
		`-A KNOCK --log-prefix "a\"b"`:                       false,
		`-A KNOCK --log-prefix "a\\b"`:                       false,
		"-A KNOCK --log-prefix \"a\nb\"":                     false,
		"-A KNOCK --log-prefix \"a\tb\"":                     false,
		"-A KNOCK --log-prefix #":                            false,
		"-A KNOCK --log-prefix ö":                            false,
		"-A KNOCK --log-prefix 'a'":                          false,
		"-A KNOCK --log-prefix [1:2]":                        false,
		"-A KNOCK -t nat":                                    false,
		"-A KNOCK -ct nat":                                   false,
		"-A KNOCK --t nat":                                   false,
		"-A KNOCK --tab nat":                                 false,
		"-A KNOCK --table nat":                               false,
		"-A KNOCK --table=nat":                               false,
		"-A KNOCK --log-prefix " + strings.Repeat("a", 1000): false,
		"-A KNOCK" + strings.Repeat(" -m udp", 50):           false,
	}
	for text, want := range tests {
		t.Run(text[:min(40, len(text))], func(t *testing.T) {
			t.Parallel()
			args, _ := words(text)
			if got := restorable(args); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// FuzzRestorable has what is written for the restore program be read as the words
// that it was, and as one line.
func FuzzRestorable(f *testing.F) {
	f.Add("-D KNOCK" + spec)
	f.Add(`-A KNOCK --log-prefix "a \"b\\" -t nat`)
	f.Add("-A KNOCK # COMMIT *nat :KNOCK [0:0]")
	f.Fuzz(func(t *testing.T, s string) {
		args, _ := words(s)
		if !restorable(args) {
			return
		}
		text := strings.Join(args, " ")
		got, rest := words(text + "\n")
		if !slices.Equal(got, args) || rest != "" || strings.ContainsAny(text, "\n\r\t\"'\\#*") || slices.Contains(args, "-t") {
			t.Errorf("%q is written as %q", args, text)
		}
	})
}
