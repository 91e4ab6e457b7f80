package source

import (
	"bytes"
	"context"
	"slices"
)

const (
	// formerFiles is how many files that are no longer open are remembered.
	formerFiles = 8
	// minPrint is how many bytes must agree before content alone proves that
	// a file was read before. Less could be chance.
	minPrint = 64
)

// memory holds the marks of files read before, newest first.
type memory []mark

func (m *memory) add(k mark) {
	if k.offset == 0 {
		return
	}
	k.print, k.head = bytes.Clone(k.print), bytes.Clone(k.head)
	*m = slices.Insert(*m, 0, k)
	if len(*m) > formerFiles {
		*m = (*m)[:formerFiles]
	}
}

// sameFile finds the place in f if f itself was read before, and still holds
// what was read.
func (m memory) sameFile(f *file) (mark, bool) {
	for _, k := range m {
		if k.id == f.id && f.holds(k) {
			return k, true
		}
	}
	return mark{}, false
}

// search finds the last place in f that any mark knows by its content: f is
// then a copy of a file read before, perhaps with more lines after it.
func (m memory) search(ctx context.Context, f *file, buf []byte, limit int64) (found mark, ok bool, err error) {
	known := slices.DeleteFunc(slices.Clone(m), func(k mark) bool {
		// A print that ends in NULs is the hole of a truncation, not content.
		return len(k.print) < minPrint || k.print[len(k.print)-1] == 0
	})
	if len(known) == 0 {
		return mark{}, false, nil
	}
	for base := f.hole(limit); base < limit && ctx.Err() == nil; {
		n, err := f.at(buf[:min(int64(len(buf)), limit-base)], base)
		if err != nil {
			return mark{}, false, err
		}
		if i, end := memory(known).last(buf[:n]); end > 0 {
			found, ok = known[i], true
			found.offset = base + int64(end)
		}
		if n < len(buf) {
			break
		}
		base += int64(n - printSize + 1)
	}
	return found, ok, nil
}

// last returns which mark's print ends last in b, and where; 0 if none does.
func (m memory) last(b []byte) (which, end int) {
	for i := range m {
		if p := m[i].print; p[len(p)-1] != '\n' {
			// Rare: the mark is inside an overlong line.
			if at := bytes.LastIndex(b, p); at >= 0 && at+len(p) > end {
				which, end = i, at+len(p)
			}
		}
	}
	// All other prints end with a line: looking at line ends only is many
	// times faster than one search for each.
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return which, end
		}
		at += i + 1
		for i := range m {
			if at > end && bytes.HasSuffix(b[:at], m[i].print) {
				which, end = i, at
			}
		}
	}
}

// begun reports whether f starts as a file read before does and is no longer
// than what was read of that: a copy that is not complete, or not yet.
func (m memory) begun(f *file, limit int64) (bool, error) {
	b := make([]byte, printSize)
	n, err := f.at(b[:min(limit, printSize)], 0)
	if err != nil {
		return false, err
	}
	for _, k := range m {
		same := min(n, len(k.head))
		if same >= minPrint && k.head[0] != 0 && limit <= k.offset && bytes.Equal(b[:same], k.head[:same]) {
			return true, nil
		}
	}
	return false, nil
}
