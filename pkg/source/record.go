package source

import (
	"bytes"
	"fmt"
)

// maxRecord is the longest record, in bytes, that any kernel gives: 8192 up to Linux 6.1, 2048 since.
const maxRecord = 8192

// A record is one message of the kernel's log.
type record struct {
	seq    uint64 // one more than that of the message before, whoever wrote it
	micros uint64 // since boot, by the clock that dmesg shows
	text   []byte // as in the record: what is not printable ASCII, and the backslash, is \xNN
	kernel bool   // the kernel wrote it, and it is whole from its beginning on
}

// parseRecord reads "4,339,5140900,-;text\n KEY=value\n" (Documentation/ABI/testing/dev-kmsg): priority, sequence
// number, microseconds, flags and, in kernels to come, more; behind the text its dictionary.
func parseRecord(b []byte) (r record, ok bool) {
	head, rest, ok := bytes.Cut(b, []byte(";"))
	text, _, okText := bytes.Cut(rest, []byte("\n"))
	if !ok || !okText {
		return record{}, false
	}
	priority, head, ok := cutNumber(head)
	seq, head, okSeq := cutNumber(head)
	micros, head, okMicros := cutNumber(head)
	flags, _, _ := bytes.Cut(head, []byte(","))
	if !ok || !okSeq || !okMicros || len(flags) == 0 {
		return record{}, false
	}
	// Facility 0 is the kernel's own: what is written to /dev/kmsg with it gets another. A fragment ("c", "+") is
	// no whole message: it may begin in the middle of one, where a stranger's text stands.
	kernel := priority>>3 == 0 && string(flags) == "-"
	return record{seq: seq, micros: micros, text: text, kernel: kernel}, true
}

// cutNumber cuts "123,".
func cutNumber(b []byte) (n uint64, rest []byte, ok bool) {
	const limit = (1<<64 - 1 - 9) / 10 // ten times it and a digit is still a number
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9' && n <= limit:
			n = 10*n + uint64(c-'0')
		default:
			return n, b[i+1:], c == ',' && i > 0
		}
	}
	return 0, nil, false
}

// appendLine appends the message to b as dmesg prints it: "[  790.149130] text". An escape stays as it is: without
// its backslash it could not be told from text, and a decoded newline would begin a line where the kernel did not.
func (r record) appendLine(b []byte) []byte {
	b = fmt.Appendf(b, "[%5d.%06d] ", r.micros/1e6, r.micros%1e6)
	return append(b, r.text...)
}
