//go:build !race

package sequence

import (
	"net/netip"
	"testing"

	"github.com/portknock/knock/pkg/packet"
)

// No packet costs an allocation, one that completes a sequence included.
func TestObserveDoesNotAllocate(t *testing.T) {
	for name, flood := range floods {
		t.Run(name, func(t *testing.T) {
			m := mustNew(t, Options{MaxSources: 100}, plain("7000,8000,9000"), dynamic("7000", 7001), plain("7000,8000"))
			var n, matches uint32
			observe := func() {
				matches += uint32(len(m.Observe(flood(n), start)))
				n++
			}
			for range 1000 {
				observe() // what is kept for later calls
			}
			if got := testing.AllocsPerRun(3000, observe); got > 0 {
				t.Errorf("%v allocations, want none", got)
			}
			if name == "knocks" && matches < 1000 {
				t.Errorf("%d matches", matches)
			}
		})
	}
}

// Nor does one that completes sequences with a Target and without.
func TestOurTargetDoesNotAllocate(t *testing.T) {
	at := plain("7000,8000,9000")
	at.Target = names["t"]
	m := mustNew(t, Options{MaxSources: 100, Ours: func(netip.Addr) bool { return true }}, at, plain("7000,8000,9000"))
	var n, matches uint32
	observe := func() {
		p := floods["knocks"](n)
		p.Dst = names["t"]
		matches += uint32(len(m.Observe(p, start)))
		n++
	}
	for range 1000 {
		observe()
	}
	if got := testing.AllocsPerRun(3000, observe); got > 0 {
		t.Errorf("%v allocations, want none", got)
	}
	if matches < 2000 {
		t.Errorf("%d matches", matches)
	}
}

func TestIgnoringDoesNotAllocate(t *testing.T) {
	m := mustNew(t, Options{}, plain("7000,8000,9000"))
	for name, p := range map[string]packet.Packet{
		"other protocol": {Src: tenDot(1), Proto: packet.ICMP},
		"other flags":    {Src: tenDot(1), Proto: packet.TCP, DstPort: 7000, Flags: packet.ACK},
		"other port":     syn(tenDot(1), 1, 1),
		"UDP":            {Src: tenDot(1), Proto: packet.UDP, DstPort: 7000},
	} {
		if got := testing.AllocsPerRun(100, func() { m.Observe(p, start) }); got > 0 {
			t.Errorf("%s: %v allocations, want none", name, got)
		}
	}
}
