package test

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A unitFile is a unit and its drop-ins: the values of each setting, in order.
type unitFile map[string][]string

// readUnit reads the examples of those names as one unit.
func readUnit(t *testing.T, names ...string) unitFile {
	t.Helper()
	u := unitFile{}
	for _, name := range names {
		for line := range strings.Lines(readExample(t, name)) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
				u[key] = append(u[key], value)
			}
		}
	}
	return u
}

// one gives a setting that is there once.
func (u unitFile) one(t *testing.T, key string) string {
	t.Helper()
	if len(u[key]) != 1 {
		t.Fatalf("the unit has %s=%q, want one", key, u[key])
	}
	return u[key][0]
}

// words gives all words of a setting.
func (u unitFile) words(key string) []string {
	return strings.Fields(strings.Join(u[key], " "))
}

// unit writes the systemd unit, with drop-ins if there are any, and the real programs' paths.
func unit(t *testing.T, dir string, dropIns ...string) string {
	t.Helper()
	for _, name := range dropIns {
		folder := filepath.Join(dir, "knockdaemon.service.d")
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		writeTemp(t, folder, name, readExample(t, name), 0o644)
	}
	return writeTemp(t, dir, "knockdaemon.service", readExample(t, "knockdaemon.service",
		"/usr/local/sbin/knockdaemon", filepath.Join(buildCommands(t), "knockdaemon")), 0o644)
}

// The unit says nothing that systemd does not know, and leaves the daemon little
// with which to do harm.
func TestSystemdUnit(t *testing.T) {
	t.Parallel()
	needPrograms(t, "systemd-analyze:systemd")
	for name, dropIns := range map[string][]string{
		"nft": nil, "legacy": {"knockdaemon-legacy.conf"}, "interface": {"knockdaemon-interface.conf"},
		"kmsg": {"knockdaemon-kmsg.conf"}, "commands": {"knockdaemon-commands.conf"}, "metrics": {"knockdaemon-metrics.conf"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := unit(t, t.TempDir(), dropIns...)
			if out, err := exec.Command("systemd-analyze", "verify", "--man=no", path).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("systemd-analyze verify: %v\n%s", err, out)
			}
			out, err := exec.Command("systemd-analyze", "security", "--offline=yes", "--threshold=20", path).CombinedOutput()
			if err != nil || !regexp.MustCompile(`exposure level for knockdaemon.service: [01]\.[0-9] OK`).Match(out) {
				t.Errorf("systemd-analyze security: %v, want an exposure of less than 2.0\n%s", err, out)
			}
		})
	}
}

// The sysusers file makes the unit's user, with a group of its own.
func TestSysusers(t *testing.T) {
	t.Parallel()
	needPrograms(t, "systemd-sysusers:systemd")
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	conf := writeTemp(t, root, "knockdaemon.conf", readExample(t, "knockdaemon.sysusers"), 0o644)
	if out, err := exec.Command("systemd-sysusers", "--root="+root, conf).CombinedOutput(); err != nil {
		t.Fatalf("systemd-sysusers: %v\n%s", err, out)
	}
	u := readUnit(t, "knockdaemon.service")
	for file, want := range map[string]string{
		"passwd": "^" + u.one(t, "User") + `:x:[1-9]\d*:[1-9]\d*:Port knocking daemon:/:/usr/sbin/nologin\n$`,
		"group":  "^" + u.one(t, "Group") + `:x:[1-9]\d*:\n$`,
	} {
		data, err := os.ReadFile(filepath.Join(root, "etc", file))
		if err != nil || !regexp.MustCompile(want).Match(data) {
			t.Errorf("%s is %q, %v; want %s", file, data, err, want)
		}
	}
}

// somebody is a user and a group that nobody is.
const somebody = 64055

// give makes a file or directory of the lab somebody's alone.
func give(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chown(path, somebody, somebody); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// handOver gives somebody what the unit and the installation give to the daemon's
// user: its configuration, key, log and state. It returns the configuration's path.
func (l *lab) handOver(u unitFile) string {
	l.t.Helper()
	for _, dir := range []string{l.dir, filepath.Dir(l.dir)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			l.t.Fatal(err)
		}
	}
	give(l.t, l.keyFile, 0o400)
	state := filepath.Join(l.dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		l.t.Fatal(err)
	}
	give(l.t, state, 0o700)
	if l.feed == fromLog {
		if err := os.Chown(l.log, 0, groupID(l.t, u.one(l.t, "SupplementaryGroups"))); err != nil {
			l.t.Fatal(err)
		}
	}
	return writeTemp(l.t, l.dir, "knockdaemon.conf", l.daemonConf(), 0o644)
}

func groupID(t *testing.T, name string) int {
	t.Helper()
	g, err := user.LookupGroup(name)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		t.Fatal(err)
	}
	return gid
}

// capabilities gives a list of them as setpriv likes it.
func capabilities(names []string) string {
	list := "-all"
	for _, name := range names {
		list += ",+" + strings.ToLower(strings.TrimPrefix(name, "CAP_"))
	}
	return list
}

// confinedDaemon makes a knockdaemon at the gate as the unit does: an ordinary user with the
// unit's capabilities and filters. What the unit mounts is left out.
func (l *lab) confinedDaemon(u unitFile) *exec.Cmd {
	l.t.Helper()
	conf := l.handOver(u)
	before := []string{"set -e"}
	for _, command := range u["ExecStartPre"] {
		before = append(before, l.privateLock(command)...)
	}
	ambient := capabilities(u.words("AmbientCapabilities"))
	return l.gate.command("sh", "-c", strings.Join(before, "\n")+"\nexec \"$@\"", "sh",
		"setpriv", "--reuid", fmt.Sprint(somebody), "--regid", fmt.Sprint(somebody),
		"--groups", fmt.Sprint(groupID(l.t, u.one(l.t, "SupplementaryGroups"))),
		"--bounding-set", capabilities(u.words("CapabilityBoundingSet")), "--inh-caps", ambient, "--ambient-caps", ambient, "--no-new-privs",
		launcher(l.t, l.dir), confineVerb, unitFilters(l.t, u, l.dir),
		filepath.Join(l.bin, "knockdaemon"), "-conf", conf)
}

var startPre = regexp.MustCompile(`^\+/bin/sh -c '(.*)'$`)

// privateLock makes of the command that shares iptables-legacy's lock one that
// shares a lock of the test's own, and puts that in the other's place, read-only.
// What ip netns exec runs has mounts of its own.
func (l *lab) privateLock(command string) []string {
	l.t.Helper()
	const lock = "/run/xtables.lock"
	match := startPre.FindStringSubmatch(command)
	if match == nil || !strings.Contains(match[1], lock) || !strings.Contains(match[1], "chgrp knockdaemon ") {
		l.t.Fatalf("ExecStartPre= is %q", command)
	}
	own := filepath.Join(l.dir, "xtables.lock")
	script := strings.ReplaceAll(strings.ReplaceAll(match[1], lock, own), "chgrp knockdaemon ", fmt.Sprintf("chgrp %d ", somebody))
	return []string{
		script,
		": >>" + lock,
		"mount --bind " + own + " " + lock,
		"mount -o remount,bind,ro " + lock,
	}
}

// wantStatus looks for lines in what the kernel knows of a process.
func wantStatus(t *testing.T, pid int, lines ...string) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if !strings.Contains(string(status), "\n"+line+"\n") {
			t.Errorf("process %d lacks %q in\n%s", pid, line, status)
		}
	}
}

// With no more than the unit and a drop-in leave it the daemon does all it has to, with
// both variants of iptables and each feed.
func TestUnitSuffices(t *testing.T) {
	t.Parallel()
	needPrograms(t, "setpriv:util-linux", "gcc:gcc", "systemd-analyze:systemd", "iptables-nft:iptables", "iptables-legacy:iptables")
	for name, tt := range map[string]struct {
		iptables     string
		feed         feed
		dropIns      []string
		capabilities string // CAP_NET_ADMIN is bit 12, CAP_NET_RAW bit 13, CAP_SYSLOG bit 34
	}{
		"iptables-nft":    {"iptables-nft", fromLog, nil, "0000000000001000"},
		"iptables-legacy": {"iptables-legacy", fromLog, []string{"knockdaemon-legacy.conf"}, "0000000000003000"},
		"interface":       {"iptables-nft", fromInterface, []string{"knockdaemon-interface.conf"}, "0000000000003000"},
		"nflog":           {"iptables-nft", fromNFLOG, nil, "0000000000001000"},
		"kmsg":            {"iptables-nft", fromKmsg, []string{"knockdaemon-kmsg.conf"}, "0000000400001000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, firewallKind{iptables: tt.iptables, feed: tt.feed})
			l.echo(22)
			before := l.rules()
			d := l.follow(l.confinedDaemon(readUnit(t, append([]string{"knockdaemon.service"}, tt.dropIns...)...)))
			wantStatus(t, d.cmd.Process.Pid, fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d", somebody),
				"CapPrm:\t"+tt.capabilities, "CapEff:\t"+tt.capabilities, "CapBnd:\t"+tt.capabilities, "CapAmb:\t"+tt.capabilities,
				"NoNewPrivs:\t1", "Seccomp:\t2", "Seccomp_filters:\t3")

			l.knock("-port", "22", "-time", "5")
			d.next("rule opened")
			l.wantOpen(laptopIP, 22)
			l.wantClosed(strangerIP, 22)
			if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			l.knock("-port", "22", "-time", "255")
			d.next("rule closed")
			l.wantClosed(laptopIP, 22)
			l.knock("-port", "22", "-time", "5")
			d.next("rule opened")
			l.wantOpen(laptopIP, 22)
			d.stop()
			l.wantClosed(laptopIP, 22)
			l.wantBefore(before)
			if diff := cmp.Diff([]string(nil), l.notSomebodys()); diff != "" {
				t.Errorf("what the daemon left in its state is not its own:\n%s", diff)
			}
		})
	}
}

// notSomebodys gives the files of the state that are another user's, or that others may look at.
func (l *lab) notSomebodys() (names []string) {
	l.t.Helper()
	files, err := os.ReadDir(filepath.Join(l.dir, "state"))
	if err != nil {
		l.t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			l.t.Fatal(err)
		}
		if info.Sys().(*syscall.Stat_t).Uid != somebody || info.Mode()&0o077 != 0 {
			names = append(names, f.Name()+" "+info.Mode().String())
		}
	}
	return names
}

// Without its drop-in a feed that needs one does not start, and says what it lacks:
// the tests above would show nothing if it did.
func TestUnitAloneDoesNotSuffice(t *testing.T) {
	t.Parallel()
	needPrograms(t, "setpriv:util-linux", "gcc:gcc", "systemd-analyze:systemd", "iptables-nft:iptables")
	for f, want := range map[feed]string{
		fromInterface: "knockdaemon: error: failed to open a packet socket (it takes CAP_NET_RAW): address family not supported by protocol\n" +
			"knockdaemon: hint: run as root, or with the capability CAP_NET_RAW (examples/knockdaemon-interface.conf)\n",
		fromKmsg: "knockdaemon: error: failed to read the kernel's log: open /dev/kmsg: operation not permitted\n" +
			"knockdaemon: hint: run as root, or with the capability CAP_SYSLOG (examples/knockdaemon-kmsg.conf)\n",
	} {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, firewallKind{iptables: "iptables-nft", feed: f})
			before := l.rules()
			_, stderr, status := l.run(l.confinedDaemon(readUnit(t, "knockdaemon.service")))
			if status != 1 || !strings.Contains(stderr, want) {
				t.Errorf("status %d, stderr %q; want 1 and %q", status, stderr, want)
			}
			l.wantBefore(before)
		})
	}
}

// One that runs stays with what it has when a new configuration asks for more.
func TestReloadWithoutTheRight(t *testing.T) {
	t.Parallel()
	needPrograms(t, "setpriv:util-linux", "gcc:gcc", "systemd-analyze:systemd", "iptables-nft:iptables")
	l := newLab(t, firewallKind{iptables: "iptables-nft", feed: fromNFLOG})
	d := l.follow(l.confinedDaemon(readUnit(t, "knockdaemon.service")))
	conf := filepath.Join(l.dir, "knockdaemon.conf")
	for _, f := range []feed{fromInterface, fromKmsg} {
		l.feed = f
		if err := os.WriteFile(conf, []byte(l.daemonConf()), 0o644); err != nil {
			t.Fatal(err)
		}
		d.reload()
		eventually(t, "the reload to be refused", func() bool { return d.said("configuration not reloaded: the old one stays in force") })
		l.knock("-port", "22", "-time", "5")
		d.next("rule opened")
		l.knock("-port", "22", "-time", "255")
		d.next("rule closed")
	}
	d.stop()
}
