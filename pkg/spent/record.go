package spent

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
)

const (
	firstLine   = "knock-blocks 1\n"
	blockWord   = "block "
	headerWord  = "header "
	blockLength = len(blockWord) + 16 + 1

	maxHeader  = 16 // bytes of a header setting
	maxHeaders = 8

	// maxTail is the most bytes that are cut off. A crash can tear one record; a
	// disk that promises more than it keeps may lose the page that the last ones
	// are in, and not to start after that would lock people out for less than a
	// knock or two. More is damage.
	maxTail = 4096
)

// contents is what a file holds.
type contents struct {
	blocks  map[[8]byte]struct{} // as bytes, in half the memory of uint64: its slots are padded to 16
	headers []string
	size    int64 // of the whole records; the tail after them is torn
}

// blockRecord gives the line of a block.
func blockRecord(block [8]byte) []byte {
	return fmt.Appendf(nil, "%s%x\n", blockWord, block)
}

// headerRecord gives the line of a header setting.
func headerRecord(header string) []byte {
	return []byte(headerWord + header + "\n")
}

// isHeader tells whether a record can be made of a header setting.
func isHeader(header string) bool {
	for _, c := range []byte(header) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return header != "" && len(header) <= maxHeader
}

// parseBlock reads the line of a block, newline and all.
func parseBlock(line []byte) (block [8]byte, ok bool) {
	if len(line) != blockLength || string(line[:len(blockWord)]) != blockWord || line[blockLength-1] != '\n' {
		return block, false
	}
	for i, c := range line[len(blockWord) : blockLength-1] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		default:
			return [8]byte{}, false
		}
		block[i/2] = block[i/2]<<4 | c
	}
	return block, true
}

// parseHeader reads the line of a header setting, newline and all.
func parseHeader(line []byte) (header string, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(headerWord))
	if !ok {
		return "", false
	}
	rest, ok = bytes.CutSuffix(rest, []byte("\n"))
	header = string(rest)
	return header, ok && isHeader(header)
}

// decode reads a file, of which about size bytes are expected. Its errors name
// the line.
func decode(r io.Reader, size int64) (contents, error) {
	in := bufio.NewReaderSize(r, 2*maxTail)
	c := contents{size: int64(len(firstLine))}
	line, err := in.ReadSlice('\n')
	if err := readError(err); err != nil {
		return c, err
	}
	if string(line) != firstLine {
		return c, fmt.Errorf("line 1 is %.40q, want %q: not a book, damaged, or of a newer version", line, firstLine)
	}
	c.blocks = make(map[[8]byte]struct{}, min(size/int64(blockLength), MaxBlocks))
	for number := 2; ; number++ {
		line, err := in.ReadSlice('\n')
		if err := readError(err); err != nil {
			return c, err
		}
		switch ok, err := c.add(line); {
		case err != nil:
			return c, fmt.Errorf("line %d is %w", number, err)
		case !ok:
			return c, checkTail(line, in, number)
		}
		c.size += int64(len(line))
	}
}

// readError gives what is more than the end of the file or a line too long to be
// a record.
func readError(err error) error {
	if err == io.EOF || err == bufio.ErrBufferFull {
		return nil
	}
	return err
}

// add takes up a record, if line is one.
func (c *contents) add(line []byte) (ok bool, err error) {
	if block, ok := parseBlock(line); ok {
		c.blocks[block] = struct{}{}
		if len(c.blocks) > MaxBlocks {
			return false, fmt.Errorf("one block too many, want at most %d", MaxBlocks)
		}
		return true, nil
	}
	header, ok := parseHeader(line)
	if ok && !slices.Contains(c.headers, header) {
		if len(c.headers) == maxHeaders {
			return false, fmt.Errorf("one header setting too many, want at most %d", maxHeaders)
		}
		c.headers = append(c.headers, header)
	}
	return ok, nil
}

// checkTail makes sure that line, which is no record, and all that follows can be
// what a crash has left. It may be nothing.
func checkTail(line []byte, in io.Reader, number int) error {
	tail := bytes.Clone(line)
	rest, err := io.ReadAll(io.LimitReader(in, maxTail+1))
	if err != nil {
		return err
	}
	tail = append(tail, rest...)
	if len(tail) > maxTail {
		return fmt.Errorf("line %d is damaged, and so is more than a crash explains (%d bytes)", number, maxTail)
	}
	if hasRecord(tail) {
		return fmt.Errorf("line %d is damaged, and records follow", number)
	}
	return nil
}

// hasRecord tells whether there is a whole record in tail. It may have lost the
// end of the line before it.
func hasRecord(tail []byte) bool {
	for line := range bytes.Lines(tail) {
		if i := bytes.LastIndex(line, []byte(blockWord)); i >= 0 {
			if _, ok := parseBlock(line[i:]); ok {
				return true
			}
		}
		if i := bytes.LastIndex(line, []byte(headerWord)); i >= 0 {
			if _, ok := parseHeader(line[i:]); ok {
				return true
			}
		}
	}
	return false
}
