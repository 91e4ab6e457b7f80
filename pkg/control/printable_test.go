package control

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"":                      "",
		"key alice":             "key alice",
		"Schlüssel 鍵 🔑":         "Schlüssel 鍵 🔑",
		`C:\x1b`:                `C:\x1b`,
		"\x1b[2J\a":             `\x1b[2J\x07`,
		"a\nok: b\r\tc\x7f":     `a\x0aok: b\x0d\x09c\x7f`,
		"\u009b2J":              `\u009b2J`,
		"\x9b2J\xff":            `\x9b2J\xff`,
		"user\u202etxt.exe":     `user\u202etxt.exe`,
		"zero\u200bwidth\u2028": `zero\u200bwidth\u2028`,
		"\U000e0041":            `\U000e0041`,
		"no\u00a0break":         `no\u00a0break`,
	} {
		if got := printable(s); got != want {
			t.Errorf("%q is %q, want %q", s, got, want)
		}
	}
}

func TestWriteJSON(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	text := "a\x1b\x7f\u009b\u202e\U000e0041<&>\"\\é🔑\xff\n"
	if err := WriteJSON(&b, Finding{Kind: "syns", Text: text}); err != nil {
		t.Fatal(err)
	}
	want := `{"kind":"syns","text":"a\u001b\u007f\u009b\u202e\udb40\udc41<&>\"\\é🔑\ufffd\n","count":0,"last":null}` + "\n"
	if b.String() != want {
		t.Errorf("got  %s\nwant %s", b.String(), want)
	}
	var back Finding
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || back.Text != strings.ToValidUTF8(text, "\ufffd") {
		t.Errorf("read back: %q, %v", back.Text, err)
	}
	if err := WriteJSON(&b, func() {}); err == nil {
		t.Error("a function is encoded")
	}
}

func FuzzPrintable(f *testing.F) {
	for _, s := range []string{"key alice", "\x1b[2J", "\u009b", "\xff\xfe", "\u202e", "\U000e0041", `\x1b`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := printable(s)
		plain := utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
		switch {
		case !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }):
			t.Errorf("%q becomes %q, which does not print", s, got)
		case plain && got != s:
			t.Errorf("%q prints, and becomes %q", s, got)
		case printable(got) != got:
			t.Errorf("%q becomes %q, and that %q", s, got, printable(got))
		}
		var b bytes.Buffer
		if err := WriteJSON(&b, s); err != nil {
			t.Fatal(err)
		}
		line, found := strings.CutSuffix(b.String(), "\n")
		if !found || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q is %q in JSON", s, b.String())
		}
		var back string
		if err := json.Unmarshal(b.Bytes(), &back); err != nil || utf8.ValidString(s) && back != s {
			t.Errorf("%q comes back from JSON as %q, %v", s, back, err)
		}
	})
}
