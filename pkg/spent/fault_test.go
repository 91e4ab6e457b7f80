package spent

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// After each failure of the disk the knock is refused, the file whole or about to be, and nothing forgotten.
func TestFaults(t *testing.T) {
	t.Parallel()
	const before, one, two, three = firstLine + "block 0000000000000000\n",
		"block 0100000000000000\n", "block 0200000000000000\n", "block 0300000000000000\n"
	for name, test := range map[string]struct {
		fail                 func(*disk)
		wantNow, wantFlushed string
	}{
		"nothing written":         {func(d *disk) { d.noWrite, d.short = true, 23 }, before, before + one + two},
		"written by half":         {func(d *disk) { d.noWrite, d.short = true, 11 }, before, before + one + two},
		"newline not written":     {func(d *disk) { d.noWrite, d.short = true, 1 }, before, before + one + two},
		"all written, and failed": {func(d *disk) { d.noWrite, d.short = true, 0 }, before, before + one + two},
		"not synced":              {func(d *disk) { d.noSync = true }, before, before + one + two},
		"and not cut off": {func(d *disk) { d.noWrite, d.short, d.noTruncate = true, 11, true },
			before + one[:12], before + one + two},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDisk(before)
			b := bookOf(t, d, 10)
			test.fail(d)
			if err := b.Use([8]byte{1}); !errors.Is(err, errDisk) {
				t.Fatalf("Use = %v, want %v", err, errDisk)
			}
			if diff := cmp.Diff(test.wantNow, string(d.now)); diff != "" {
				t.Errorf("file after the failure (-want +got):\n%s", diff)
			}
			if err := b.Use([8]byte{1}); err != ErrSpent {
				t.Errorf("the same again: %v, want %v", err, ErrSpent)
			}
			if err := b.Use([8]byte{2}); err != nil {
				t.Errorf("the next: %v", err)
			}
			if diff := cmp.Diff(test.wantFlushed, string(d.now)); diff != "" {
				t.Errorf("file after the next (-want +got):\n%s", diff)
			}
			if err := b.Use([8]byte{3}); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(test.wantFlushed+three, string(d.now)); diff != "" {
				t.Errorf("file in the end (-want +got):\n%s", diff)
			}
			checkCrash(t, d, [][8]byte{{}, {1}, {2}, {3}}, nil)
		})
	}
}

// What cannot be cut off is not written behind.
func TestFaultThatStays(t *testing.T) {
	t.Parallel()
	d := newDisk(firstLine)
	b := bookOf(t, d, 10)
	d.noWrite, d.short, d.noTruncate = true, 11, true
	if err := b.Use([8]byte{1}); !errors.Is(err, errDisk) {
		t.Fatalf("Use = %v, want %v", err, errDisk)
	}
	for i := byte(2); i < 5; i++ {
		d.noTruncate = true
		if err := b.Use([8]byte{i}); !errors.Is(err, errDisk) {
			t.Errorf("Use = %v, want %v", err, errDisk)
		}
		if diff := cmp.Diff(firstLine+"block 010000", string(d.now)); diff != "" {
			t.Errorf("file (-want +got):\n%s", diff)
		}
	}
	if err := b.Close(); err != nil {
		t.Errorf("Close = %v, want none: the disk is whole again", err)
	}
	checkCrash(t, d, [][8]byte{{1}, {2}, {3}, {4}}, nil)
}

func TestCloseSaysWhatIsForgotten(t *testing.T) {
	t.Parallel()
	d := newDisk(firstLine)
	b := bookOf(t, d, 10)
	d.noSync = true
	if err := b.Use([8]byte{1}); !errors.Is(err, errDisk) {
		t.Fatalf("Use = %v, want %v", err, errDisk)
	}
	d.noSync = true
	err := b.Close()
	if err == nil || !d.closed {
		t.Fatalf("Close = %v, closed %v, want an error and a closed file", err, d.closed)
	}
	if diff := cmp.Diff("failed to record 1 used blocks: disk on fire", err.Error()); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	if err := b.Use([8]byte{2}); err == nil {
		t.Error("a closed book takes a block")
	}
}

// A header setting that could not be written is not known, and can be marked again.
func TestMarkFault(t *testing.T) {
	t.Parallel()
	d := newDisk(firstLine + "header none\n")
	b := bookOf(t, d, 10)
	d.noSync = true
	if others, err := b.Mark("randomiv"); !errors.Is(err, errDisk) || others != nil {
		t.Fatalf("Mark = %q, %v, want %v", others, err, errDisk)
	}
	checkCrash(t, d, nil, []string{"none"})
	others, err := b.Mark("randomiv")
	if diff := cmp.Diff([]string{"none"}, others); diff != "" || err != nil {
		t.Errorf("others (-want +got), error %v:\n%s", err, diff)
	}
	checkCrash(t, d, nil, []string{"none", "randomiv"})
}

// Whatever is asked and whatever fails in between: what was acknowledged is there after any crash, nothing is
// acknowledged twice, and no crash makes the file unreadable. Each byte is a step: its low 4 bits say what fails.
func FuzzFaults(f *testing.F) {
	f.Add([]byte("\x00\x10\x21\x32\x43\x05\x60\xf0"))
	f.Add([]byte("\x07\x17\x27\x00\xff\x0f\x80\x90"))
	f.Fuzz(func(t *testing.T, steps []byte) {
		d := newDisk(firstLine)
		b := bookOf(t, d, 20)
		var blocks [][8]byte
		var headers []string
		for i, step := range steps[:min(len(steps), 16)] {
			d.noWrite, d.noSync, d.noTruncate, d.short = step&1 != 0, step&2 != 0, step&4 != 0, i
			switch high := step >> 4; {
			case high == 15:
				h := string('a' + rune(i%10))
				if _, err := b.Mark(h); err == nil {
					headers = append(headers, h)
				}
			case high == 14: // the process starts again
				b = bookOf(t, d, 20)
			default:
				block := [8]byte{high, 7: step}
				err := b.Use(block)
				if err == nil && slices.Contains(blocks, block) {
					t.Fatalf("block %x is acknowledged twice", block)
				}
				if err == nil {
					blocks = append(blocks, block)
				}
				if err != ErrFull && !b.Has(block) {
					t.Fatalf("block %x was seen and is not known", block)
				}
			}
			checkCrash(t, d, blocks, headers)
		}
	})
}

// What a killed process wrote and did not sync is made durable before anybody relies on it.
func TestOpenSyncs(t *testing.T) {
	t.Parallel()
	d := newDisk(firstLine)
	d.change([]byte(firstLine + "block 0100000000000000\nheader none\nblock 02"))
	b := bookOf(t, d, 10)
	if err := b.Use([8]byte{1}); err != ErrSpent {
		t.Errorf("Use = %v, want %v", err, ErrSpent)
	}
	if _, err := b.Mark("none"); err != nil {
		t.Error(err)
	}
	checkCrash(t, d, [][8]byte{{1}}, []string{"none"})
}
