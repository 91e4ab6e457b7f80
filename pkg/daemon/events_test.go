package daemon

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/lease"
	"github.com/portknock/knock/pkg/packet"
)

const sections = `
[open]
sequence = 102,100,100,103
open = 22/tcp, 53/udp
time = 15
[close]
sequence = 103,100,100,102
close = 22/tcp
[any]
sequence = 1042,1044,1043
digits = 1040
allow_ports = 8000-8999
time = 0
[inside]
sequence = 7000,8000,9000
forward = 2222=10.0.0.5:22
`

func TestEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t, conf(t, sections))
	for i, s := range []struct {
		ports []uint16
		wait  string
	}{
		{[]uint16{102, 100, 100, 103}, "rule opened ip=203.0.113.5 port=53"},
		{[]uint16{7000, 8000, 9000}, "rule opened ip=203.0.113.5 port=2222"},
		{[]uint16{1042, 1044, 1043, 1048, 1040, 1048, 1040, 1042, 1044, 1043}, "rule opened ip=203.0.113.5 port=8080"},
		{[]uint16{1042, 1044, 1043, 1048, 1040, 1042, 1044, 1043}, "port 80 is not in allow_ports"},
	} {
		r.append(t, packetLines("203.0.113.5", 1000*(i+1), s.ports...))
		r.journal.wait(t, s.wait)
	}
	r.checkDump(t, "chain\nforward chain\naccept 203.0.113.5 8080/tcp\nforward 203.0.113.5 2222/tcp to 10.0.0.5:22 for 15 min\n"+
		"accept 203.0.113.5 53/udp for 15 min\naccept 203.0.113.5 22/tcp for 15 min\n")
	r.append(t, packetLines("203.0.113.5", 9000, 103, 100, 100, 102))
	r.journal.wait(t, "rule closed ip=203.0.113.5 port=22")
	for _, want := range []string{
		"knock accepted src=203.0.113.5 knock=open 22/tcp for 15 min, open 53/udp for 15 min section=open",
		"knock accepted src=203.0.113.5 knock=forward 2222/tcp to 10.0.0.5:22 for 15 min section=inside",
		"knock accepted src=203.0.113.5 knock=open 8080/tcp without time limit section=any",
		"knock refused src=203.0.113.5 knock=open 80/tcp without time limit section=any reason=port 80 is not in allow_ports",
		"knock accepted src=203.0.113.5 knock=close 22/tcp section=close",
	} {
		if got := strings.Count(r.journal.text(), want+"\n"); got != 1 {
			t.Errorf("%d times %q in\n%s", got, want, r.journal.text())
		}
	}
}

// A section's commands run for who has knocked, and what is owed of them when the daemon ends is paid then. A sequence
// that counts once is marked before.
func TestEventCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out, list := filepath.Join(dir, "out"), filepath.Join(dir, "sequences")
	if err := os.WriteFile(list, []byte(" 1,2,3\n 4,5,6\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, conf(t, fmt.Sprintf(`
[run]
one_time_sequences = %s
start_command = echo start %%IP%% >> %s
cmd_timeout = 3600
stop_command = echo stop %%IP%% >> %[2]s
`, list, out)))
	r.append(t, packetLines("203.0.113.5", 1000, 1, 2, 3))
	r.journal.wait(t, "command started")
	r.append(t, packetLines("203.0.113.6", 1000, 1, 2, 3)) // it has been used
	r.append(t, packetLines("203.0.113.7", 1000, 4, 5, 6))
	r.journal.wait(t, "command started src=203.0.113.7")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(got) != 4 || got[0] != "start 203.0.113.5" || got[1] != "start 203.0.113.7" || !strings.HasPrefix(got[2], "stop ") || !strings.HasPrefix(got[3], "stop ") {
		t.Errorf("the commands said %q", got)
	}
	marked, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("#1,2,3\n#4,5,6\n", string(marked)); diff != "" {
		t.Errorf("the sequences (-want +got)\n%s", diff)
	}
}

// A reload changes sections; what has been knocked of one that stays still counts.
func TestEventsReload(t *testing.T) {
	t.Parallel()
	before := load(t, "-log=l", conf(t, sections))
	old, err := newPipeline(before, func(decision) {})
	if err != nil {
		t.Fatal(err)
	}
	same, err := newPipeline(load(t, "-log=l", conf(t, sections)), func(decision) {})
	if err != nil {
		t.Fatal(err)
	}
	other, err := newPipeline(load(t, "-log=l", conf(t, strings.Replace(sections, "9000", "9001", 1))), func(decision) {})
	if err != nil {
		t.Fatal(err)
	}
	same.succeed(old)
	other.succeed(old)
	if same.sequences != old.sequences || other.sequences == old.sequences {
		t.Errorf("same sections: kept %v; others: kept %v; want true, false", same.sequences == old.sequences, other.sequences == old.sequences)
	}
}

// What goes to the host that a section names is for that section, and no knock of a key.
func TestTarget(t *testing.T) {
	t.Parallel()
	r := newRig(t, conf(t, "[s]\nsequence = 1,2,3\ntarget = 192.0.2.1\nopen = 22\n[any]\nsequence = 4,5,6\nopen = 23\n"))
	r.append(t, logLines(t, time.Now(), "203.0.113.5", open22, 1000))
	r.append(t, packetLines("203.0.113.5", 2000, 4, 5, 6))
	r.append(t, packetLines("203.0.113.5", 3000, 1, 2, 3))
	r.journal.wait(t, "rule opened ip=203.0.113.5 port=22")
	r.checkDump(t, "chain\naccept 203.0.113.5 22/tcp for 15 min\n")
}

// A target that is one of this machine's addresses is for all sections and keys.
func TestTargetOfOurs(t *testing.T) {
	t.Parallel()
	r := newRig(t, conf(t, "[s]\nsequence = 1,2,3\ntarget = 127.0.0.1\nopen = 22\n[any]\nsequence = 4,5,6\nopen = 23\n"))
	here := func(lines string) string { return strings.ReplaceAll(lines, "DST=192.0.2.1", "DST=127.0.0.1") }
	r.append(t, here(logLines(t, time.Now(), "203.0.113.5", open22, 1000)))
	r.journal.wait(t, "rule opened ip=198.51.100.7 port=22")
	r.append(t, here(packetLines("203.0.113.5", 2000, 4, 5, 6)))
	r.journal.wait(t, "rule opened ip=203.0.113.5 port=23")
	r.append(t, here(packetLines("203.0.113.5", 3000, 1, 2, 3)))
	r.journal.wait(t, "rule opened ip=203.0.113.5 port=22")
}

// Half of all that can be open is kept for those with a key, whatever sequences are sent from.
func TestRoomForKeys(t *testing.T) {
	t.Parallel()
	c, j := load(t, "-log=l", "-output=json", conf(t, "[s]\nsequence = 1,2,3\nopen = 22\n")), newJournal()
	d := newDaemon(newTestLog(t, c, j))
	if err := d.prepare(c, firewall.NewFake()); err != nil {
		t.Fatal(err)
	}
	for n := range maxOfSequences {
		rule := config.PortProto{Port: 80, Proto: packet.TCP}.Rule(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}))
		if err := d.leases.Open(rule, 0, lease.By{}); err != nil {
			t.Fatal(err)
		}
	}
	p := d.setup.pipeline
	d.act(decision{src: laptop, event: p.events[0]})
	j.wait(t, "knock not carried out src=198.51.100.7 error=8192 of 16384 places for open ports and bans are taken: the rest is kept for those with a key")
	d.act(decision{src: laptop, key: p.keys[0], payload: open22})
	if got := d.leases.Held(); got != maxOfSequences+1 {
		t.Errorf("%d are held, want one for the key beside %d", got, maxOfSequences)
	}
	d.act(decision{src: laptop, event: p.events[0]}) // it is open: that takes no room
	if got := strings.Count(j.text(), "knock not carried out"); got != 1 {
		t.Errorf("%d knocks were not carried out, want the first alone:\n%s", got, j.text())
	}
}
