package test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A machine is a real systemd with a copy of this host's files, and processes,
// mounts and a network of its own. All that it changes is in memory.
type machine struct {
	sandbox
	leader   string // its first process
	iptables string
}

// bootScript makes the files and starts systemd. Of this host's own services none
// is started. With bpf systemd keeps devices and addresses away as the unit says. The
// script's arguments are a directory, a network namespace, a name, the
// directory to show as /root/knock, and the control groups to be in.
const bootScript = `set -e
dir=$1 net=$2 name=$3 project=$4
shift 4
for group; do echo $$ >"$group/cgroup.procs"; done
mount --make-rprivate /
mkdir -p /run/systemd
mount -t tmpfs tmpfs /run/systemd
mount -t tmpfs tmpfs "$dir"
mkdir "$dir/upper" "$dir/work" "$dir/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" "$dir/root"
rm -rf "$dir"/root/etc/systemd/system/*.wants "$dir"/root/etc/systemd/system/knockdaemon*
: >"$dir/root/etc/fstab"
: >"$dir/root/etc/machine-id"
export UNIFIED_CGROUP_HIERARCHY=1
exec systemd-nspawn --boot --directory="$dir/root" --machine="$name" --network-namespace-path="$net" \
	--capability=CAP_NET_ADMIN,CAP_NET_RAW,CAP_SYSLOG --system-call-filter=bpf --bind-ro="$project:/root/knock" \
	--register=no --keep-unit --link-journal=no --console=pipe systemd.unit=basic.target
`

// boot starts a machine, which is shut down with the test.
func boot(t *testing.T) machine {
	t.Helper()
	needPrograms(t, "systemd-nspawn:systemd-container", "unshare:util-linux", "nsenter:util-linux", "openssl:openssl")
	m := machine{sandbox: newSandbox(t), iptables: "iptables"}
	args := []string{"--mount", "sh", "-c", bootScript, "sh", t.TempDir(), "/run/netns/" + m.name, m.name, project(t)}
	cmd := exec.CommandContext(t.Context(), "unshare", append(args, controlGroups(t, m.name)...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // which systemd-nspawn hands on
	cmd.WaitDelay = patience
	said := new(watched)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Wait() // it was told to end
		if t.Failed() {
			t.Logf("systemd-nspawn said:\n%s", said)
		}
	})
	children := fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", cmd.Process.Pid)
	eventually(t, "systemd to start", func() bool {
		data, err := os.ReadFile(children)
		if err != nil {
			t.Fatalf("%v; systemd-nspawn said:\n%s", err, said)
		}
		m.leader = strings.TrimSpace(string(data))
		comm, _ := os.ReadFile("/proc/" + m.leader + "/comm") // of nobody yet
		return string(comm) == "systemd\n"
	})
	eventually(t, "systemd to be up", func() bool {
		out, _ := m.command("systemctl", "is-active", "basic.target").Output() // the status says the same
		return string(out) == "active\n"
	})
	return m
}

// controlGroups makes a control group for a machine in each hierarchy of systemd's,
// and removes it with all that the machine makes in it.
func controlGroups(t *testing.T, name string) (groups []string) {
	t.Helper()
	const root = "/sys/fs/cgroup"
	for _, base := range []string{root, root + "/unified", root + "/systemd"} {
		if _, err := os.Stat(filepath.Join(base, "cgroup.procs")); err != nil {
			continue
		}
		group := filepath.Join(base, name)
		if err := os.Mkdir(group, 0o755); err != nil {
			t.Fatal(err)
		}
		groups = append(groups, group)
		t.Cleanup(func() {
			eventually(t, "the machine's control groups to be empty", func() bool { return removeGroups(group) })
		})
	}
	if len(groups) == 0 {
		t.Fatal("no control groups: mount cgroup2 on " + root)
	}
	return groups
}

// removeGroups reports whether it could.
func removeGroups(group string) bool {
	var dirs []string
	_ = filepath.WalkDir(group, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for _, dir := range slices.Backward(dirs) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return true
}

// project makes a copy of what an installation needs of the project.
func project(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for to, from := range map[string]string{"examples": examples, "build": buildCommands(t)} {
		if out, err := exec.Command("cp", "-r", from, filepath.Join(dir, to)).CombinedOutput(); err != nil {
			t.Fatalf("cp: %v, %s", err, out)
		}
	}
	return dir
}

// command makes a command that runs in the machine, as root.
func (m machine) command(name string, args ...string) *exec.Cmd {
	return exec.CommandContext(m.t.Context(), "nsenter", append([]string{"--target", m.leader, "--all", name}, args...)...)
}

// run runs a shell command in the machine, which must succeed, and gives its output.
func (m machine) run(command string) string {
	m.t.Helper()
	out, err := m.command("bash", "-c", "cd /root/knock; "+command).CombinedOutput()
	if err != nil {
		journal, _ := m.command("journalctl", "--no-pager", "--lines=50", "--unit=knockdaemon").CombinedOutput() // if there is one
		m.t.Fatalf("%s: %v\n%s\nthe journal:\n%s", command, err, out, journal)
	}
	return string(out)
}

// show gives properties of the service, a line each in systemd's order.
func (m machine) show(properties string) string {
	m.t.Helper()
	return m.run("systemctl show knockdaemon --property=" + properties)
}

// rules gives the machine's firewall.
func (m machine) rules() string {
	m.t.Helper()
	return m.run(m.iptables + " -S")
}

// knock writes a knock to the machine's log, in place of its firewall.
func (m machine) knock(minutes int) {
	m.t.Helper()
	m.run(fmt.Sprintf("build/knockclient -key-file /etc/knockdaemon.key -port 22 -time %d -log-to-file /var/log/knock.log 127.0.0.1", minutes))
}

// wantRule waits for the rule of such a knock to be there, or not.
func (m machine) wantRule(want bool) {
	m.t.Helper()
	eventually(m.t, fmt.Sprintf("a rule: %v", want), func() bool {
		return strings.Contains(m.rules(), "-A KNOCK -s 127.0.0.1/32 -p tcp -m tcp --dport 22 ") == want
	})
}

// install follows the README, but for the firewall and its log: what is logged
// here is the whole kernel's. Before the service starts it does more.
func (m machine) install(more ...string) {
	m.t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		m.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(readme), "On the server, as root")
	_, after, _ = strings.Cut(after, "```sh\n")
	steps, _, _ := strings.Cut(after, "```")
	m.run("install -m 640 -g adm /dev/null /var/log/knock.log") // rsyslog's
	started := false
	for step := range strings.Lines(steps) {
		if !strings.Contains(step, "knockdaemon") {
			continue
		}
		if started = strings.Contains(step, "systemctl enable --now knockdaemon"); started {
			for _, command := range more {
				m.run(command)
			}
		}
		m.run(step)
	}
	if !started {
		m.t.Fatalf("the last step in the README that is of the daemon does not start it:\n%s", steps)
	}
}

// Installed as the README says, under a real systemd, the service does all it has
// to, and systemd ends one that hangs.
func TestUnitUnderSystemd(t *testing.T) {
	t.Parallel()
	for variant, more := range map[string][]string{
		"iptables-nft": {"sed -i 's/^iptables = .*/iptables = iptables-nft/' /etc/knockdaemon.conf"},
		"iptables-legacy": {
			"sed -i 's/^iptables = .*/iptables = iptables-legacy/' /etc/knockdaemon.conf",
			"install -D -m 644 examples/knockdaemon-legacy.conf /etc/systemd/system/knockdaemon.service.d/legacy.conf",
		},
	} {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			m := boot(t)
			m.iptables = variant
			before := m.rules()
			m.install(append(more, "sed -i '1i metrics = 127.0.0.1:9745' /etc/knockdaemon.conf",
				"install -D -m 644 examples/knockdaemon-metrics.conf /etc/systemd/system/knockdaemon.service.d/metrics.conf")...)
			want := "Type=notify\nWatchdogUSec=1min 30s\nNRestarts=0\nActiveState=active\nSubState=running\n"
			if diff := cmp.Diff(want, m.show("Type,NRestarts,WatchdogUSec,ActiveState,SubState")); diff != "" {
				t.Errorf("the service (-want +got):\n%s", diff)
			}
			m.knock(5)
			m.wantRule(true)
			// By the boot that the journal names a new start tells how long ago it was written. Nspawn's own boot_id hides the
			// kernel's from the rest of the machine, but not from the unit, which has a /proc of its own.
			boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
			if err != nil {
				t.Fatal(err)
			}
			if leases := m.run("cat /var/lib/knockdaemon/leases"); !strings.Contains(leases, `"boot":"`+strings.TrimSpace(string(boot))+`"`) {
				t.Errorf("the journal does not name the boot %s: %s", boot, leases)
			}
			eventually(t, "the status", func() bool { // the rule is in the kernel before the daemon knows that it worked
				got := m.run("build/knockdaemon -status")
				return strings.Contains(got, "watching /var/log/knock.log\n") && strings.Contains(got, "127.0.0.1  22/tcp  4 min")
			})
			if got := m.run("curl --silent --show-error http://127.0.0.1:9745/metrics"); !strings.Contains(got, "\nknockdaemon_leases{action=\"open\"} 1\n") {
				t.Errorf("the metrics:\n%s", got)
			}
			m.run("systemctl reload knockdaemon")
			m.knock(255)
			m.wantRule(false)
			m.wantWatchdog()
			m.knock(5)
			m.wantRule(true)
			m.run("systemctl stop knockdaemon")
			if diff := cmp.Diff(before, m.rules()); diff != "" {
				t.Errorf("the firewall (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff("Result=success\nNRestarts=1\n", m.show("Result,NRestarts")); diff != "" {
				t.Errorf("the service (-want +got):\n%s", diff)
			}
		})
	}
}

// wantWatchdog has systemd be less patient, sees that it is fed, and stops the
// daemon's process, which must be replaced.
func (m machine) wantWatchdog() {
	m.t.Helper()
	m.run("mkdir -p /run/systemd/system/knockdaemon.service.d; printf '[Service]\\nWatchdogSec=5\\n' >/run/systemd/system/knockdaemon.service.d/impatient.conf")
	m.run("systemctl daemon-reload; systemctl restart knockdaemon")
	fed := map[string]bool{}
	eventually(m.t, "the watchdog to be fed", func() bool {
		fed[m.show("WatchdogTimestampMonotonic")] = true
		return len(fed) > 3
	})
	if got := m.show("NRestarts"); got != "NRestarts=0\n" {
		m.t.Fatalf("a daemon that feeds the watchdog has %s", got)
	}
	m.run("systemctl kill --kill-who=main --signal=STOP knockdaemon")
	eventually(m.t, "a new daemon", func() bool { return m.show("NRestarts,SubState") == "NRestarts=1\nSubState=running\n" })
	if journal := m.run("journalctl --no-pager --unit=knockdaemon"); !strings.Contains(journal, "Failed with result 'watchdog'") {
		m.t.Errorf("the journal lacks the watchdog:\n%s", journal)
	}
}
