package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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

	if out := m.run("dpkg -i /root/older/*.deb"); !strings.Contains(out, "knockdaemon is not started yet: ") || !strings.Contains(out, "README.Debian") {
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
	m.run("! pidof knockdaemon && ! [ -e /usr/sbin/knockdaemon ] && ! [ -x /etc/init.d/knockdaemon ] && " +
		"ls /etc/knockdaemon.conf /etc/knockdaemon.key /var/lib/knockdaemon/leases && getent passwd knockdaemon")
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
