package check

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/packet"
)

// maxTail is how much of the log's end is read, in bytes.
const maxTail = 1 << 20

// log looks at the log; loggers are the rules that write there.
func (m *machine) log(loggers []*rule) {
	l := &logFile{
		path: m.config.Source.Log, options: m.lineOptions(), lineAge: m.config.LineAge, rules: len(loggers),
		rotated: isRotated(m.config.Source.Log), namespace: isNamespace(),
	}
	for _, r := range loggers {
		l.counted += r.packets
	}
	text, whole, err := m.openLog(l)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		m.report.add(notef("the log %q is not there yet: the logger makes it with the first line", l.path))
	case err != nil:
		m.report.add(problemf("%v", err).fixed("run as root or in the log's group, and name the firewall's log with -log"))
		return
	}
	now := time.Now()
	t, err := readTail(text, whole, l.options, m.isKnock(), now)
	if err != nil { // not after config.LoadDaemon
		m.report.add(problemf("%v", err))
		return
	}
	m.report.add(l.judge(t, now)...)
}

// lineOptions are those of the daemon's decoder.
func (m *machine) lineOptions() packet.Options {
	o := m.config.Lines
	o.Boot = bootTime()
	return o
}

// openLog reads the end of the log, and looks at who may write there.
func (m *machine) openLog(l *logFile) (text []byte, whole bool, err error) {
	f, err := os.OpenFile(l.path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO would wait for its writer
	if err != nil {
		return nil, false, fmt.Errorf("failed to open the log: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, false, fmt.Errorf("failed to look at the log: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, false, fmt.Errorf("the log %q is not a regular file", l.path)
	}
	l.changed = info.ModTime()
	m.report.add(writers(l.path, info)...)
	start := max(0, info.Size()-maxTail)
	text, err = io.ReadAll(io.NewSectionReader(f, start, maxTail))
	if err != nil {
		return nil, false, fmt.Errorf("failed to read the log: %w", err)
	}
	return text, start == 0, nil
}

// firstUser is the first number of those that people have, and not services.
const firstUser = 1000

// writers tells who can write to the log: whoever can forges knocks.
func writers(path string, info fs.FileInfo) (findings []finding) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	owner, group, mode := userName(stat.Uid), groupName(stat.Gid), info.Mode().Perm()
	switch {
	case mode&0o002 != 0:
		findings = append(findings, problemf("everybody can write to the log %q (mode %04o), and so forge knocks", path, mode).
			fixed("chmod o-w %s, and have the logger make it so", path))
	case mode&0o020 != 0 && stat.Gid != 0:
		findings = append(findings, problemf("the group %s can write to the log %q (mode %04o), and so forge knocks", group, path, mode).
			fixed("chmod g-w %s, and have the logger make it so", path))
	case stat.Uid >= firstUser:
		findings = append(findings, problemf("the log %q belongs to %s, who can so forge knocks", path, owner).
			fixed("chown root %s, and have the logger make it so", path))
	default:
		findings = append(findings, okf("the log %q can be read, and only %s can write to it", path, owner))
	}
	dir := filepath.Dir(path)
	if in, err := os.Stat(dir); err == nil && in.Mode().Perm()&0o002 != 0 && in.Mode()&fs.ModeSticky == 0 {
		findings = append(findings, problemf("everybody can put another file in the log's place: mode %04o of %q", in.Mode().Perm(), dir).
			fixed("chmod o-w %s", dir))
	}
	return findings
}

func userName(id uint32) string {
	number := strconv.FormatUint(uint64(id), 10)
	if u, err := user.LookupId(number); err == nil {
		return u.Username
	}
	return "user " + number
}

func groupName(id uint32) string {
	number := strconv.FormatUint(uint64(id), 10)
	if g, err := user.LookupGroupId(number); err == nil {
		return g.Name
	}
	return number
}

// isRotated tells whether an older part of the log lies beside it: knock.log.1, knock.log-20261120.gz.
func isRotated(path string) bool {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return false
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), filepath.Base(path))
		if ok && len(rest) > 1 && (rest[0] == '.' || rest[0] == '-') && rest[1] >= '0' && rest[1] <= '9' {
			return true
		}
	}
	return false
}

// isNamespace tells whether this is another network namespace than the first: the kernel shows this switch there alone.
func isNamespace() bool {
	_, err := os.Stat("/proc/sys/net/netfilter/nf_log")
	_, errAll := os.Stat("/proc/sys/net/netfilter/nf_log_all_netns")
	return err == nil && errors.Is(errAll, fs.ErrNotExist)
}

// bootTime is the instant that the kernel's own stamps count from.
func bootTime() time.Time {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &up); err != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(up.Nano()))
}
