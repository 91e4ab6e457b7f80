package trail

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// No note costs an allocation: neither of a source that is there, with the text it has or another, nor of a new one that
// takes another's place.
func TestNoteDoesNotAllocate(t *testing.T) {
	long := strings.Repeat("x", 300)
	for name, of := range map[string]func(n int) (netip.Addr, string){
		"the same text":  func(int) (netip.Addr, string) { return alice, "DROP" },
		"another text":   func(n int) (netip.Addr, string) { return alice, long[n%300:] },
		"IPv6":           func(int) (netip.Addr, string) { return bob, "DROP" },
		"another source": func(n int) (netip.Addr, string) { return sourceOf(n), "DROP" },
	} {
		t.Run(name, func(t *testing.T) {
			tr, n := New(64), 0
			note := func() {
				n++
				src, text := of(n)
				tr.Note(src, Kind(n%8), text, start)
			}
			for range 1000 {
				note()
			}
			if got := testing.AllocsPerRun(5000, note); got > 0 {
				t.Errorf("%v allocations, want none", got)
			}
		})
	}
}

// BenchmarkNote is the cost of a note, of a source that is there and of one that takes another's place.
func BenchmarkNote(b *testing.B) {
	for name, sources := range map[string]int{"one source": 1, "4096 sources": 4096, "new sources": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			tr, n := New(4096), 0
			text := fmt.Sprint("line stamped ", 90, " s from now")
			for range 8192 {
				tr.Note(sourceOf(n%sources), Old, text, start)
				n++
			}
			b.ReportAllocs()
			for b.Loop() {
				tr.Note(sourceOf(n%sources), Old, text, start)
				n++
			}
		})
	}
}
