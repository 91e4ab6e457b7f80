package test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// confineVerb makes the test's own program a launcher: it takes a file of filters
// and a command, and becomes that command, confined.
const confineVerb = "confine"

// A filter is a program of the kernel's that looks at each system call.
type filter []unix.SockFilter

// confine loads the filters on this thread, the one that is left after exec, and
// returns only if it cannot.
func confine(file string, command []string) error {
	runtime.LockOSThread()
	var filters []filter
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &filters)
	}
	if err != nil {
		return err
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("failed to give up new privileges: %w", err)
	}
	for _, f := range filters {
		program := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
		if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
			return fmt.Errorf("failed to load a filter: %w", err)
		}
	}
	return unix.Exec(path, command, os.Environ())
}

// What a filter reads and how it ends, from linux/seccomp.h.
const (
	callNumber = 0
	callArch   = 4
	callArgs   = 16 // 8 bytes each, of which the lower four count here

	allow = unix.SECCOMP_RET_ALLOW
	kill  = unix.SECCOMP_RET_KILL_PROCESS
	errno = unix.SECCOMP_RET_ERRNO
)

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func end(verdict uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: verdict}
}

// is skips yes or no steps as what was loaded is k or not.
func is(k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: yes, Jf: no}
}

// mask keeps those bits of what was loaded.
func mask(k uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: k}
}

// native is SystemCallArchitectures=native. It leaves the call's number loaded.
func native(t *testing.T) filter {
	t.Helper()
	arch, ok := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if !ok {
		t.Fatalf("no number known of the architecture %s", runtime.GOARCH)
	}
	return filter{load(callArch), is(arch, 1, 0), end(kill), load(callNumber)}
}

// only is an allow list in SystemCallFilter=, with SystemCallErrorNumber=EPERM.
func only(t *testing.T, calls []uint32) filter {
	f := native(t)
	for _, number := range calls {
		f = append(f, is(number, 0, 1), end(allow))
	}
	return append(f, end(errno|uint32(unix.EPERM)))
}

// onlyFamilies is RestrictAddressFamilies=.
func onlyFamilies(t *testing.T, families []uint32) filter {
	f := append(native(t), is(unix.SYS_SOCKET, 1, 0), end(allow), load(callArgs))
	for _, family := range families {
		f = append(f, is(family, 0, 1), end(allow))
	}
	return append(f, end(errno|uint32(unix.EAFNOSUPPORT)))
}

// noWriteExecute is MemoryDenyWriteExecute=, as far as the calls go that a program
// makes of its own accord.
func noWriteExecute(t *testing.T) filter {
	const third, both = callArgs + 2*8, unix.PROT_WRITE | unix.PROT_EXEC
	return append(native(t),
		is(unix.SYS_MMAP, 0, 5), load(third), mask(both), is(both, 0, 1), end(errno|uint32(unix.EPERM)), end(allow),
		is(unix.SYS_MPROTECT, 0, 4), load(third), mask(unix.PROT_EXEC), is(unix.PROT_EXEC, 0, 1), end(errno|uint32(unix.EPERM)),
		end(allow))
}

// syscallNumbers gives the numbers of all system calls, as the C library's
// headers have them.
func syscallNumbers(t *testing.T) map[string]uint32 {
	t.Helper()
	cmd := exec.Command("gcc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("failed to read the numbers of system calls: %v", err)
	}
	numbers := map[string]uint32{}
	for _, match := range regexp.MustCompile(`(?m)^#define __NR_(\w+) (\d+)$`).FindAllStringSubmatch(string(out), -1) {
		number, err := strconv.ParseUint(match[2], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		numbers[match[1]] = uint32(number)
	}
	if len(numbers) < 200 {
		t.Fatalf("the headers have only %d system calls", len(numbers))
	}
	return numbers
}

// callsIn gives the names in a group of system calls, @name, or the name itself.
func callsIn(t *testing.T, group string) (names []string) {
	t.Helper()
	if !strings.HasPrefix(group, "@") {
		return []string{group}
	}
	out, err := exec.Command("systemd-analyze", "syscall-filter", group).Output()
	if err != nil {
		t.Fatalf("failed to look up %s: %v", group, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for _, line := range lines[1:] { // the first is the group's own name
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
			names = append(names, callsIn(t, line)...)
		}
	}
	return names
}

// allowedCalls works out SystemCallFilter= as systemd.exec(5) says: the first line
// says that it is an allow list, to which @default belongs; ~ takes away.
func allowedCalls(t *testing.T, lines []string) (numbers []uint32) {
	t.Helper()
	if len(lines) == 0 || strings.HasPrefix(lines[0], "~") {
		t.Fatalf("SystemCallFilter= is no allow list: %q", lines)
	}
	allowed := map[string]bool{}
	for _, line := range append([]string{"@default"}, lines...) {
		words, take := strings.CutPrefix(line, "~")
		for word := range strings.FieldsSeq(words) {
			for _, name := range callsIn(t, word) {
				allowed[name] = !take
			}
		}
	}
	all := syscallNumbers(t)
	for name, ok := range allowed {
		if number, known := all[name]; ok && known { // the others are of other architectures
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	return numbers
}

// unitFilters writes what a unit asks of seccomp to a file for confine.
func unitFilters(t *testing.T, u unitFile, dir string) string {
	t.Helper()
	if u.one(t, "SystemCallArchitectures") != "native" || u.one(t, "SystemCallErrorNumber") != "EPERM" || u.one(t, "MemoryDenyWriteExecute") != "yes" {
		t.Fatal("the unit asks for other filters than those made here")
	}
	var families []uint32
	for _, name := range u.words("RestrictAddressFamilies") {
		number, ok := map[string]uint32{"AF_UNIX": unix.AF_UNIX, "AF_INET": unix.AF_INET, "AF_NETLINK": unix.AF_NETLINK, "AF_PACKET": unix.AF_PACKET}[name]
		if !ok {
			t.Fatalf("no number known of %s", name)
		}
		families = append(families, number)
	}
	// The list comes last: it does not allow to load another filter.
	data, err := json.Marshal([]filter{noWriteExecute(t), onlyFamilies(t, families), only(t, allowedCalls(t, u["SystemCallFilter"]))})
	if err != nil {
		t.Fatal(err)
	}
	return writeTemp(t, dir, "filters.json", string(data), 0o644)
}

// launcher copies the test's own program to where any user can run it.
func launcher(t *testing.T, dir string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "launcher")
	if out, err := exec.Command("cp", self, path).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v, %s", err, out)
	}
	return path
}

// probe makes system calls, each an argument NUMBER,ARGUMENT..., and tells of each.
const probe = `for (@ARGV) {
	my @call = map { $_ + 0 } split /,/;
	print syscall($call[0], @call[1 .. $#call]) == -1 ? "$!\n" : "done\n";
}`

// The filters do refuse something, or else a daemon that works with them proves
// nothing. Root makes the calls here: nothing else stands in their way.
func TestUnitFiltersRefuse(t *testing.T) {
	t.Parallel()
	needPrograms(t, "perl:perl", "gcc:gcc", "systemd-analyze:systemd")
	dir, call := t.TempDir(), syscallNumbers(t)
	var args []string
	for _, c := range []struct {
		name string
		args []int
	}{
		{"getppid", nil},
		{"setpriority", []int{unix.PRIO_PROCESS, 0, 1}},
		{"munlockall", nil},
		{"setuid", []int{0}},
		{"socket", []int{unix.AF_UNIX, unix.SOCK_STREAM, 0}},
		{"socket", []int{unix.AF_INET, unix.SOCK_STREAM, 0}},
		{"mmap", []int{0, 4096, unix.PROT_READ | unix.PROT_WRITE, unix.MAP_PRIVATE | unix.MAP_ANON, -1, 0}},
		{"mmap", []int{0, 4096, unix.PROT_WRITE | unix.PROT_EXEC, unix.MAP_PRIVATE | unix.MAP_ANON, -1, 0}},
	} {
		words := []string{fmt.Sprint(call[c.name])}
		for _, arg := range c.args {
			words = append(words, fmt.Sprint(arg))
		}
		args = append(args, strings.Join(words, ","))
	}
	command := append([]string{"perl", "-e", probe}, args...)
	confined := append([]string{confineVerb, unitFilters(t, readUnit(t, "knockdaemon.service"), dir)}, command...)
	for name, tt := range map[string]struct {
		cmd  *exec.Cmd
		want string
	}{
		"free": {exec.Command(command[0], command[1:]...), strings.Repeat("done\n", len(args))},
		"confined": {exec.Command(launcher(t, dir), confined...), "done\n" +
			strings.Repeat("Operation not permitted\n", 3) +
			"done\nAddress family not supported by protocol\ndone\nOperation not permitted\n"},
	} {
		tt.cmd.Env = append(os.Environ(), "LC_ALL=C")
		if out, err := tt.cmd.CombinedOutput(); err != nil || string(out) != tt.want {
			t.Errorf("%s: %v, the calls end with\n%swant\n%s", name, err, out, tt.want)
		}
	}
}
