package daemon

import (
	"io"
	"testing"

	"github.com/portknock/knock/pkg/knock"
)

// A header that cannot be noted is not taken up: what protects against replays
// stays in force.
func TestHeaderThatCannotBeNoted(t *testing.T) {
	t.Parallel()
	c := load(t, "-log=l", "-state-dir="+t.TempDir(), "-header=randomiv")
	b, err := openBlocks(c, c.Keys[0], nil, newTestLog(t, c, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	memory{{blocks: b}}.commit()
	block := [8]byte{1, 2, 3}
	if got := b.refusal(block); got != "" {
		t.Fatalf("a new block is refused: %s", got)
	}
	b.close() // from now on nothing can be written
	if err := b.setHeader(knock.HeaderNone); err == nil {
		t.Fatal("the header was noted in a book that is closed")
	}
	if got := b.refusal(block); got == "" {
		t.Error("a block that was used opens again after a reload that failed")
	}
}

func TestSeenBlocks(t *testing.T) {
	t.Parallel()
	seen := newSeenBlocks(knock.HeaderRandomIV)
	if got := seen.refusal([8]byte{1}); got != "" {
		t.Errorf("the first time: %q", got)
	}
	if got := seen.refusal([8]byte{1}); got != refusedSpent {
		t.Errorf("the second time: got %q, want %q", got, refusedSpent)
	}
	fixed := newSeenBlocks(knock.HeaderNone)
	for range 2 {
		if got := fixed.refusal([8]byte{1}); got != "" {
			t.Errorf("with the fixed IV: %q", got)
		}
	}
}
