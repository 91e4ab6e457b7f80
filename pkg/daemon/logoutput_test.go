package daemon

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/config"
)

// The log goes on in a new file when the old one was moved away, and a file that cannot be written to keeps no line
// from the others.
func TestLogFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	good := outputOf(&config.Daemon{LogFile: path}, io.Discard)
	bad := outputOf(&config.Daemon{LogFile: "/nonexistent/log"}, good)
	write := func(line string) {
		if _, err := bad.Write([]byte(line)); err == nil {
			t.Error("nobody told of the file that cannot be written to")
		}
	}
	write("one\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write("two\n")
	write("three\n")
	got := map[string]string{}
	for _, name := range []string{path, path + ".1"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got[filepath.Base(name)] = string(text)
	}
	if diff := cmp.Diff(map[string]string{"log.1": "one\n", "log": "two\nthree\n"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
