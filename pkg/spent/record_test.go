package spent

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

const (
	recordA = "block 0123456789abcdef\n"
	recordB = "block ffffffffffffffff\n"
)

// dump writes contents as the file that they are.
func dump(c contents) string {
	out := []byte(firstLine)
	for _, h := range c.headers {
		out = append(out, headerRecord(h)...)
	}
	var lines []string
	for block := range c.blocks {
		lines = append(lines, string(blockRecord(block)))
	}
	slices.Sort(lines)
	return string(out) + strings.Join(lines, "")
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text, want string
		tail       int
	}{
		"nothing yet":               {firstLine, firstLine, 0},
		"blocks":                    {firstLine + recordA + recordB, firstLine + recordA + recordB, 0},
		"headers between":           {firstLine + recordB + "header none\n" + recordA + "header randomiv\n", firstLine + "header none\nheader randomiv\n" + recordA + recordB, 0},
		"twice":                     {firstLine + recordA + "header none\n" + recordA + "header none\n", firstLine + "header none\n" + recordA, 0},
		"no newline":                {firstLine + recordA + recordB[:22], firstLine + recordA, 22},
		"half a line":               {firstLine + recordA + recordB[:9], firstLine + recordA, 9},
		"one byte":                  {firstLine + recordA + "b", firstLine + recordA, 1},
		"a line of nothing":         {firstLine + recordA + "\n", firstLine + recordA, 1},
		"half a header":             {firstLine + recordA + "header rand", firstLine + recordA, 11},
		"torn after the first line": {firstLine + "blo", firstLine, 3},
		"zeros":                     {firstLine + recordA + strings.Repeat("\x00", 23), firstLine + recordA, 23},
		"zeros at first":            {firstLine + recordA + "\x00\x00\x00\x00" + recordB[4:], firstLine + recordA, 23},
		"a page of zeros":           {firstLine + recordA + strings.Repeat("\x00", 4096), firstLine + recordA, 4096},
		"a page of lines":           {firstLine + recordA + strings.Repeat("\n", 4096), firstLine + recordA, 4096},
		"upper case":                {firstLine + recordA + "block 0123456789ABCDEF\n", firstLine + recordA, 23},
		"17 digits":                 {firstLine + recordA + "block 0123456789abcdef0\n", firstLine + recordA, 24},
		"15 digits":                 {firstLine + recordA + "block 0123456789abcde\n", firstLine + recordA, 22},
		"CR LF":                     {firstLine + recordA + "block 0123456789abcdef\r\n", firstLine + recordA, 24},
		"header of 17":              {firstLine + "header abcdefghijklmnopq\n", firstLine, 25},
		"header of none":            {firstLine + "header \n", firstLine, 8},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, size := range []int{0, len(test.text)} { // a hint, no more
				c, err := decode(iotest.HalfReader(strings.NewReader(test.text)), int64(size))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, dump(c)); diff != "" {
					t.Errorf("contents (-want +got):\n%s", diff)
				}
				if got := len(test.text) - int(c.size); got != test.tail {
					t.Errorf("a tail of %d bytes, want %d", got, test.tail)
				}
			}
		})
	}
}

func TestDecodeRefusals(t *testing.T) {
	t.Parallel()
	headers := ""
	for i := range 9 {
		headers += fmt.Sprintf("header h%d\n", i)
	}
	for name, test := range map[string]struct{ text, want string }{
		"empty":               {"", `line 1 is "", want "knock-blocks 1\n": not a book, damaged, or of a newer version`},
		"half a first line":   {firstLine[:8], `line 1 is "knock-bl", want "knock-blocks 1\n": not a book, damaged, or of a newer version`},
		"newer":               {"knock-blocks 2\n" + recordA, `line 1 is "knock-blocks 2\n", want "knock-blocks 1\n": not a book, damaged, or of a newer version`},
		"foreign":             {strings.Repeat("x", 100000), `line 1 is "` + strings.Repeat("x", 40) + `", want "knock-blocks 1\n": not a book, damaged, or of a newer version`},
		"no first line":       {recordA, `line 1 is "block 0123456789abcdef\n", want "knock-blocks 1\n": not a book, damaged, or of a newer version`},
		"zeros":               {strings.Repeat("\x00", 3), `line 1 is "\x00\x00\x00", want "knock-blocks 1\n": not a book, damaged, or of a newer version`},
		"damage":              {firstLine + recordA + "x\n" + recordB, "line 3 is damaged, and records follow"},
		"half a line":         {firstLine + recordA[:9] + "\n" + recordB, "line 2 is damaged, and records follow"},
		"no newline":          {firstLine + recordA[:9] + recordB, "line 2 is damaged, and records follow"},
		"zeros, then a block": {firstLine + "\x00\x00\x00" + recordB, "line 2 is damaged, and records follow"},
		"a line of nothing":   {firstLine + "\n\n\n\n" + recordB, "line 2 is damaged, and records follow"},
		"then a header":       {firstLine + "x\nheader none\n", "line 2 is damaged, and records follow"},
		"header joined":       {firstLine + "xheader none\n", "line 2 is damaged, and records follow"},
		"then a torn one":     {firstLine + "x\n" + recordA + recordB[:5], "line 2 is damaged, and records follow"},
		"more than a page":    {firstLine + recordA + strings.Repeat("\x00", 4097), "line 3 is damaged, and so is more than a crash explains (4096 bytes)"},
		"long line":           {firstLine + strings.Repeat("x", 100000), "line 2 is damaged, and so is more than a crash explains (4096 bytes)"},
		"many lines":          {firstLine + strings.Repeat("\n", 100000), "line 2 is damaged, and so is more than a crash explains (4096 bytes)"},
		"nine headers":        {firstLine + headers, "line 10 is one header setting too many, want at most 8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := decode(strings.NewReader(test.text), int64(len(test.text)))
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// A disk that cannot be read is no end of the file.
func TestDecodeReadError(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 5, len(firstLine), len(firstLine) + 5, len(firstLine + recordA), len(firstLine+recordA) + 2} {
		text := (firstLine + recordA + "x\n" + recordB)[:n]
		in := io.MultiReader(strings.NewReader(text), iotest.ErrReader(iotest.ErrTimeout))
		if _, err := decode(in, 0); err != iotest.ErrTimeout {
			t.Errorf("%q: error %v, want %v", text, err, iotest.ErrTimeout)
		}
	}
}

// Any bytes: no panic, and what is accepted stays: with what is recorded next, and with a torn record behind it.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		"", firstLine, firstLine + recordA, firstLine + recordA + "header none\n" + recordB + recordA[:12],
		firstLine + "x\n" + recordA, "knock-blocks 2\n", firstLine + recordA + "\x00\x00\x00\x00", "\x00", recordA,
	} {
		f.Add([]byte(text), 0x1122334455667788, uint8(7))
	}
	f.Fuzz(func(t *testing.T, data []byte, n int, torn uint8) {
		c, err := decode(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		if c.size > int64(len(data)) || len(data)-int(c.size) > maxTail || len(c.headers) > maxHeaders {
			t.Fatalf("%d bytes of %d, %d header settings", c.size, len(data), len(c.headers))
		}
		d := newDisk(string(data))
		b := bookOf(t, d, MaxBlocks)
		if !bytes.Equal(d.now, data[:c.size]) {
			t.Fatalf("opened, the file is %q, want %q", d.now, data[:c.size])
		}
		block := numbered(n)
		_, known := c.blocks[block]
		if err := b.Use(block); (err == ErrSpent) != known || !known && err != nil {
			t.Fatalf("Use = %v of a block known before: %v", err, known)
		}
		c.blocks[block] = struct{}{}

		rest := blockRecord(numbered(n + 1))
		d.now = append(d.now, rest[:int(torn)%len(rest)]...)
		again, err := decode(bytes.NewReader(d.now), 0)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(dump(c), dump(again)); diff != "" {
			t.Fatalf("opened again (-want +got):\n%s", diff)
		}
	})
}
