package daemon

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/portknock/knock/pkg/knock"
)

// again gives the lines of a knock as they are when it is sent once more, from other source ports: those began with 1.
func again(lines, digit string) string { return strings.ReplaceAll(lines, "SPT=1", "SPT="+digit) }

// A knock of a pad that is sent again as it was is no guess, and hides no answer to who asks why.
func TestPadAgain(t *testing.T) {
	t.Parallel()
	path, client := newTestPad(t)
	r := newRig(t, conf(t, "[key alice]\npad = "+path+"\nallow-ports = 22\n"))
	sender := netip.MustParseAddr("203.0.113.5")
	r.append(t, padLines(t, client, open22, 1000))
	r.journal.wait(t, "rule opened ip=198.51.100.7 port=22")
	heeded := r.portsOfPad()
	if !r.match(sender, heeded) {
		t.Error("the knock that was heeded is taken for a guess when it comes again")
	}
	other := append([]uint16{heeded[0] ^ 1}, heeded[1:]...)
	if r.match(sender, other) {
		t.Error("a knock with another first port is not taken for a guess")
	}

	no := padLines(t, client, knock.Payload{IP: sender, Port: 23, Time: 15}, 1000)
	r.append(t, again(no, "2"))
	r.journal.wait(t, "reason=port 23 is not in allow-ports")
	r.wantVerdict(t, sender, "its knock was refused: open 203.0.113.5 port 23")
	r.append(t, again(no, "3"))
	r.waitLines(t, 45)
	r.wantVerdict(t, sender, "its knock was refused: open 203.0.113.5 port 23")
	if r.match(sender, r.portsOfPad()) {
		t.Error("a knock that was refused is heeded when it comes again")
	}
	if got := strings.Count(r.journal.text(), "knock accepted"); got != 1 {
		t.Errorf("%d knocks were accepted, want 1", got)
	}
}

// match asks whether ports are a knock to heed.
func (r *rig) match(src netip.Addr, ports []uint16) bool {
	r.daemon.mu.Lock()
	defer r.daemon.mu.Unlock()
	return r.daemon.setup.pipeline.match(src, ports)
}

// portsOfPad gives the ports of the knock of a pad that was read last.
func (r *rig) portsOfPad() (ports []uint16) {
	r.daemon.mu.Lock()
	defer r.daemon.mu.Unlock()
	for _, k := range r.daemon.setup.pipeline.keys {
		if p, ok := k.reader.(*padded); ok {
			for _, b := range p.last {
				ports = append(ports, p.first+uint16(b))
			}
		}
	}
	return ports
}
