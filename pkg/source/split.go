package source

import (
	"bytes"
	"fmt"
	"io"
)

// MaxLine is the longest line, in bytes without its newline, that is handed
// on. A longer one is dropped up to its newline.
const MaxLine = 8192

// replayBuffer is large enough that a system call costs nothing beside the
// lines it brings, and small enough to stay in a processor's cache.
const replayBuffer = 256 << 10

// Read hands every line of r to handle, without its newline; the slice is
// valid only during the call. A last line needs no newline. Lines longer than
// MaxLine are dropped, NUL bytes in front of a line skipped, and memory is
// bounded whatever r holds. The error is r's, never io.EOF.
func Read(r io.Reader, handle func(line []byte)) error {
	var (
		buf  = make([]byte, replayBuffer)
		held int // bytes of a line whose end is still to come
		skip bool
	)
	for empty := 0; ; {
		n, err := r.Read(buf[held:])
		held += n
		used, _ := split(buf[:held], &skip, handle)
		held = copy(buf, buf[used:held])
		switch {
		case err == io.EOF:
			if held > 0 && !skip {
				handle(buf[:held])
			}
			return nil
		case err != nil:
			return fmt.Errorf("failed to read log: %w", err)
		case n > 0:
			empty = 0
		default:
			if empty++; empty == 100 {
				return fmt.Errorf("failed to read log: %w", io.ErrNoProgress)
			}
		}
	}
}

// split hands on the complete lines of b, which starts where a line does, or
// inside a line to be dropped if *skip says so. It returns how much of b is
// done with, never less than all but MaxLine bytes, and how many overlong
// lines were found. What it leaves is the beginning of one line.
func split(b []byte, skip *bool, handle func(line []byte)) (used, dropped int) {
	for used < len(b) {
		if !*skip && b[used] == 0 {
			// A writer that kept its offset over a truncation leaves a
			// hole, read as NULs, before its next line.
			used += leadingNULs(b[used:])
			continue
		}
		end := bytes.IndexByte(b[used:], '\n')
		switch {
		case end >= 0 && *skip:
			*skip = false
		case end > MaxLine:
			dropped++
		case end >= 0:
			handle(b[used : used+end])
		case *skip:
			return len(b), dropped
		case len(b)-used > MaxLine:
			*skip = true
			return len(b), dropped + 1
		default:
			return used, dropped
		}
		used += end + 1
	}
	return used, dropped
}

func leadingNULs(b []byte) int {
	for i, c := range b {
		if c != 0 {
			return i
		}
	}
	return len(b)
}
