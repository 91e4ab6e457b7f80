package journal

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// under puts the right head in front of a body.
func under(body string) []byte {
	return fmt.Appendf(nil, "list-of-names 1 %x\n%s", sha256.Sum256([]byte(body)), body)
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ body, want string }{
		"as written":       {`{"names":["a"]}` + "\n", ""},
		"nothing":          {"", "it cannot be read: EOF"},
		"half of it":       {`{"names":["a"`, "it cannot be read: unexpected EOF"},
		"an unknown field": {`{"names":["a"],"more":1}`, `it cannot be read: json: unknown field "more"`},
		"something after":  {`{"names":["a"]} {}`, "something follows its end"},
		"nonsense after":   {`{"names":["a"]} x`, "something follows its end"},
		"what check finds": {`{"names":["a","b","c","d"]}`, "too many names"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := fileIn(t).Decode(under(test.body))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != test.want || (err == nil) != (len(v.Names) == 1) {
				t.Errorf("got %v, error %q, want error %q", v, got, test.want)
			}
		})
	}
}

// A journal that is cut anywhere, or has another byte anywhere, is none.
func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	f := fileIn(t)
	for i := range text {
		if _, err := f.Decode([]byte(text[:i])); err == nil {
			t.Fatalf("the first %d bytes are a journal", i)
		}
		for bit := range 8 {
			changed := []byte(text)
			changed[i] ^= 1 << bit
			if _, err := f.Decode(changed); err == nil {
				t.Fatalf("a journal with bit %d of byte %d changed is one", bit, i)
			}
		}
	}
	if _, err := f.Decode([]byte(text + "\n")); err == nil {
		t.Error("a journal with one byte more is one")
	}
}

func FuzzDecode(f *testing.F) {
	file := File[list]{Form: "list-of-names", Version: 1, Check: list.check}
	f.Add(text, false)
	f.Add(`{"names":["a","<&>"]}`, true)
	f.Add("list-of-names 2 x\n{}", false)
	f.Fuzz(func(t *testing.T, s string, headed bool) {
		b := []byte(s)
		if headed { // to get further in
			b = under(s)
		}
		v, err := file.Decode(b)
		if err != nil {
			if v.Names != nil {
				t.Errorf("half a value: %v with %v", v, err)
			}
			return
		}
		b, err = file.Encode(v)
		must(t, err)
		again, err := file.Decode(b)
		must(t, err)
		if diff := cmp.Diff(v, again); diff != "" {
			t.Errorf("decoded, encoded, decoded (-first +second)\n%s", diff)
		}
	})
}
