package test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// copyTree copies what the packages are made of, but for the binaries.
func copyTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"-r"}
	for _, name := range []string{"examples", "knockclient", "knockdaemon", "LICENSE", "README.md", "go.mod", "go.sum"} {
		args = append(args, filepath.Join("..", name))
	}
	if out, err := exec.Command("cp", append(args, dir)...).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v, %s", err, out)
	}
	return dir
}

// buildRelease builds both commands as they are released, and gives their directory.
func buildRelease(t *testing.T, version, arch string) string {
	t.Helper()
	dir := t.TempDir()
	for _, command := range []string{"knockclient", "knockdaemon"} {
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false",
			"-ldflags", "-s -w -buildid= -X github.com/portknock/knock/pkg/ui.version="+version,
			"-o", filepath.Join(dir, command+"-"+version+"-linux-"+arch), "./"+command)
		cmd.Dir = ".."
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOARM=6")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
	}
	return dir
}

// buildPackages makes both packages with the script of a tree, and gives their directory.
func buildPackages(t *testing.T, tree, version, arch, bin string, env ...string) string {
	t.Helper()
	dir := t.TempDir()
	// In a shell with a umask of its own: what is built must not depend on it.
	cmd := exec.Command("sh", "-c", `umask "${UMASK:-022}" && exec "$@"`, "sh",
		filepath.Join(tree, "examples/debian/build.sh"), version, arch, bin, dir)
	cmd.Env = append(append(os.Environ(), "SOURCE_DATE_EPOCH=1790000000"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build.sh: %v\n%s", err, out)
	}
	return dir
}

// dpkgDeb gives what dpkg-deb says of a package.
func dpkgDeb(t *testing.T, action, path string, args ...string) string {
	t.Helper()
	out, err := exec.Command("dpkg-deb", append([]string{action, path}, args...)...).Output()
	if err != nil {
		t.Fatalf("dpkg-deb %s: %v", action, err)
	}
	return string(out)
}

// listing gives the files of a package, with modes and owners; man pages and completions
// apart, of which there are as many as the tree has.
func listing(t *testing.T, path string) (files, help string) {
	t.Helper()
	for line := range strings.Lines(dpkgDeb(t, "--contents", path)) {
		f := strings.Fields(line)
		switch {
		case strings.HasSuffix(f[5], "/"):
		case strings.Contains(f[5], "/man/") || strings.Contains(f[5], "completions"):
			help += f[5] + "\n"
		default:
			files += f[0] + " " + f[1] + " " + f[5] + "\n"
		}
	}
	return files, help
}

// wantHelp gives the man pages and completions that a package must have.
func wantHelp(t *testing.T, command string) string {
	t.Helper()
	var want []string
	pages, err := filepath.Glob("../" + command + "/*.[1-9]")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		want = append(want, fmt.Sprintf("./usr/share/man/man%s/%s.gz\n", page[len(page)-1:], filepath.Base(page)))
	}
	if exec.Command(filepath.Join(buildCommands(t), command), "-completion", "bash").Run() == nil {
		want = append(want, "./usr/share/bash-completion/completions/"+command+"\n",
			"./usr/share/fish/vendor_completions.d/"+command+".fish\n", "./usr/share/zsh/vendor-completions/_"+command+"\n")
	}
	slices.Sort(want)
	return strings.Join(want, "")
}

var packageFiles = map[string]string{
	"knockclient": `-rwxr-xr-x root/root ./usr/bin/knockclient
-rw-r--r-- root/root ./usr/share/doc/knockclient/README.md.gz
-rw-r--r-- root/root ./usr/share/doc/knockclient/changelog.gz
-rw-r--r-- root/root ./usr/share/doc/knockclient/copyright
-rw-r--r-- root/root ./usr/share/doc/knockclient/examples/knockclient.conf
-rw-r--r-- root/root ./usr/share/lintian/overrides/knockclient
`,
	"knockdaemon": `-rwxr-xr-x root/root ./etc/init.d/knockdaemon
-rw-r--r-- root/root ./etc/knockdaemon.conf
-rw-r--r-- root/root ./etc/logrotate.d/knockdaemon
-rw-r--r-- root/root ./lib/systemd/system/knockdaemon.service
-rw-r--r-- root/root ./usr/lib/sysusers.d/knockdaemon.conf
-rwxr-xr-x root/root ./usr/sbin/knockdaemon
-rw-r--r-- root/root ./usr/share/doc/knockdaemon/README.Debian
-rw-r--r-- root/root ./usr/share/doc/knockdaemon/README.md.gz
-rw-r--r-- root/root ./usr/share/doc/knockdaemon/changelog.gz
-rw-r--r-- root/root ./usr/share/doc/knockdaemon/copyright
-rwxr-xr-x root/root ./usr/share/doc/knockdaemon/examples/firewall-nft.sh
-rwxr-xr-x root/root ./usr/share/doc/knockdaemon/examples/firewall.sh
-rw-r--r-- root/root ./usr/share/doc/knockdaemon/examples/knockdaemon-commands.conf
-rw-r--r-- root/root ./usr/share/doc/knockdaemon/examples/knockdaemon-interface.conf
-rw-r--r-- root/root ./usr/share/doc/knockdaemon/examples/knockdaemon-keys.conf
-rw-r--r-- root/root ./usr/share/doc/knockdaemon/examples/knockdaemon-kmsg.conf
-rw-r--r-- root/root ./usr/share/doc/knockdaemon/examples/knockdaemon-legacy.conf
-rw-r--r-- root/root ./usr/share/doc/knockdaemon/examples/knockdaemon-metrics.conf
-rw-r--r-- root/root ./usr/share/doc/knockdaemon/examples/rsyslog.conf
-rw-r--r-- root/root ./usr/share/doc/knockdaemon/examples/sequences.conf
-rw-r--r-- root/root ./usr/share/doc/knockdaemon/examples/trial.sh
-rw-r--r-- root/root ./usr/share/doc/knockdaemon/examples/ulogd.conf
-rw-r--r-- root/root ./usr/share/lintian/overrides/knockdaemon
`,
}

// Packages for each architecture are what they say, and the same bytes whoever builds
// them where.
func TestPackages(t *testing.T) {
	t.Parallel()
	needPrograms(t, "dpkg-deb:dpkg")
	tests := map[string]struct{ version, wantVersion, wantArch string }{
		"amd64": {"development", "0~development", "amd64"},
		"arm64": {"v1.2.3-rc.1", "1.2.3~rc.1", "arm64"},
		"arm":   {"v1.2.3-5-g0123abc", "1.2.3+5.g0123abc", "armhf"},
	}
	for arch, tt := range tests {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			bin := buildRelease(t, tt.version, arch)
			if arch != "amd64" { // whose completions this machine may ask for
				here := buildRelease(t, tt.version, "amd64")
				for _, command := range []string{"knockclient", "knockdaemon"} {
					name := command + "-" + tt.version + "-linux-amd64"
					if err := os.Rename(filepath.Join(here, name), filepath.Join(bin, name)); err != nil {
						t.Fatal(err)
					}
				}
			}
			dir := buildPackages(t, "..", tt.version, arch, bin)
			again := buildPackages(t, copyTree(t), tt.version, arch, bin, "UMASK=077", "TZ=Asia/Tokyo", "HOME="+t.TempDir(),
				"GOMODCACHE="+goEnv(t, "GOMODCACHE"), "GOCACHE="+goEnv(t, "GOCACHE"), "KNOCK_KEY=secret", "LC_ALL=C.UTF-8")
			for command, want := range packageFiles {
				name := command + "_" + tt.wantVersion + "_" + tt.wantArch + ".deb"
				path := filepath.Join(dir, name)
				files, help := listing(t, path)
				if diff := cmp.Diff(want, files); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
				if diff := cmp.Diff(wantHelp(t, command), help); diff != "" {
					t.Errorf("%s, the help (-want +got):\n%s", name, diff)
				}
				fields := dpkgDeb(t, "--field", path, "Package", "Version", "Architecture")
				if want := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\n", command, tt.wantVersion, tt.wantArch); fields != want {
					t.Errorf("%s has the fields %q, want %q", name, fields, want)
				}
				wantSameFile(t, path, filepath.Join(again, name))
			}
		})
	}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func wantSameFile(t *testing.T, path, other string) {
	t.Helper()
	a, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("%s differs from %s", path, other)
	}
}

// The script explains itself, says in its last line what is wrong, and makes nothing of binaries that are
// something else.
func TestPackageScriptRefuses(t *testing.T) {
	t.Parallel()
	const version = "v1.2.3"
	script := filepath.Join(examples, "debian/build.sh")
	if out, err := exec.Command(script, "-h").Output(); err != nil || !strings.HasPrefix(string(out), "usage: ") {
		t.Errorf("-h: %v, %q", err, out)
	}
	wrong, dynamic := t.TempDir(), t.TempDir()
	for _, command := range []string{"knockclient", "knockdaemon"} {
		for to, from := range map[string]string{
			filepath.Join(wrong, command+"-"+version+"-linux-arm64"):   filepath.Join(buildCommands(t), command), // amd64's
			filepath.Join(dynamic, command+"-"+version+"-linux-amd64"): "/bin/true",
		} {
			if out, err := exec.Command("cp", from, to).CombinedOutput(); err != nil {
				t.Fatalf("cp: %v, %s", err, out)
			}
		}
	}
	tests := map[string]struct {
		args   []string
		status int
		want   string
	}{
		"no arguments":         {nil, 2, "usage: "},
		"one too many":         {[]string{version, "amd64", "/", "/", "/"}, 2, "usage: "},
		"version":              {[]string{"1.2 3", "amd64", wrong, "/nonexistent"}, 2, "'1.2 3' is no version"},
		"architecture":         {[]string{version, "mips", wrong, "/nonexistent"}, 2, "not 'mips'"},
		"no binaries":          {[]string{version, "amd64", wrong, "/nonexistent"}, 1, "no " + wrong},
		"another machine's":    {[]string{version, "arm64", wrong, "/nonexistent"}, 1, "was not built with GOARCH=arm64"},
		"not one of go's":      {[]string{version, "amd64", dynamic, "/nonexistent"}, 1, "was not built by go"},
		"a version of dpkg's":  {[]string{"1.2.3:4", "amd64", wrong, "/nonexistent"}, 2, "is no version"},
		"a path for a version": {[]string{"../v1", "amd64", wrong, "/nonexistent"}, 2, "is no version"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(script, tt.args...)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
			if cmd.ProcessState.ExitCode() != tt.status || stdout.Len() > 0 || !strings.Contains(lines[len(lines)-1], tt.want) {
				t.Errorf("%v, stdout %q, stderr %q; want status %d and %q", err, stdout.String(), stderr.String(), tt.status, tt.want)
			}
		})
	}
}
