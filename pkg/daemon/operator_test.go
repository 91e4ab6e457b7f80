package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/control"
	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/knock"
)

// knocker is behind the same address translation as the laptop, but has an address of its own.
var knocker = netip.MustParseAddr("203.0.113.5")

// wantVerdict insists on how the verdict about an address begins.
func (r *rig) wantVerdict(t *testing.T, src netip.Addr, want string) {
	t.Helper()
	if got := r.daemon.why(src).Verdict; !strings.HasPrefix(got, want) {
		t.Errorf("of %s it says %q, want %q…", src, got, want)
	}
}

// What is open to the address in a knock is not open to the one that knocked, and the newest packets have the last word.
func TestVerdictOfTwoAddresses(t *testing.T) {
	t.Parallel()
	r := newRig(t, "-allow-ports=22")
	r.append(t, logLines(t, time.Now(), knocker.String(), open22, 1000))
	r.journal.wait(t, "rule opened ip=198.51.100.7 port=22")
	r.wantVerdict(t, laptop, "something is open to it")
	r.wantVerdict(t, knocker, "what it knocked for is open to another address than its own: open 198.51.100.7 port 22")
	if _, err := r.daemon.closeFor(t.Context(), control.Target{Address: laptop}); err != nil {
		t.Fatal(err)
	}
	r.checkDump(t, "chain\n") // it was waited for
	r.wantVerdict(t, knocker, "its knock was heeded, and nothing is open any more")

	some := strings.SplitAfter(logLines(t, time.Now(), knocker.String(), open22, 2000), "\n")[:3]
	r.append(t, strings.Join(some, ""))
	r.waitLines(t, 11)
	r.wantVerdict(t, knocker, "only 3 SYNs of the 8")

	no := open22
	no.Port = 23
	r.append(t, logLines(t, time.Now(), knocker.String(), no, 3000))
	r.journal.wait(t, "knock refused")
	r.wantVerdict(t, knocker, "its knock was refused: open 198.51.100.7 port 23")
	r.append(t, strings.ReplaceAll(strings.Join(some[:1], ""), "SPT=2", "SPT=4"))
	r.waitLines(t, 20)
	r.wantVerdict(t, knocker, "its knock was refused: open 198.51.100.7 port 23") // a single packet does not hide it
	r.append(t, strings.ReplaceAll(logLines(t, time.Now(), knocker.String(), open22, 5000), "DPT=958", "DPT=957"))
	r.waitLines(t, 28)
	r.wantVerdict(t, knocker, "its SYNs are no knock of any key")
}

// waitLines waits until so many lines were looked at.
func (r *rig) waitLines(t *testing.T, n float64) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for r.daemon.counters()[0].Value < n {
		if time.Now().After(deadline) {
			t.Fatalf("%v lines were looked at, want %v", r.daemon.counters()[0].Value, n)
		}
		time.Sleep(time.Millisecond)
	}
}

// A rule that the firewall refuses is not told of as an open port.
func TestVerdictOfBrokenFirewall(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.firewall.Fail(firewall.OpAdd, errors.New("broken"))
	r.firewall.Fail(firewall.OpSync, errors.New("broken"))
	r.append(t, logLines(t, time.Now(), laptop.String(), open22, 1000))
	r.journal.wait(t, "rule not added, will try again ip=198.51.100.7 port=22")
	r.wantVerdict(t, laptop, "its knock was heeded, and is not yet in the firewall")
	if leases := r.daemon.status().Leases; len(leases) != 1 || !leases[0].Waiting {
		t.Errorf("the leases are %+v, want one that waits", leases)
	}
	closed, err := r.daemon.closeFor(t.Context(), control.Target{Address: laptop, Port: 22})
	if err != nil || len(closed) != 1 {
		t.Errorf("closing gives %+v, %v; want one", closed, err)
	}
	r.wantVerdict(t, laptop, "its knock was heeded, and nothing is open any more")
}

// What was heeded, and then could not be had, was refused. A directory in the place of the journal makes the rename fail
// for root too.
func TestVerdictOfFullDisk(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	journal := filepath.Join(r.dir, "leases")
	if err := os.Remove(journal); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(journal, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.append(t, logLines(t, time.Now(), knocker.String(), open22, 1000))
	r.journal.wait(t, "rule refused: the journal cannot be written")
	for _, src := range []netip.Addr{knocker, laptop} {
		r.wantVerdict(t, src, "its knock was refused: the journal cannot be written")
	}
	// And where there is no room.
	long := decision{src: netip.MustParseAddr("203.0.113.6"), payload: knock.Payload{IP: laptop}}
	r.daemon.mu.Lock()
	r.daemon.setup.pipeline.now = time.Now()
	r.daemon.reportUndone(errNoRoom, long)
	r.daemon.mu.Unlock()
	r.wantVerdict(t, long.src, "its knock was refused: 8192 of 16384 places")
}

// A source says why it is not watched until it is again, however that ended.
func TestFeed(t *testing.T) {
	t.Parallel()
	var f feed
	for _, step := range []struct {
		do   func()
		want string
	}{
		{func() { f.started("eth0") }, "eth0 true "},
		{func() { f.note("eth0", "interface is down", errors.New("network is down")) }, "eth0 false interface is down: network is down"},
		{func() { f.started("eth0") }, "eth0 false interface is down: network is down"},
		{func() { f.note("eth0", "packets were lost", errors.New("3")) }, "eth0 false interface is down: network is down"},
		{func() { f.note("eth0", "interface is sniffed now", nil) }, "eth0 true "},
		{func() { f.end("eth0", "it broke") }, "eth0 false it broke"},
		{func() { f.started("eth0") }, "eth0 true "},
		{func() { f.end("eth0", "it broke") }, "eth0 false it broke"},
		{func() { f.note("eth0", "interface is not there", errors.New("gone")) }, "eth0 false interface is not there: gone"},
		{func() { f.started("eth0") }, "eth0 false interface is not there: gone"},
		{func() { f.started("nflog group 5") }, "nflog group 5 true "},
	} {
		step.do()
		now := f.get()
		if diff := cmp.Diff(step.want, fmt.Sprintf("%s %t %s", now.Name, now.Watching, now.Problem)); diff != "" {
			t.Errorf("the source (-want +got)\n%s", diff)
		}
	}
}
