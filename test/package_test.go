package test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
				wantSame(t, path, filepath.Join(again, name))
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

func wantSame(t *testing.T, path, other string) {
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

// The script says in one line what is wrong, and makes nothing of binaries that are
// something else.
func TestPackageScriptRefuses(t *testing.T) {
	t.Parallel()
	const version = "v1.2.3"
	script := filepath.Join(examples, "debian/build.sh")
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
		"nowhere to put them":  {[]string{version, "arm64", wrong, "/dev/null/x"}, 1, "error: "},
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

// bare makes a machine without systemd, in runlevel 2. All that runs there ends with the test.
func bare(t *testing.T) machine {
	t.Helper()
	needPrograms(t, "unshare:util-linux", "nsenter:util-linux", "openssl:openssl")
	m := machine{sandbox: newSandbox(t), iptables: "iptables"}
	// Bash, as its first process, waits for all that others leave to it.
	const script = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
cd "$1"
mkdir upper work root
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" root
cd root
mount --rbind /dev dev
mount --rbind /sys sys
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs root
mount -t proc proc proc
mkdir root/knock
rm -f usr/bin/systemd-sysusers sbin/runlevel
printf '#!/bin/sh\necho N 2\n' >sbin/runlevel
chmod 755 sbin/runlevel
pivot_root . .
umount -l .
echo up
exec bash -c 'sleep infinity & while :; do wait; done'
`
	cmd := exec.CommandContext(t.Context(), "ip", "netns", "exec", m.name,
		"unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", t.TempDir())
	said := new(watched)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.WaitDelay = patience
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // it was told to end
	eventually(t, "the machine: "+said.String(), func() bool { return strings.Contains(said.String(), "up\n") })
	children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	m.leader = strings.TrimSpace(string(children))
	return m
}

// take copies the packages of a directory to a directory of root's.
func (m machine) take(from, to string) {
	m.t.Helper()
	paths, err := filepath.Glob(filepath.Join(from, "*.deb"))
	if err != nil || len(paths) != 2 {
		m.t.Fatalf("%s has %q, %v", from, paths, err)
	}
	m.run("mkdir -p " + to)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			m.t.Fatal(err)
		}
		m.must(string(data), "nsenter", "--target", m.leader, "--all", "sh", "-c", "cat >"+filepath.Join(to, filepath.Base(path)))
	}
}

// everything gives all files where packages put some, but for the logs and lists of
// dpkg's and systemd's own, and the users.
func (m machine) everything() string {
	m.t.Helper()
	return m.run(`find /etc /usr /var -xdev -maxdepth 5 \
		\( -path /var/lib/dpkg -o -path /var/cache -o -path /var/log/journal -o -path /var/tmp -o -path /usr/local \) -prune -o \
		-not -path '/var/log/dpkg.log' -not -path '/etc/*-' -not -path /etc/.pwd.lock -printf '%p %M %u %g\n' | sort
		cat /etc/passwd /etc/shadow /etc/group /etc/gshadow`)
}

// runs gives the version of the daemon that runs, and its process.
func (m machine) runs() (version, pid string) {
	m.t.Helper()
	pid = strings.TrimSpace(m.run("pidof knockdaemon"))
	return strings.TrimSpace(m.run("/proc/" + pid + "/exe -version")), pid
}

// versions builds the packages that the tests upgrade from and to; the second has
// another configuration.
func versions(t *testing.T) (older, newer string) {
	t.Helper()
	const from, to = "development", "v1.2.3"
	tree := copyTree(t)
	conf := readExample(t, "knockdaemon.conf")
	writeTemp(t, filepath.Join(tree, "examples"), "knockdaemon.conf", conf+"# This is new.\n", 0o644)
	return buildPackages(t, "..", from, "amd64", buildRelease(t, from, "amd64")), buildPackages(t, tree, to, "amd64", buildRelease(t, to, "amd64"))
}

const (
	packageKnock = "knockclient -key-file /etc/knockdaemon.key -port 22 -time 5 -log-to-file /var/log/knock.log 127.0.0.1"
	packageLog   = "install -m 640 -g adm /dev/null /var/log/knock.log"
)

var anID = regexp.MustCompile(`:[1-9]\d{2}:[1-9]\d{2}:`)

// Under systemd the packages do what their administrator expects: nothing at first, all
// that is asked for then, and nothing is left in the end.
func TestPackageUnderSystemd(t *testing.T) {
	t.Parallel()
	older, newer := versions(t)
	m := boot(t)
	// Another service is enabled already, as on any machine.
	m.run("rm -f /usr/sbin/policy-rc.d; systemctl enable remote-fs.target; " + packageLog)
	m.take(older, "/root/older")
	m.take(newer, "/root/newer")
	before, rules := m.everything(), m.rules()

	if out := m.run("dpkg -i /root/older/*.deb"); !strings.Contains(out, "knockdaemon is not started yet.") {
		t.Errorf("the installation does not say what comes next:\n%s", out)
	}
	m.wantState("disabled", "inactive")
	if got := anID.ReplaceAllString(m.run("getent passwd knockdaemon"), ":N:N:"); got != "knockdaemon:x:N:N:Port knocking daemon:/:/usr/sbin/nologin\n" {
		t.Errorf("the user is %s", got)
	}
	if got := m.run("dpkg --verify knockdaemon knockclient"); got != "" {
		t.Errorf("dpkg --verify says\n%s", got)
	}
	if diff := cmp.Diff(rules, m.rules()); diff != "" {
		t.Errorf("the installation changes the firewall (-before +after):\n%s", diff)
	}

	m.run("openssl rand -base64 32 | install -o knockdaemon -m 400 /dev/stdin /etc/knockdaemon.key")
	m.run("sed -i 's/^max-time = 60/max-time = 61/' /etc/knockdaemon.conf")
	m.run("systemctl enable --now knockdaemon")
	m.run(packageKnock)
	m.wantRule(true)
	m.upgradeUnderSystemd()

	m.run("dpkg -r knockdaemon")
	m.wantState("", "inactive")
	m.wantKept(rules)
	m.run("dpkg -i /root/newer/knockdaemon_*.deb") // and it is as it was
	m.wantState("enabled", "inactive")
	m.run("/etc/init.d/knockdaemon start") // which has systemd do it
	m.wantState("enabled", "active")
	m.wantRule(true)
	m.run("dpkg -P knockdaemon knockclient")
	m.wantNothing(before, rules)
}

// wantState wants what systemd says of the service. An empty state is not looked at.
func (m machine) wantState(enabled, active string) {
	m.t.Helper()
	for verb, want := range map[string]string{"is-enabled": enabled, "is-active": active} {
		out, _ := m.command("systemctl", verb, "knockdaemon").Output() // the status says the same
		if got := strings.TrimSpace(string(out)); want != "" && got != want {
			m.t.Errorf("systemctl %s: %q, want %q", verb, got, want)
		}
	}
}

// upgradeUnderSystemd upgrades a daemon that runs, one that cannot run any more, and one
// that does not run.
func (m machine) upgradeUnderSystemd() {
	m.t.Helper()
	if version, _ := m.runs(); version != "knockdaemon version development" {
		m.t.Errorf("%q runs", version)
	}
	upgrade := "dpkg --force-confold -i /root/newer/*.deb"
	m.run(upgrade)
	m.wantUpgraded()
	m.wantState("enabled", "active")

	m.run("echo colour = red >>/etc/knockdaemon.conf")
	if out := m.run(upgrade); !strings.Contains(out, "failed to start the new one") {
		m.t.Errorf("the upgrade of one that cannot start says only\n%s", out)
	}
	m.run("sed -i '/^colour/d' /etc/knockdaemon.conf; systemctl restart knockdaemon")
	m.wantRule(true)

	m.run("systemctl stop knockdaemon; " + upgrade)
	m.wantState("enabled", "inactive")
	m.run("systemctl start knockdaemon")
	m.wantRule(true)
}

// wantUpgraded wants the new version to run, and what the old one had.
func (m machine) wantUpgraded() {
	m.t.Helper()
	m.wantRule(true)
	if version, _ := m.runs(); version != "knockdaemon version v1.2.3" {
		m.t.Errorf("after the upgrade %q runs", version)
	}
	if got := m.run("grep -c '^max-time = 61$' /etc/knockdaemon.conf; tail -n 1 /etc/knockdaemon.conf.dpkg-dist"); got != "1\n# This is new.\n" {
		m.t.Errorf("the configuration has not been kept: %s", got)
	}
}

// wantKept wants what outlives the package, and nothing of it to run.
func (m machine) wantKept(rules string) {
	m.t.Helper()
	if diff := cmp.Diff(rules, m.rules()); diff != "" {
		m.t.Errorf("the firewall without the package (-before +after):\n%s", diff)
	}
	m.run("! pidof knockdaemon; ! [ -e /usr/sbin/knockdaemon ]; ! [ -x /etc/init.d/knockdaemon ]; " +
		"ls /etc/knockdaemon.conf /etc/knockdaemon.key /var/lib/knockdaemon/leases; getent passwd knockdaemon")
}

// wantNothing wants the machine to be as it was before.
func (m machine) wantNothing(before, rules string) {
	m.t.Helper()
	if diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(m.everything(), "\n")); diff != "" {
		m.t.Errorf("what the packages left (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(rules, m.rules()); diff != "" {
		m.t.Errorf("the firewall (-before +after):\n%s", diff)
	}
}

// The same without systemd, and with its tool for users.
func TestPackageWithoutSystemd(t *testing.T) {
	t.Parallel()
	older, newer := versions(t)
	m := bare(t)
	m.run("rm -f /usr/sbin/policy-rc.d; " + packageLog)
	m.take(older, "/root/older")
	m.take(newer, "/root/newer")
	before, rules := m.everything(), m.rules()

	m.run("dpkg -i /root/older/*.deb")
	if got := m.run("ls /etc/rc2.d | grep knockdaemon"); !strings.HasPrefix(got, "K") {
		t.Errorf("the service is enabled: %s", got)
	}
	m.run("openssl rand -base64 32 | install -m 400 /dev/stdin /etc/knockdaemon.key")
	m.run("sed -i 's/^max-time = 60/max-time = 61/' /etc/knockdaemon.conf")
	m.run("update-rc.d knockdaemon enable && service knockdaemon start")
	m.run(packageKnock)
	m.wantRule(true)
	m.run("dpkg --force-confold -i /root/newer/*.deb")
	m.wantUpgraded()
	m.run("dpkg -r knockdaemon")
	m.wantKept(rules)
	m.run("chown knockdaemon: /etc/knockdaemon.key; install -o knockdaemon -m 400 /dev/null /etc/knockdaemon.alice.key")
	m.run("dpkg -P knockdaemon knockclient")
	if got := m.run("stat -c '%U %a' /etc/knockdaemon.alice.key && rm /etc/knockdaemon.alice.key"); got != "root 400\n" {
		t.Errorf("the key that is left is %s", got)
	}
	m.wantNothing(before, rules)
}
