package test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs both commands as a user would, one script for each feature. What a script runs in a firewall's
// presence it runs in a network namespace.
func TestScripts(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"/etc/knockclient.conf", "/etc/knockdaemon.conf"} {
		if _, err := os.Stat(file); err == nil {
			t.Fatalf("the commands would read this machine's own %s: move it away", file)
		}
	}
	commands := buildCommands(t)
	testscript.Run(t, testscript.Params{
		Dir:      "testdata/script",
		Deadline: time.Now().Add(5 * time.Minute),
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", commands+":"+e.Getenv("PATH")+":/usr/sbin:/sbin")
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"await":  await,
			"fails":  fails,
			"logged": logged,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// await FILE REGEXP waits until a line of the file matches.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await FILE REGEXP")
	}
	want, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	var text []byte
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		text, err = os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && want.Match(text) {
			return
		}
	}
	ts.Fatalf("waited %v in vain for %q in %s (%v):\n%s", patience, args[1], args[0], err, text)
}

// errorLines is what a command that fails may write to stderr: what is wrong, and perhaps what to do.
var errorLines = regexp.MustCompile(`^(knock(client|daemon)): error: [^\n]+\n(knock(client|daemon): hint: [^\n]+\n)?$`)

// fails STATUS COMMAND... runs a command that must end with the status, having said why in one line on stderr, with
// perhaps a hint, and nothing on stdout. The line can then be looked at with stderr.
func fails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: fails STATUS COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
	if stdout := ts.ReadFile("stdout"); stdout != "" {
		ts.Fatalf("stdout is %q, want nothing", stdout)
	}
	if stderr := ts.ReadFile("stderr"); !errorLines.MatchString(stderr) {
		ts.Fatalf("stderr is %q, want it to match %s", stderr, errorLines)
	}
}

// logged FILE LINE PORTS appends the line to the file for each port. In it PORT stands for the port, and SPORT for a
// source port, another in each line of the file.
func logged(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: logged FILE LINE PORTS")
	}
	path := ts.MkAbs(args[0])
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		ts.Check(err)
	}
	text := string(old)
	for _, port := range strings.Fields(args[2]) {
		source := fmt.Sprint(40000 + strings.Count(text, "\n"))
		text += strings.NewReplacer("SPORT", source, "PORT", port).Replace(args[1]) + "\n"
	}
	ts.Check(os.WriteFile(path, []byte(text), 0o644))
}
