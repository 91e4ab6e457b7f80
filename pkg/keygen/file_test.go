package keygen

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// list gives mode, size and name of all that is in a directory.
func list(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s %d %s", info.Mode(), info.Size(), e.Name()))
	}
	return all
}

// The mode is the same whatever the umask, which belongs to the whole process: no test runs beside this one.
func TestUmask(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o777} {
		dir := t.TempDir()
		old := syscall.Umask(mask)
		err := write(filepath.Join(dir, "key"), "text\n")
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"-rw------- 5 key"}, list(t, dir)); diff != "" {
			t.Errorf("umask %03o (-want +got)\n%s", mask, diff)
		}
	}
}

// What is there is never replaced, followed or changed, and nothing is left beside it.
func TestNeverReplaced(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		make func(path string) error
		want string
	}{
		"a file":             {func(p string) error { return os.WriteFile(p, []byte("old"), 0o644) }, "-rw-r--r-- 3 key"},
		"an empty file":      {func(p string) error { return os.WriteFile(p, nil, 0o644) }, "-rw-r--r-- 0 key"},
		"a link to nowhere":  {func(p string) error { return os.Symlink("other", p) }, "Lrwxrwxrwx 5 key"},
		"something to write": {func(p string) error { return syscall.Mkfifo(p, 0o644) }, "prw-r--r-- 0 key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "key")
			if err := test.make(path); err != nil {
				t.Fatal(err)
			}
			err := write(path, "new\n")
			if want := fmt.Sprintf("the key file %q is there already", path); err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
			if diff := cmp.Diff([]string{test.want}, list(t, filepath.Dir(path))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestNoDirectory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "none", "key")
	err := write(path, "new\n")
	if want := fmt.Sprintf("failed to make the key file %q: ", path); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s…", err, want)
	}
}

const fullDisk = "KEYGEN_TEST_FULL_DISK" // the path of a key, for the process that has such a disk

// A disk that fills up leaves nothing.
func TestFullDisk(t *testing.T) {
	if path := os.Getenv(fullDisk); path != "" {
		err := write(path, "new\n")
		fmt.Println("DIAGNOSIS", err)
		fmt.Println("LEFT", list(t, filepath.Dir(path)))
		return
	}
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command("unshare", "--mount", "sh", "-ec", `
		mount -t tmpfs -o size=4k none "$1"
		head -c 4096 /dev/zero >"$1/filling"
		chmod 644 "$1/filling"
		exec "$2" -test.run '^TestFullDisk$' -test.v`, "sh", dir, os.Args[0])
	cmd.Env = append(os.Environ(), fullDisk+"="+filepath.Join(dir, "key"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		fmt.Sprintf("DIAGNOSIS failed to write the key file %q: write ", filepath.Join(dir, "key")),
		": no space left on device\n",
		"LEFT [-rw-r--r-- 4096 filling]\n",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}
