package check

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestStateDir(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		mode os.FileMode // 0: not there
		path string      // below the directory
		want string
	}{
		"private":      {0o700, "", `ok: the state directory "DIR" can be written, and has room` + "\n"},
		"readable":     {0o755, "", "note: others can look into the state directory \"DIR\" (mode 0755)\n  fix: chmod 700 DIR\n"},
		"writable":     {0o770, "", "problem: others can write to the state directory \"DIR\" (mode 0770), and so open ports\n  fix: chmod 700 DIR\n"},
		"not there":    {0o700, "a/b", "ok: the state directory \"DIR/a/b\" will be made\n"},
		"a file":       {0o700, "file", "problem: the state directory \"DIR/file\" is no directory\n  fix: move that file away, or name another state-dir\n"},
		"below a file": {0o700, "file/b", "problem: failed to look at the state directory: stat DIR/file/b: not a directory\n"},
		"in a file's":  {0o700, "a/../file/../b", "ok: the state directory \"DIR/b\" will be made\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir, tt.mode); err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(dump(stateDir(filepath.Join(dir, tt.path))), dir, "DIR")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestRunningDaemon(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	if pid := runningDaemon(path); pid != 0 {
		t.Errorf("without a file: process %d", pid)
	}
	if err := os.WriteFile(path, fmt.Appendln(nil, os.Getpid()), 0o600); err != nil {
		t.Fatal(err)
	}
	if pid := runningDaemon(path); pid != 0 {
		t.Errorf("a file that nobody locks: process %d", pid)
	}
	f, err := os.Open(path)
	if err == nil {
		defer f.Close()
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	if pid := runningDaemon(path); pid != os.Getpid() {
		t.Errorf("a locked file: process %d, want %d", pid, os.Getpid())
	}
}

func TestWriters(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		mode, dir os.FileMode
		owner     int
		group     int
		want      string
	}{
		"root alone":   {0o640, 0o755, 0, 4, "ok: the log \"LOG\" can be read, and only root can write to it\n"},
		"root's group": {0o660, 0o755, 0, 0, "ok: the log \"LOG\" can be read, and only root can write to it\n"},
		"a group": {0o660, 0o755, 0, 64055, "problem: the group 64055 can write to the log \"LOG\" (mode 0660), and so forge knocks\n" +
			"  fix: chmod g-w LOG, and have the logger make it so\n"},
		"everybody": {0o666, 0o755, 0, 0, "problem: everybody can write to the log \"LOG\" (mode 0666), and so forge knocks\n" +
			"  fix: chmod o-w LOG, and have the logger make it so\n"},
		"a person": {0o640, 0o755, 64055, 0, "problem: the log \"LOG\" belongs to user 64055, who can so forge knocks\n" +
			"  fix: chown root LOG, and have the logger make it so\n"},
		"a service": {0o640, 0o755, 987, 0, "ok: the log \"LOG\" can be read, and only user 987 can write to it\n"},
		"a directory of everybody's": {0o640, 0o777, 0, 0, "ok: the log \"LOG\" can be read, and only root can write to it\n" +
			"problem: everybody can put another file in the log's place: mode 0777 of \"DIR\"\n  fix: chmod o-w DIR\n"},
		"a sticky one": {0o640, 0o777 | os.ModeSticky, 0, 0, "ok: the log \"LOG\" can be read, and only root can write to it\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "knock.log")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, err := range []error{os.Chown(path, tt.owner, tt.group), os.Chmod(path, tt.mode), os.Chmod(dir, tt.dir)} {
				if err != nil {
					t.Fatalf("this test gives files away: run it as root: %v", err)
				}
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.NewReplacer(path, "LOG", dir, "DIR").Replace(dump(writers(path, info)))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestIsRotated(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"knock.log": false, "knock.log.1": true, "knock.log-20261120.gz": true, "knock.log.bak": false, "other.log.1": false, "knock.log.": false,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := isRotated(filepath.Join(dir, "knock.log")); got != want {
			t.Errorf("%s beside it: %v, want %v", name, got, want)
		}
	}
}

func TestProgram6(t *testing.T) {
	t.Parallel()
	for program, want := range map[string]string{
		"iptables": "ip6tables", "/usr/sbin/iptables-legacy": "/usr/sbin/ip6tables-legacy", "/opt/wrapper": "ip6tables",
	} {
		if got := program6(program); got != want {
			t.Errorf("%s: %s, want %s", program, got, want)
		}
	}
}
