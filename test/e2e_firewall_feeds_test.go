package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A group that another program has is waited for.
func TestNFLOGGroupTaken(t *testing.T) {
	t.Parallel()
	l := newLab(t, firewallKind{feed: fromNFLOG})
	l.echo(22)
	first := l.daemon("-chain", "OTHER", "-state-dir", filepath.Join(l.dir, "other"))
	second := l.launch(l.daemonCommand())
	eventually(t, "the second daemon to complain", func() bool { return second.said("NFLOG group 5 is taken") })
	second.next("watching")
	l.knock("-port", "22", "-time", "5")
	first.next("rule opened")
	first.stop()
	second.next("NFLOG group 5 is free again")
	l.wantRules()
	l.knock("-port", "22", "-time", "5")
	second.next("rule opened")
	l.wantOpen(laptopIP, 22)
	second.stop()
}

// Nftables hands packets over too.
func TestNFTablesLogGroup(t *testing.T) {
	t.Parallel()
	needPrograms(t, "nft:nftables")
	l := newLab(t, firewallKind{feed: fromNFLOG, noLog: true})
	l.echo(22)
	l.must("table inet knocks { chain in { type filter hook input priority -10; policy accept;\n"+
		"tcp dport 745-1000 log group 5\n}\n}\n", "ip", "netns", "exec", l.gate.name, "nft", "-f", "-")
	d := l.daemon()
	l.knock("-port", "22", "-time", "5")
	d.next("rule opened")
	l.wantOpen(laptopIP, 22)
	l.wantClosed(strangerIP, 22)
	d.stop()
}

// What programs write to the kernel's log is not the kernel's.
func TestKmsgTrustsTheKernelAlone(t *testing.T) {
	t.Parallel()
	l := newLab(t, firewallKind{feed: fromKmsg})
	d := l.daemon("-debug")
	for _, level := range []string{"<4>", "<0>", ""} {
		for i, port := range l.sequence("-port", "23", "-time", "5") {
			line := fmt.Sprintf("%s%sIN=eth0 OUT= MAC=02:00:00:00:00:01 SRC=%s DST=%s LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=%d DF PROTO=TCP SPT=%d DPT=%d WINDOW=64240 RES=0x00 SYN URGP=0 \n",
				level, l.prefix, laptopIP, gateIP, i, 40000+i, port)
			if err := os.WriteFile("/dev/kmsg", []byte(line), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Two lines in one, and the second as the kernel would begin it.
	if err := os.WriteFile("/dev/kmsg", []byte("<4>x\n<4>"+l.prefix+"IN=eth0 OUT= SRC="+laptopIP+" DST="+gateIP+" PROTO=TCP SPT=1 DPT=745 SYN "), 0); err != nil {
		t.Fatal(err)
	}
	l.knock("-port", "24", "-time", "5")
	d.next("rule opened")
	l.wantRules(laptopIP + " 24") // and all before it has been read
	d.stop()
	if got := strings.Count(d.out.String(), `"knock accepted"`); got != 1 {
		t.Errorf("%d knocks, want 1", got)
	}
}
