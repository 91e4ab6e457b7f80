package test

import (
	"bytes"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const releaseVersion = "v1.2.3-4-gabcdef0"

// A binaryKind is the make of a binary: its system, its processor, and what it wants of others to start.
type binaryKind struct {
	format, processor, wants string
}

// kindOf reads the head of a binary.
func kindOf(path string) (m binaryKind, err error) {
	if f, err := elf.Open(path); err == nil {
		defer f.Close()
		m = binaryKind{"ELF", f.Machine.String(), ""}
		for _, part := range f.Progs {
			if part.Type == elf.PT_INTERP || part.Type == elf.PT_DYNAMIC {
				m.wants += part.Type.String()
			}
		}
		return m, nil
	}
	if f, err := macho.Open(path); err == nil {
		defer f.Close()
		libraries, err := f.ImportedLibraries()
		slices.Sort(libraries)
		return binaryKind{"Mach-O", f.Cpu.String(), strings.Join(libraries, " ")}, err
	}
	f, err := pe.Open(path)
	if err != nil {
		return m, err
	}
	defer f.Close()
	m = binaryKind{format: "PE", processor: map[uint16]string{pe.IMAGE_FILE_MACHINE_AMD64: "AMD64", pe.IMAGE_FILE_MACHINE_ARM64: "ARM64"}[f.Machine]}
	symbols, err := f.ImportedSymbols()
	var libraries []string
	for _, symbol := range symbols {
		_, library, _ := strings.Cut(symbol, ":")
		libraries = append(libraries, strings.ToLower(library))
	}
	slices.Sort(libraries)
	m.wants = strings.Join(slices.Compact(libraries), " ")
	return m, err
}

// released is every binary of a release. Neither macOS nor Windows lets a program speak to its kernel without the
// libraries named here, which each has.
var released = func() map[string]binaryKind {
	const apple = "/System/Library/Frameworks/CoreFoundation.framework/Versions/A/CoreFoundation " +
		"/System/Library/Frameworks/Security.framework/Versions/A/Security /usr/lib/libSystem.B.dylib /usr/lib/libresolv.9.dylib"
	all := map[string]binaryKind{
		"knockclient-" + releaseVersion + "-darwin-amd64":      {"Mach-O", "CpuAmd64", apple},
		"knockclient-" + releaseVersion + "-darwin-arm64":      {"Mach-O", "CpuArm64", apple},
		"knockclient-" + releaseVersion + "-windows-amd64.exe": {"PE", "AMD64", "kernel32.dll"},
		"knockclient-" + releaseVersion + "-windows-arm64.exe": {"PE", "ARM64", "kernel32.dll"},
	}
	for _, command := range []string{"knockclient", "knockdaemon"} {
		all[command+"-"+releaseVersion+"-linux-amd64"] = binaryKind{"ELF", "EM_X86_64", ""}
		all[command+"-"+releaseVersion+"-linux-arm64"] = binaryKind{"ELF", "EM_AARCH64", ""}
		all[command+"-"+releaseVersion+"-linux-arm"] = binaryKind{"ELF", "EM_ARM", ""}
	}
	return all
}()

// A release is one run of release.sh on a copy of the sources: where, and how the caller had set things.
type release struct {
	top, umask, dir string // dir is where it runs
	env             []string
}

// newRelease copies what a release is built from to a directory, which is made.
func newRelease(t *testing.T, top, umask string, env ...string) *release {
	t.Helper()
	for _, name := range []string{"pkg", "knockclient", "knockdaemon", "examples"} {
		if err := os.CopyFS(filepath.Join(top, name), os.DirFS(filepath.Join("..", name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum", "LICENSE", "README.md"} {
		data, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(top, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &release{top, umask, t.TempDir(), env}
}

// run gives what release.sh says, and its error.
func (r *release) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	line := append([]string{"-c", `umask "$1" && shift && exec "$@"`, "sh", r.umask, filepath.Join(r.top, "examples", "release.sh")}, args...)
	cmd := exec.CommandContext(t.Context(), "sh", line...)
	cmd.Dir = r.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "SOURCE_DATE_EPOCH=1700000000"}, r.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// goDirs are where this test's go keeps what it has built and fetched, for the environment.
func goDirs(t *testing.T) (cache, modules string) {
	t.Helper()
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	dirs := strings.Fields(string(out))
	if err != nil || len(dirs) != 2 {
		t.Fatalf("go env says %q, %v", out, err)
	}
	return "GOCACHE=" + dirs[0], "GOMODCACHE=" + dirs[1]
}

// checksums gives the lines of SHA256SUMS by file, once sha256sum has found that they are right.
func checksums(t *testing.T, dir string) map[string]string {
	t.Helper()
	check := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
	check.Dir = dir
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("sha256sum -c: %v\n%s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{}
	for line := range strings.Lines(string(data)) {
		sum, file, _ := strings.Cut(strings.TrimSpace(line), "  ")
		sums[file] = sum
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if sums[e.Name()] == "" && e.Name() != "SHA256SUMS" {
			t.Errorf("SHA256SUMS lacks %s", e.Name())
		}
	}
	return sums
}

// A release is static binaries for each system, and the same bytes wherever and however it is built.
func TestRelease(t *testing.T) {
	t.Parallel()
	cache, modules := goDirs(t)
	dir := t.TempDir()
	first := filepath.Join(dir, "first")
	r := newRelease(t, filepath.Join(dir, "one"), "022", cache, modules, "HOME="+dir)
	if out, err := r.run(t, releaseVersion, first); err != nil {
		t.Fatalf("release.sh: %v\n%s", err, out)
	}
	sums := checksums(t, first)
	got := map[string]binaryKind{}
	for file := range sums {
		if strings.HasSuffix(file, ".deb") {
			continue
		}
		m, err := kindOf(filepath.Join(first, file))
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		got[file] = m
		if info, err := os.Stat(filepath.Join(first, file)); err != nil || info.Mode() != 0o755 {
			t.Errorf("%s: mode %v, %v, want 0755", file, info.Mode(), err)
		}
	}
	if diff := cmp.Diff(released, got, cmp.AllowUnexported(binaryKind{})); diff != "" {
		t.Errorf("binaries (-want +got)\n%s", diff)
	}
	for _, command := range []string{"knockclient", "knockdaemon"} {
		out, err := exec.CommandContext(t.Context(), filepath.Join(first, command+"-"+releaseVersion+"-linux-"+runtime.GOARCH), "-version").CombinedOutput()
		if want := command + " version " + releaseVersion + "\n"; err != nil || string(out) != want {
			t.Errorf("says %q, %v, want %q", out, err, want)
		}
	}
	t.Run("anew", func(t *testing.T) {
		t.Parallel()
		wantSameRelease(t, sums, modules, "TARGETS=linux/amd64") // nothing is left of what was built before
	})
	t.Run("other systems", func(t *testing.T) {
		t.Parallel()
		wantSameRelease(t, sums, modules, cache, "TARGETS=darwin/arm64 windows/amd64")
	})
}

// wantSameRelease builds a part of a release elsewhere, by a caller who has set whatever can be set, and compares.
func wantSameRelease(t *testing.T, sums map[string]string, env ...string) {
	t.Helper()
	home := t.TempDir()
	config := filepath.Join(home, ".config", "go")
	settings := "GOFLAGS=-tags=timetzdata\nGOAMD64=v3\nGOARM64=v9.0\n"
	if err := errors.Join(os.MkdirAll(config, 0o755), os.WriteFile(filepath.Join(config, "env"), []byte(settings), 0o644)); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(home, "some where", "else")
	env = append(env, "HOME="+home, "TZ=Asia/Tokyo", "LC_ALL=tr_TR.UTF-8", "GOFLAGS=-race", "GOAMD64=v2", "GOOS=plan9", "GOARCH=386",
		"CGO_ENABLED=1", "GOEXPERIMENT=norandomizedheapbase64", "GOFIPS140=latest", "GODEBUG=panicnil=1", "KNOCK_KEY=secret")
	r := newRelease(t, filepath.Join(home, "a copy", "of it"), "077", env...)
	if out, err := r.run(t, releaseVersion, dir); err != nil {
		t.Fatalf("release.sh: %v\n%s", err, out)
	}
	again := checksums(t, dir)
	if len(again) < 2 {
		t.Errorf("%d files, want two programs or more", len(again))
	}
	for file, sum := range again {
		if sum != sums[file] {
			t.Errorf("%s differs: %s and %s", file, sums[file], sum)
		}
		path := filepath.Join(dir, file)
		if info, err := os.Stat(path); err != nil || info.Mode()&0o044 != 0o044 {
			t.Errorf("%s: mode %v, %v, want that all can read it", file, info.Mode(), err)
		}
		data, err := os.ReadFile(path)
		if err != nil || bytes.Contains(data, []byte(home)) {
			t.Errorf("%s names the directory it was built in (%v)", file, err)
		}
	}
}

// What is wrong is said in one line, and leaves nothing behind.
func TestReleaseRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cache, modules := goDirs(t)
	full := filepath.Join(dir, "full")
	if err := errors.Join(os.Mkdir(full, 0o755), os.WriteFile(filepath.Join(full, "old"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	const known = "known are: linux/amd64 linux/arm64 linux/arm darwin/amd64 darwin/arm64 windows/amd64 windows/arm64"
	broken := func(r *release) {
		if err := os.WriteFile(filepath.Join(r.top, "knockclient", "main.go"), []byte("package main\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		args   []string
		env    string
		change func(*release)
		want   string // the last line
		status int
	}{
		"arguments": {args: []string{"v1", "new", "more"}, status: 2,
			want: `usage: [TARGETS="OS/ARCH ..."] ./examples/release.sh [VERSION] [OUTDIR]`},
		"version":       {args: []string{"../v1", "new"}, want: "'../v1' is no version: letters, digits and . + ~ - only", status: 2},
		"empty version": {args: []string{"", "new"}, want: "'' is no version: letters, digits and . + ~ - only", status: 2},
		"no directory":  {args: []string{"v1", ""}, want: "the directory has no name", status: 2},
		"target":        {args: []string{"v1", "new"}, env: "TARGETS=linux/mips", want: "'linux/mips' is no system that this is for; " + known, status: 2},
		"no target":     {args: []string{"v1", "new"}, env: "TARGETS= ", want: "TARGETS names no system; " + known, status: 2},
		"not empty":     {args: []string{"v1", full}, want: full + " is not empty", status: 1},
		"broken":        {args: []string{"v1", "new"}, env: "TARGETS=linux/amd64", change: broken, want: "failed to build knockclient for linux/amd64", status: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRelease(t, filepath.Join(t.TempDir(), "top"), "022", cache, modules, test.env)
			if test.change != nil {
				test.change(r)
			}
			out, err := r.run(t, test.args...)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != test.status {
				t.Errorf("ended with %v, want status %d", err, test.status)
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if diff := cmp.Diff("release.sh: error: "+test.want, lines[len(lines)-1]); diff != "" {
				t.Errorf("says (-want +got)\n%s", diff)
			}
			if left, err := filepath.Glob(filepath.Join(r.dir, "*", "*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %q, %v", left, err)
			}
			if left, err := filepath.Glob(filepath.Join(r.dir, "new?*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %q, %v", left, err)
			}
		})
	}
}
