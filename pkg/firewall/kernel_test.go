package firewall

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// variants are the two programs that have to work.
var variants = []string{"iptables-nft", "iptables-legacy"}

// kernel is a packet filter of a test's own: the one of a network namespace that
// belongs to the test's thread, and ends with it.
type kernel struct {
	t       *testing.T
	variant string
}

// newKernel moves the calling goroutine into a network namespace of its own. The
// programs that it runs are then in there too.
func newKernel(t *testing.T, variant string) kernel {
	t.Helper()
	const ns = "/proc/self/ns/net" // of the main thread
	host, err := os.Readlink(ns)
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // and never unlocked: the thread is not to be used again
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		t.Fatalf("failed to make a network namespace (this test needs root): %v", err)
	}
	own, err := exec.Command("readlink", ns).Output()
	if err != nil || strings.TrimSpace(string(own)) == host {
		t.Fatalf("programs do not run in the namespace of the test: %q, %v", own, err)
	}
	return kernel{t: t, variant: variant}
}

// firewall gives an IPTables on k.
func (k kernel) firewall(chain string) *IPTables {
	k.t.Helper()
	f, err := NewIPTables(Options{Program: k.variant, Chain: chain})
	if err != nil {
		k.t.Fatal(err)
	}
	return f
}

// admin runs iptables commands, one a line, as an administrator would.
func (k kernel) admin(commands string) {
	k.t.Helper()
	for c := range strings.Lines(commands) {
		if c = strings.TrimSpace(c); c == "" {
			continue
		}
		args := append([]string{"-w", "5"}, words(c)...)
		if out, err := exec.Command(k.variant, args...).CombinedOutput(); err != nil {
			k.t.Fatalf("failed to run %s %s: %v: %s", k.variant, c, err, out)
		}
	}
}

// dump gives the filter table as iptables-save prints it, without its comments.
func (k kernel) dump() string {
	k.t.Helper()
	out, err := exec.Command(k.variant+"-save", "-t", "filter").Output()
	if err != nil {
		k.t.Fatalf("failed to run %s-save: %v", k.variant, err)
	}
	return regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(string(out), "")
}

// want compares the filter table with a literal: chains and rules, one a line.
func (k kernel) want(lines string) {
	k.t.Helper()
	if diff := cmp.Diff(table(lines), k.dump()); diff != "" {
		k.t.Errorf("filter table (-want +got):\n%s", diff)
	}
}

// table makes of the chains and rules of a table what iptables-save prints.
func table(lines string) string {
	var b strings.Builder
	for l := range strings.Lines(strings.TrimSpace(lines)) {
		fmt.Fprintln(&b, strings.TrimSpace(l))
	}
	return "*filter\n" + b.String() + "COMMIT\n"
}

// must fails the test at once if a step did not work.
func (k kernel) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// TestKernel changes the real packet filter, with both variants of iptables.
func TestKernel(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*testing.T, kernel){
		"whole life":                 testWholeLife,
		"straight in INPUT":          testStraight,
		"jump of the administrator":  testForeignJump,
		"go to of the administrator": testForeignGoto,
		"rules of the administrator": testForeignRules,
		"left by a killed daemon":    testLeftBehind,
		"flushed by somebody":        testFlushed,
		"any address and port":       testExtremes,
	}
	for _, variant := range variants {
		for name, test := range cases {
			t.Run(variant+"/"+name, func(t *testing.T) {
				t.Parallel()
				test(t, newKernel(t, variant))
			})
		}
	}
}

func testWholeLife(t *testing.T, k kernel) {
	k.admin(`
		-P INPUT DROP
		-A INPUT -i lo -j ACCEPT`)
	before := k.dump()
	f := k.firewall("")
	one, two := rule("142.103.205.1", 22), rule("192.0.2.7", 255)

	k.must(f.Setup(t.Context()))
	k.must(f.Setup(t.Context()))
	k.must(f.Add(t.Context(), one))
	k.must(f.Add(t.Context(), two))
	k.must(f.Add(t.Context(), one))
	k.want(`:INPUT DROP [0:0]
		:FORWARD ACCEPT [0:0]
		:OUTPUT ACCEPT [0:0]
		:KNOCK - [0:0]
		-A INPUT -m comment --comment knockdaemon -j KNOCK
		-A INPUT -i lo -j ACCEPT
		-A KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 255 -m comment --comment knockdaemon -j ACCEPT
		-A KNOCK -s 142.103.205.1/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
	`)

	k.must(f.Delete(t.Context(), one))
	k.must(f.Delete(t.Context(), one))
	k.must(f.Delete(t.Context(), rule("192.0.2.7", 22)))
	k.want(`:INPUT DROP [0:0]
		:FORWARD ACCEPT [0:0]
		:OUTPUT ACCEPT [0:0]
		:KNOCK - [0:0]
		-A INPUT -m comment --comment knockdaemon -j KNOCK
		-A INPUT -i lo -j ACCEPT
		-A KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 255 -m comment --comment knockdaemon -j ACCEPT
	`)

	k.must(f.Teardown(t.Context()))
	k.must(f.Teardown(t.Context()))
	k.must(f.Delete(t.Context(), two))
	if diff := cmp.Diff(before, k.dump()); diff != "" {
		t.Errorf("filter table after Teardown (-before +after):\n%s", diff)
	}
}

func testStraight(t *testing.T, k kernel) {
	k.admin(`
		-A INPUT -p tcp -m tcp --dport 22 -j DROP
		-A INPUT -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -j ACCEPT`)
	before := k.dump()
	f := k.firewall("INPUT")
	k.must(f.Setup(t.Context()))
	k.must(f.Setup(t.Context()))
	k.must(f.Add(t.Context(), rule("192.0.2.7", 22)))
	k.must(f.Add(t.Context(), rule("192.0.2.7", 22)))
	k.want(`:INPUT ACCEPT [0:0]
		:FORWARD ACCEPT [0:0]
		:OUTPUT ACCEPT [0:0]
		-A INPUT -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
		-A INPUT -p tcp -m tcp --dport 22 -j DROP
		-A INPUT -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -j ACCEPT
	`)
	k.must(f.Delete(t.Context(), rule("192.0.2.7", 22)))
	k.must(f.Delete(t.Context(), rule("192.0.2.7", 22)))
	k.must(f.Add(t.Context(), rule("192.0.2.8", 22)))
	k.must(f.Teardown(t.Context()))
	if diff := cmp.Diff(before, k.dump()); diff != "" {
		t.Errorf("filter table after Teardown (-before +after):\n%s", diff)
	}
}

func testForeignJump(t *testing.T, k kernel) {
	k.admin(`
		-N KNOCK
		-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT
		-A INPUT -p tcp -j KNOCK`)
	before := k.dump()
	f := k.firewall("KNOCK")
	k.must(f.Setup(t.Context()))
	if diff := cmp.Diff(before, k.dump()); diff != "" {
		t.Errorf("filter table after Setup (-before +after):\n%s", diff)
	}
	k.must(f.Add(t.Context(), rule("192.0.2.7", 22)))
	k.must(f.Teardown(t.Context()))
	if diff := cmp.Diff(before, k.dump()); diff != "" {
		t.Errorf("filter table after Teardown (-before +after):\n%s", diff)
	}
}

func testForeignGoto(t *testing.T, k kernel) {
	k.admin(`
		-N doors
		-N KNOCK
		-A INPUT -j doors
		-A doors -g KNOCK`)
	before := k.dump()
	f := k.firewall("KNOCK")
	k.must(f.Setup(t.Context()))
	k.must(f.Add(t.Context(), rule("192.0.2.7", 22)))
	k.want(`:INPUT ACCEPT [0:0]
		:FORWARD ACCEPT [0:0]
		:OUTPUT ACCEPT [0:0]
		:KNOCK - [0:0]
		:doors - [0:0]
		-A INPUT -j doors
		-A KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
		-A doors -g KNOCK
	`)
	k.must(f.Teardown(t.Context()))
	if diff := cmp.Diff(before, k.dump()); diff != "" {
		t.Errorf("filter table after Teardown (-before +after):\n%s", diff)
	}
}

func testForeignRules(t *testing.T, k kernel) {
	k.admin(`
		-A INPUT -m comment --comment "not -j KNOCK" -j ACCEPT
		-A INPUT -m comment --comment "a \"knockdaemon\" rule" -j ACCEPT`)
	f := k.firewall("KNOCK")
	k.must(f.Setup(t.Context()))
	k.must(f.Add(t.Context(), rule("192.0.2.7", 22)))
	k.admin(`
		-A KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -j ACCEPT
		-A KNOCK -s 192.0.2.0/24 -p udp -m udp --dport 22 -m comment --comment knockdaemon -j ACCEPT`)
	k.must(f.Delete(t.Context(), rule("192.0.2.7", 22)))
	k.must(f.Add(t.Context(), rule("192.0.2.8", 22)))
	k.want(`:INPUT ACCEPT [0:0]
		:FORWARD ACCEPT [0:0]
		:OUTPUT ACCEPT [0:0]
		:KNOCK - [0:0]
		-A INPUT -m comment --comment knockdaemon -j KNOCK
		-A INPUT -m comment --comment "not -j KNOCK" -j ACCEPT
		-A INPUT -m comment --comment "a \"knockdaemon\" rule" -j ACCEPT
		-A KNOCK -s 192.0.2.8/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
		-A KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -j ACCEPT
		-A KNOCK -s 192.0.2.0/24 -p udp -m udp --dport 22 -m comment --comment knockdaemon -j ACCEPT
	`)
	k.must(f.Teardown(t.Context()))
	k.want(`:INPUT ACCEPT [0:0]
		:FORWARD ACCEPT [0:0]
		:OUTPUT ACCEPT [0:0]
		:KNOCK - [0:0]
		-A INPUT -m comment --comment "not -j KNOCK" -j ACCEPT
		-A INPUT -m comment --comment "a \"knockdaemon\" rule" -j ACCEPT
		-A KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -j ACCEPT
	`)
}

func testLeftBehind(t *testing.T, k kernel) {
	k.admin("-P INPUT ACCEPT")
	before := k.dump()
	killed := k.firewall("KNOCK")
	k.must(killed.Setup(t.Context()))
	k.must(killed.Add(t.Context(), rule("192.0.2.7", 22)))
	k.admin(`
		-A KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
		-A KNOCK -s 192.0.2.9/32 -p tcp -m tcp --dport 23 -m comment --comment knockdaemon -j ACCEPT
		-I INPUT -m comment --comment knockdaemon -j KNOCK`)

	f := k.firewall("KNOCK")
	k.must(f.Setup(t.Context()))
	rules, err := f.List(t.Context())
	k.must(err)
	if diff := cmp.Diff("192.0.2.7 22/tcp\n192.0.2.7 22/tcp\n192.0.2.9 23/tcp\n", rulesText(rules)); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	k.must(f.Delete(t.Context(), rule("192.0.2.7", 22)))
	k.want(`:INPUT ACCEPT [0:0]
		:FORWARD ACCEPT [0:0]
		:OUTPUT ACCEPT [0:0]
		:KNOCK - [0:0]
		-A INPUT -m comment --comment knockdaemon -j KNOCK
		-A INPUT -m comment --comment knockdaemon -j KNOCK
		-A KNOCK -s 192.0.2.9/32 -p tcp -m tcp --dport 23 -m comment --comment knockdaemon -j ACCEPT
	`)
	k.must(f.Teardown(t.Context()))
	if diff := cmp.Diff(before, k.dump()); diff != "" {
		t.Errorf("filter table after Teardown (-before +after):\n%s", diff)
	}
}

func testFlushed(t *testing.T, k kernel) {
	f := k.firewall("KNOCK")
	rules, err := f.List(t.Context())
	k.must(err)
	if diff := cmp.Diff("", rulesText(rules)); diff != "" {
		t.Errorf("rules without a chain (-want +got):\n%s", diff)
	}
	k.must(f.Delete(t.Context(), rule("192.0.2.7", 22)))
	k.must(f.Teardown(t.Context()))
	k.must(f.Setup(t.Context()))
	k.must(f.Add(t.Context(), rule("192.0.2.7", 22)))
	k.admin("-F\n-X")
	k.must(f.Add(t.Context(), rule("192.0.2.8", 22)))
	k.want(`:INPUT ACCEPT [0:0]
		:FORWARD ACCEPT [0:0]
		:OUTPUT ACCEPT [0:0]
		:KNOCK - [0:0]
		-A INPUT -m comment --comment knockdaemon -j KNOCK
		-A KNOCK -s 192.0.2.8/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
	`)
}

func testExtremes(t *testing.T, k kernel) {
	f := k.firewall("KNOCK")
	k.must(f.Setup(t.Context()))
	want := []Rule{rule("0.0.0.0", 0), rule("255.255.255.255", 65535), rule("127.0.0.1", 255)}
	for _, r := range want {
		k.must(f.Add(t.Context(), r))
		k.must(f.Add(t.Context(), r))
	}
	got, err := f.List(t.Context())
	k.must(err)
	slices.Reverse(got) // the latest is on top
	if diff := cmp.Diff(rulesText(want), rulesText(got)); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	for _, r := range want {
		k.must(f.Delete(t.Context(), r))
	}
	k.want(`:INPUT ACCEPT [0:0]
		:FORWARD ACCEPT [0:0]
		:OUTPUT ACCEPT [0:0]
		:KNOCK - [0:0]
		-A INPUT -m comment --comment knockdaemon -j KNOCK
	`)
}

// TestNotPermitted runs both variants without root, and as root without the
// capability, as in a container.
func TestNotPermitted(t *testing.T) {
	t.Parallel()
	wrappers := map[string]string{
		"other user":    "setpriv --reuid=65534 --regid=65534 --clear-groups",
		"no capability": "setpriv --bounding-set=-net_admin --inh-caps=-net_admin",
	}
	denied := regexp.MustCompile(`Permission denied|Operation not permitted`)
	for _, variant := range variants {
		for name, wrapper := range wrappers {
			t.Run(variant+"/"+name, func(t *testing.T) {
				t.Parallel()
				k := newKernel(t, variant)
				program := script(t, fmt.Sprintf("exec %s %s \"$@\"", wrapper, variant))
				f, err := NewIPTables(Options{Program: program})
				if err != nil {
					t.Fatal(err)
				}
				before := k.dump()
				for op, err := range map[string]error{
					"setup":    f.Setup(t.Context()),
					"add":      f.Add(t.Context(), rule("192.0.2.7", 22)),
					"delete":   f.Delete(t.Context(), rule("192.0.2.7", 22)),
					"teardown": f.Teardown(t.Context()),
				} {
					if !errors.Is(err, ErrNotPermitted) || !denied.MatchString(err.Error()) {
						t.Errorf("%s: got %v, want ErrNotPermitted and iptables' own words", op, err)
					}
				}
				if diff := cmp.Diff(before, k.dump()); diff != "" {
					t.Errorf("filter table (-before +after):\n%s", diff)
				}
			})
		}
	}
}
