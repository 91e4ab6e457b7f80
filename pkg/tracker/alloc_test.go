package tracker

import (
	"net/netip"
	"testing"
)

// No packet costs an allocation: not of a source that was seen before, not of a new one, and not where
// two of one source have been swapped.
func TestObserveDoesNotAllocate(t *testing.T) {
	for name, source := range map[string]func(n uint32) netip.Addr{
		"one source":   func(uint32) netip.Addr { return alice },
		"new sources":  tenDot,
		"IPv6 sources": func(n uint32) netip.Addr { return netip.AddrFrom16([16]byte{0x20, 1, 14: byte(n >> 8), 15: byte(n)}) },
	} {
		t.Run(name, func(t *testing.T) {
			tr := New(options(8), func(netip.Addr, []uint16) bool { return false })
			var n uint32
			observe := func() {
				n++
				tr.Observe(syn(source(n), uint16(n^1), 745+uint16(n%256)), start)
			}
			if got := testing.AllocsPerRun(3000, observe); got > 0 {
				t.Errorf("%v allocations, want none", got)
			}
			if stats := tr.Stats(); stats.Overwritten == 0 {
				t.Errorf("the ring was never full: %+v", stats)
			}
		})
	}
}
