package test

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// binaries is where buildCommands builds, or empty.
var binaries string

func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == confineVerb {
		fmt.Fprintln(os.Stderr, confine(os.Args[2], os.Args[3:]))
		os.Exit(1)
	}
	status := m.Run()
	if binaries != "" {
		os.RemoveAll(binaries)
	}
	os.Exit(status)
}

// buildCommands gives the directory that holds knockclient and knockdaemon,
// built once for all tests, and static as they are released.
func buildCommands(t *testing.T) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// build does without a stamp of the version: git refuses to tell it to root in
// somebody else's clone. The go is the one that runs this test: go test puts it
// first in PATH.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "knock-binaries")
	if err != nil {
		return "", err
	}
	binaries = dir
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", dir, "./knockclient", "./knockdaemon")
	cmd.Dir = ".." // tests run in their own directory
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("failed to build the commands: %w\n%s", err, out)
	}
	return dir, os.Chmod(dir, 0o755)
})
