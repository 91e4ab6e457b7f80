package check

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// state looks at what the daemon keeps, and whether one runs.
func (m *machine) state() {
	m.report.add(timeMatch()...)
	m.report.add(stateDir(m.config.StateDir)...)
	if pid := runningDaemon(filepath.Join(m.config.StateDir, "lock")); pid != 0 {
		m.report.add(notef("knockdaemon runs (process %d)", pid))
	}
}

// timeMatch tells whether the kernel can end a rule by itself.
func timeMatch() []finding {
	if hasLine(read("/proc/net/ip_tables_matches"), "time") {
		return []finding{okf("the kernel can end rules by itself (xt_time)")}
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil
	}
	modules := filepath.Join("/lib/modules", unix.ByteSliceToString(name.Release[:]))
	switch list := read(filepath.Join(modules, "modules.dep")) + read(filepath.Join(modules, "modules.builtin")); {
	case list == "":
		return []finding{notef("whether the kernel can end rules by itself (xt_time) cannot be told")}
	case strings.Contains(list, "/xt_time.ko"):
		return []finding{okf("the kernel can end rules by itself (xt_time)")}
	}
	return []finding{notef("the kernel lacks xt_time: a rule ends only while knockdaemon runs")}
}

// minFree is how many bytes the state should find on its disk.
const minFree = 1 << 20

// stateDir looks at the state directory, or at the one that it will be made in.
func stateDir(path string) []finding {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return missingStateDir(path)
	}
	switch {
	case err != nil:
		return []finding{problemf("failed to look at the state directory: %v", err)}
	case !info.IsDir():
		return []finding{problemf("the state directory %q is no directory", path).fixed("move that file away, or name another state-dir")}
	}
	var findings []finding
	switch mode := info.Mode().Perm(); {
	case mode&0o022 != 0:
		findings = append(findings, problemf("others can write to the state directory %q (mode %04o), and so open ports", path, mode).fixed("chmod 700 %s", path))
	case mode&0o077 != 0:
		findings = append(findings, notef("others can look into the state directory %q (mode %04o)", path, mode).fixed("chmod 700 %s", path))
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		findings = append(findings, notef("the state directory %q belongs to %s, who can open ports: right only if the daemon runs as that user", path, userName(st.Uid)))
	}
	findings = append(findings, room(path)...)
	if len(findings) == 0 {
		findings = append(findings, okf("the state directory %q can be written, and has room", path))
	}
	return findings
}

// room tells what keeps us from writing to a directory.
func room(path string) (findings []finding) {
	if err := unix.Access(path, unix.W_OK|unix.X_OK); err != nil {
		findings = append(findings, problemf("the state directory %q cannot be written: %v", path, err).fixed("run as the user that the daemon runs as, or name another state-dir"))
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(path, &disk); err == nil && disk.Blocks > 0 && disk.Bavail*uint64(disk.Bsize) < minFree {
		findings = append(findings, problemf("the disk of the state directory %q is full", path).fixed("make room"))
	}
	return findings
}

// missingStateDir looks at the directory above one that is not there.
func missingStateDir(path string) []finding {
	above := filepath.Dir(path)
	for {
		info, err := os.Stat(above)
		if err == nil && info.IsDir() {
			break
		}
		if next := filepath.Dir(above); err != nil && errors.Is(err, fs.ErrNotExist) && next != above {
			above = next
			continue
		}
		return []finding{problemf("the state directory %q cannot be made: %q is no directory", path, above).fixed("name another state-dir")}
	}
	if findings := room(above); len(findings) > 0 {
		return []finding{problemf("the state directory %q is not there and cannot be made", path).fixed("make it, writable for the daemon and nobody else")}
	}
	return []finding{okf("the state directory %q will be made", path)}
}

// runningDaemon gives the process that holds a lock file, or 0. It does not try the lock: a daemon that starts just
// then would find it taken.
func runningDaemon(path string) (pid int) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
	if !ok || err != nil || !holdsLock(read("/proc/locks"), pid, stat.Ino) {
		return 0
	}
	return pid
}
