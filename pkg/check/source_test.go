package check

import (
	"fmt"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is said of the sources that are no log.
func TestSources(t *testing.T) {
	t.Parallel()
	const list = "    0   4711     0 2    128  1  1\n    5  -4242     0 2    128  1  1\n"
	denied, gone := fmt.Errorf("failed: %w", fs.ErrPermission), fmt.Errorf("failed: %w", fs.ErrNotExist)
	tests := map[string]struct {
		got  []finding
		want string
	}{
		"a group that is free":     {[]finding{group(1, list)}, "ok: nobody has NFLOG group 1\n"},
		"a group that is taken":    {[]finding{group(5, list)}, "note: a program has NFLOG group 5: unless that is knockdaemon, the daemon waits for it\n"},
		"group 0":                  {[]finding{group(0, list)}, "note: a program has NFLOG group 0: unless that is knockdaemon, the daemon waits for it\n"},
		"no list of groups":        {[]finding{group(0, "")}, "ok: nobody has NFLOG group 0\n"},
		"an interface that is up":  {[]finding{link("lo")}, "ok: the interface \"lo\" is up\n"},
		"no interface":             {[]finding{link("nowhere0")}, "note: there is no interface \"nowhere0\" now: the daemon waits for it\n  fix: if it is not to come, name another one: " + links() + "\n"},
		"no right to sniff":        {[]finding{sniffable(denied)}, "problem: failed: permission denied\n  fix: run as root; the daemon under the unit needs examples/knockdaemon-interface.conf beside it\n"},
		"no right to read the log": {kmsg(denied, false), "problem: failed: permission denied\n  fix: run as root; the daemon under the unit needs examples/knockdaemon-kmsg.conf beside it\n"},
		"no log of the kernel's":   {kmsg(gone, false), "problem: failed: file does not exist\n  fix: this is a container, most likely: use nflog or interface\n"},
		"the log in a namespace": {kmsg(nil, true), "ok: the kernel's log can be read; the daemon under the unit needs examples/knockdaemon-kmsg.conf beside it\n" +
			"note: this is a network namespace (a container, say): the kernel logs for it only with sysctl net.netfilter.nf_log_all_netns=1 on the host\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, dump(tt.got)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// The groups that rules of nft's send to, however else they log.
func TestNFTGroups(t *testing.T) {
	t.Parallel()
	tables := parseNFT(`table inet knocks {
	chain in {
		type filter hook input priority filter - 10; policy accept;
		tcp dport 745-1000 log group 5
		udp dport 7000 log prefix "DENY group 9 " group 6 snaplen 80 queue-threshold 1
		tcp dport 1 log prefix "log group 7"
		meta skgroup 8 log prefix "x"
	}
}
`)
	if len(tables) != 1 {
		t.Fatalf("%d tables, want 1", len(tables))
	}
	if diff := cmp.Diff([]uint16{5, 6}, tables[0].groups); diff != "" {
		t.Errorf("groups (-want +got)\n%s", diff)
	}
}
