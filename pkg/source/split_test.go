package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// readAll hands on the lines of r one by one. It has two buffers, used in turn.
func readAll(r io.Reader, handle func(line []byte)) error {
	buffers := [2][]byte{make([]byte, BlockSize), make([]byte, BlockSize)}
	n := 0
	buffer := func() []byte { n++; return buffers[n%2] }
	return Blocks(r, buffer, func(block []byte) { Lines(block, handle) })
}

func TestRead(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("x", MaxLine)
	tests := map[string]struct {
		text string
		want []string
	}{
		"empty":                        {"", nil},
		"lines":                        {"a\nb\n\nc\n", []string{"a", "b", "", "c"}},
		"no last newline":              {"a\nb", []string{"a", "b"}},
		"carriage returns are content": {"a\r\n", []string{"a\r"}},
		"longest":                      {longest + "\n" + longest, []string{longest, longest}},
		"overlong":                     {longest + "y\na\n", []string{"a"}},
		"overlong at the end":          {"a\n" + longest + "y", []string{"a"}},
		"far too long":                 {strings.Repeat("x", 3*BlockSize+5) + forged + "\na\n", []string{"a"}},
		"NULs before a line":           {"a\n\x00\x00b\x00c\n\x00\n", []string{"a", "b\x00c", ""}},
		"many NULs":                    {strings.Repeat("\x00", 2*BlockSize+3) + "a\n", []string{"a"}},
		"NULs at the end":              {"a\n\x00\x00", []string{"a"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, r := range []io.Reader{
				strings.NewReader(tt.text),
				iotest.OneByteReader(strings.NewReader(tt.text)),
				iotest.DataErrReader(strings.NewReader(tt.text)),
			} {
				var got []string
				check(t, readAll(r, func(line []byte) { got = append(got, string(line)) }))
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("lines (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestReadErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		r    io.Reader
		want error
	}{
		"failing":  {io.MultiReader(strings.NewReader("a\nhalf"), iotest.ErrReader(broken)), broken},
		"stagnant": {io.MultiReader(strings.NewReader("a\nhalf"), stagnant{}), io.ErrNoProgress},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			err := readAll(tt.r, func(line []byte) { got = append(got, string(line)) })
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if diff := cmp.Diff([]string{"a"}, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

type stagnant struct{}

func (stagnant) Read([]byte) (int, error) { return 0, nil }

// FuzzSplit holds the splitter, fed in chunks of any size, against the plain
// way of doing it with all the text at hand.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("a\nb\n\nhalf"), []byte{1, 2, 3}, uint8(0))
	f.Add([]byte("\x00\x00a\x00\n\x00"), []byte{1}, uint8(1))
	f.Add([]byte("x\ny"), []byte{0, 255}, uint8(200))
	f.Add([]byte("xxxx\nforged\n"), []byte{7, 250}, uint8(65))
	f.Fuzz(func(t *testing.T, text, chunks []byte, stretch uint8) {
		// Lines of more than MaxLine bytes would rarely be found by chance.
		text = bytes.ReplaceAll(text, []byte("x"), bytes.Repeat([]byte("x"), 1+int(stretch)*64))
		if len(text) > 1<<20 {
			return
		}
		want := naive(text)
		got, held := splitInChunks(t, text, chunks)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("lines (-want +got):\n%s", diff)
		}
		if held > MaxLine {
			t.Fatalf("%d bytes are held, want %d at most", held, MaxLine)
		}
		last := bytes.TrimLeft(text[bytes.LastIndexByte(text, '\n')+1:], "\x00")
		if len(last) > 0 && len(last) <= MaxLine {
			want = append(want, string(last))
		}
		got = nil
		check(t, readAll(&inChunks{text, chunks, 0}, func(line []byte) { got = append(got, string(line)) }))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("lines of blocks (-want +got):\n%s", diff)
		}
	})
}

// inChunks reads text in pieces of other lengths each time.
type inChunks struct {
	text, chunks []byte
	n            int
}

func (r *inChunks) Read(b []byte) (int, error) {
	if len(r.text) == 0 {
		return 0, io.EOF
	}
	n := len(b)
	if len(r.chunks) > 0 {
		n = min(n, 1+int(r.chunks[r.n%len(r.chunks)])*40)
		r.n++
	}
	n = copy(b[:n], r.text)
	r.text = r.text[n:]
	return n, nil
}

// naive is what split promises, in as few words as possible.
func naive(text []byte) (lines []string) {
	parts := bytes.Split(text, []byte("\n"))
	for _, line := range parts[:len(parts)-1] {
		if line = bytes.TrimLeft(line, "\x00"); len(line) <= MaxLine {
			lines = append(lines, string(line))
		}
	}
	return lines
}

func splitInChunks(t *testing.T, text, chunks []byte) (lines []string, held int) {
	t.Helper()
	var (
		buf  []byte
		skip bool
	)
	for i := 0; len(text) > 0; i++ {
		n := len(text)
		if len(chunks) > 0 {
			n = min(n, 1+int(chunks[i%len(chunks)])*40)
		}
		buf, text = append(buf, text[:n]...), text[n:]
		used, _ := split(buf, &skip, func(line []byte) {
			if len(line) > MaxLine {
				t.Fatalf("a line of %d bytes", len(line))
			}
			lines = append(lines, string(line))
		})
		buf = append(buf[:0], buf[used:]...)
	}
	return lines, len(buf)
}

func BenchmarkRead(b *testing.B) {
	_, text := stamped("LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=0 DF PROTO=TCP SPT=50000 DPT=966 WINDOW=64240 RES=0x00 SYN URGP=0", 100_000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		lines := 0
		if err := readAll(strings.NewReader(text), func([]byte) { lines++ }); err != nil || lines != 100_000 {
			b.Fatal(lines, err)
		}
	}
}

func ExampleBlocks() {
	log := "first\nsecond\n\nno newline"
	err := Blocks(strings.NewReader(log), func() []byte { return make([]byte, BlockSize) }, func(block []byte) {
		Lines(block, func(line []byte) { fmt.Printf("%q\n", line) })
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// "first"
	// "second"
	// ""
	// "no newline"
}
