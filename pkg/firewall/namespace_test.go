package firewall

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
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
		args, _ := words(c)
		args = append([]string{"-w", "5"}, args...)
		if out, err := exec.Command(k.variant, args...).CombinedOutput(); err != nil {
			k.t.Fatalf("failed to run %s %s: %v: %s", k.variant, c, err, out)
		}
	}
}

// restore puts back what iptables-save printed, beside what is there.
func (k kernel) restore(saved string) {
	k.t.Helper()
	cmd := exec.Command(k.variant+"-restore", "--noflush")
	cmd.Stdin = strings.NewReader(saved)
	if out, err := cmd.CombinedOutput(); err != nil {
		k.t.Fatalf("failed to restore: %v: %s", err, out)
	}
}

// dump gives the filter table as iptables-save prints it, without its comments.
func (k kernel) dump() string {
	k.t.Helper()
	return k.save("-t", "filter")
}

// foreign gives all tables without what is ours if KNOCK is our chain.
func (k kernel) foreign() string {
	k.t.Helper()
	ours := regexp.MustCompile(`(?m)^:KNOCK(-FORWARD)? .*\n|^-A (KNOCK|KNOCK-FORWARD|INPUT) .*--comment knockdaemon .*\n|` +
		`^-A (FORWARD|PREROUTING) -m comment --comment knockdaemon -j KNOCK(-FORWARD)?\n`)
	return ours.ReplaceAllString(k.save(), "")
}

// save gives what iptables-save prints, without its comments and counters.
func (k kernel) save(args ...string) string {
	k.t.Helper()
	out, err := exec.Command(k.variant+"-save", args...).Output()
	if err != nil {
		k.t.Fatalf("failed to run %s-save: %v", k.variant, err)
	}
	return regexp.MustCompile(`(?m)^#.*\n| \[[0-9]+:[0-9]+\]$`).ReplaceAllString(string(out), "")
}

// settle adds rules of an administrator's to every table, some of which look
// like ours.
func (k kernel) settle() {
	k.t.Helper()
	k.admin(`
		-N KNOCK
		-N other
		-A KNOCK -j other
		-A KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -j ACCEPT
		-A KNOCK -s 192.0.2.7/32 -m conntrack --ctstate NEW -j DROP
		-A KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -m time --datestop 2037-11-21T12:34:55 -m comment --comment knockdaemon2 -j ACCEPT
		-A KNOCK -m comment --comment "a \"knockdaemon\" rule" -j RETURN
		-A INPUT -i lo -j ACCEPT
		-A INPUT -j other
		-A INPUT -m comment --comment "not -j KNOCK" -j ACCEPT
		-A FORWARD -m comment --comment knockdaemon -j other
		-A other -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
		-A OUTPUT -p icmp -j DROP
		-t nat -A PREROUTING -p tcp -m tcp --dport 2222 -m comment --comment knockdaemon -j REDIRECT --to-ports 22
		-t mangle -A INPUT -s 192.0.2.7/32 -j MARK --set-mark 7
		-t raw -A PREROUTING -i lo -j NOTRACK`)
	for _, text := range []string{
		"two lines\n-A INPUT -m comment --comment knockdaemon -j KNOCK",
		"two lines\n-A KNOCK -s 192.0.2.66/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT",
	} {
		out, err := exec.Command(k.variant, "-A", "INPUT", "-m", "comment", "--comment", text, "-j", "RETURN").CombinedOutput()
		if err != nil {
			k.t.Fatalf("failed to add a rule: %v: %s", err, out)
		}
	}
}

// want compares the filter table with a literal: chains and rules, one a line.
func (k kernel) want(lines string) {
	k.t.Helper()
	if diff := cmp.Diff(filterTable(lines), k.dump()); diff != "" {
		k.t.Errorf("filter table (-want +got):\n%s", diff)
	}
}

// filterTable makes of the chains and rules of a table what iptables-save prints.
func filterTable(lines string) string {
	var b strings.Builder
	for l := range strings.Lines(strings.TrimSpace(lines)) {
		fmt.Fprintln(&b, strings.TrimSpace(l))
	}
	return "*filter\n" + b.String() + "COMMIT\n"
}

// sync calls Sync and compares what it tells.
func (k kernel) sync(b Backend, told string, want ...Entry) {
	k.t.Helper()
	c, err := b.Sync(k.t.Context(), want)
	k.must(err)
	if diff := cmp.Diff(told, changesText(c)); diff != "" {
		k.t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// must fails the test at once if a step did not work.
func (k kernel) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}
