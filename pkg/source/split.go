package source

import "bytes"

// MaxLine is the longest line, in bytes without its newline, that is handed
// on. A longer one is dropped up to its newline.
const MaxLine = 8192

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
