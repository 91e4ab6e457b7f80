package source

import (
	"bytes"
	"fmt"
	"io"
)

// BlockSize is the length in bytes of the buffers of Blocks: large enough that a
// system call costs nothing beside the lines it brings, and small enough to stay
// in a processor's cache.
const BlockSize = 256 << 10

// Blocks reads r to its end in blocks of whole lines, for [Lines] to take apart,
// in other goroutines if need be. Each is handed to handle as soon as it is read,
// in a buffer of BlockSize bytes that buffer gave and that is then the caller's; a
// buffer may be given again once its block is done with. Only the last block may
// end without a newline. Memory is bounded whatever r holds. The error is r's,
// never io.EOF.
func Blocks(r io.Reader, buffer func() []byte, handle func(block []byte)) error {
	var (
		buf   = buffer()
		held  int  // bytes in buf
		skip  bool // they are inside a line that is too long
		empty int  // reads in a row that gave nothing
	)
	for {
		n, err := r.Read(buf[held:])
		held += n
		if skip {
			held = dropLine(buf, held, &skip)
		}
		if end := bytes.LastIndexByte(buf[:held], '\n') + 1; end > 0 {
			next := buffer()
			rest := copy(next, buf[end:held])
			handle(buf[:end])
			buf, held = next, rest
		}
		held = copy(buf, buf[leadingNULs(buf[:held]):held])
		if held > MaxLine {
			held, skip = 0, true
		}
		switch {
		case err == io.EOF:
			if held > 0 {
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

// dropLine drops what buf holds up to a newline, and gives what is left.
func dropLine(buf []byte, held int, skip *bool) int {
	end := bytes.IndexByte(buf[:held], '\n')
	if end < 0 {
		return 0
	}
	*skip = false
	return copy(buf, buf[end+1:held])
}

// Lines hands every line of a block to handle, without its newline; the slice is
// valid for as long as the block. Lines longer than MaxLine are dropped, and NUL
// bytes in front of a line skipped.
func Lines(block []byte, handle func(line []byte)) {
	skip := false
	used, _ := split(block, &skip, handle)
	if !skip && used < len(block) {
		handle(block[used:])
	}
}
