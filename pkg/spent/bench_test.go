package spent

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"
)

const million = 1_000_000

// scattered gives the i-th of blocks that are all different and in no order.
func scattered(i int) [8]byte {
	var block [8]byte
	binary.BigEndian.PutUint64(block[:], uint64(i)*0x9e3779b97f4a7c15)
	return block
}

// bigBook gives the text of a book of n blocks.
func bigBook(n int) []byte {
	text := []byte(firstLine)
	for i := range n {
		text = append(text, blockRecord(scattered(i))...)
	}
	return text
}

// heap gives the bytes in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A million blocks stay below 24 MB, read from a file or used one by one. Not parallel: the heap is everybody's.
func TestAllocOfAMillionBlocks(t *testing.T) {
	text := bigBook(million)
	t.Logf("the file has %d bytes", len(text))
	before := heap()
	c, err := decode(bytes.NewReader(text), int64(len(text)))
	if err != nil || len(c.blocks) != million {
		t.Fatalf("%d blocks, error %v", len(c.blocks), err)
	}
	checkHeap(t, "read", heap()-before)
	runtime.KeepAlive(c)

	c, before = contents{}, heap()
	b, err := newBook(nullFile{}, contents{blocks: map[[8]byte]struct{}{}}, 0, million)
	if err != nil {
		t.Fatal(err)
	}
	for i := range million {
		if err := b.Use(scattered(i)); err != nil {
			t.Fatal(err)
		}
	}
	checkHeap(t, "used", heap()-before)
	runtime.KeepAlive(b)
	runtime.KeepAlive(text)
}

func checkHeap(t *testing.T, what string, bytes uint64) {
	t.Helper()
	t.Logf("%s: %.1f MB", what, float64(bytes)/1e6)
	if bytes > 24e6 || bytes < 8e6 {
		t.Errorf("%s, a million blocks take %d bytes, want less than 24 MB (and no less than they have)", what, bytes)
	}
}

// A nullFile takes all and keeps nothing.
type nullFile struct{}

func (nullFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (nullFile) Sync() error                            { return nil }
func (nullFile) Truncate(int64) error                   { return nil }
func (nullFile) Close() error                           { return nil }

func BenchmarkDecodeMillion(b *testing.B) {
	text := bigBook(million)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if c, err := decode(bytes.NewReader(text), int64(len(text))); err != nil || len(c.blocks) != million {
			b.Fatal(len(c.blocks), err)
		}
	}
}

// One knock: a write and a sync, on the disk of the temporary directory.
func BenchmarkUse(b *testing.B) {
	book, err := Open(b.TempDir(), "knock", Options{Max: MaxBlocks})
	if err != nil {
		b.Fatal(err)
	}
	defer book.Close()
	for i := 0; b.Loop(); i++ {
		if err := book.Use(numbered(i)); err != nil {
			b.Fatal(err)
		}
	}
}

// A knock that was seen before costs no disk.
func BenchmarkUseSpent(b *testing.B) {
	c, err := decode(bytes.NewReader(bigBook(million)), 0)
	if err != nil {
		b.Fatal(err)
	}
	book := &Book{blocks: c.blocks}
	for b.Loop() {
		if err := book.Use([8]byte{}); err != ErrSpent {
			b.Fatal(err)
		}
	}
}

func BenchmarkFileName(b *testing.B) {
	for b.Loop() {
		if _, err := fileName("knock"); err != nil {
			b.Fatal(err)
		}
	}
}
