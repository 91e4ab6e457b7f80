package source

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRecord(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		want string // the kernel's line; nothing if there is none
		seq  uint64
		bad  bool
	}{
		"packet":                  {"4,339,790149130,-;DENY IN=eth0 OUT= SRC=192.0.2.1 \n", "[  790.149130] DENY IN=eth0 OUT= SRC=192.0.2.1 ", 339, false},
		"first second":            {"6,0,0,-;Linux version\n", "[    0.000000] Linux version", 0, false},
		"long uptime":             {"4,1,315360000000001,-;x\n", "[315360000.000001] x", 1, false},
		"highest level":           {"7,8,1000000,-;x\n", "[    1.000000] x", 8, false},
		"dictionary":              {"6,9,2000000,-;usb 1-1: new\n SUBSYSTEM=usb\n DEVICE=c189:1\n", "[    2.000000] usb 1-1: new", 9, false},
		"more fields in the head": {"6,9,2000000,-,caller=T123;x\n", "[    2.000000] x", 9, false},
		"empty text":              {"6,9,2000000,-;\n", "[    2.000000] ", 9, false},
		"semicolons":              {"6,9,2000000,-;a;b\n", "[    2.000000] a;b", 9, false},
		"escaped newline":         {`6,9,2000000,-;a\x0aDENY IN=eth0` + "\n", `[    2.000000] a\x0aDENY IN=eth0`, 9, false},
		"escaped backslash":       {`6,9,2000000,-;\x5cx0a` + "\n", `[    2.000000] \x5cx0a`, 9, false},
		"a user's":                {"12,10,3000000,-;DENY IN=eth0\n", "", 10, false},
		"a daemon's":              {"30,10,3000000,-;DENY IN=eth0\n", "", 10, false},
		"highest facility":        {"2047,10,3000000,-;DENY IN=eth0\n", "", 10, false},
		"fragment":                {"4,11,3000000,c;DENY IN=eth0\n", "", 11, false},
		"old fragment":            {"4,11,3000000,+;DENY IN=eth0\n", "", 11, false},
		"unknown flag":            {"4,11,3000000,-c;DENY IN=eth0\n", "", 11, false},
		"largest sequence number": {"30,18446744073709551606,3000000,-;x\n", "", 1<<64 - 10, false},

		"nothing":            {"", "", 0, true},
		"no text":            {"4,339,790149130,-\n", "", 0, true},
		"no newline":         {"4,339,790149130,-;DENY IN=eth0", "", 0, true},
		"no flag":            {"4,339,790149130;x\n", "", 0, true},
		"empty flag":         {"4,339,790149130,;x\n", "", 0, true},
		"no priority":        {",339,790149130,-;x\n", "", 0, true},
		"negative priority":  {"-4,339,790149130,-;x\n", "", 0, true},
		"number too large":   {"4,99999999999999999999,790149130,-;x\n", "", 0, true},
		"head in the text":   {"x\n4,339,790149130,-;x\n", "", 0, true},
		"dictionary's line":  {" SUBSYSTEM=usb\n", "", 0, true},
		"letters for number": {"4,339,79a,-;x\n", "", 0, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec, ok := parseRecord([]byte(tt.text))
			if ok == tt.bad || rec.seq != tt.seq || rec.kernel != (tt.want != "") {
				t.Fatalf("parseRecord(%q) = %+v, %t", tt.text, rec, ok)
			}
			if tt.want == "" {
				return
			}
			if diff := cmp.Diff(tt.want, string(rec.appendLine(nil))); diff != "" {
				t.Errorf("line (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzRecord: no record gives a line with a newline, or one that begins anywhere but behind its head; and what is
// made of the parts of a record gives them back.
func FuzzRecord(f *testing.F) {
	f.Add("4,339,790149130,-;DENY IN=eth0 OUT= SRC=192.0.2.1 \n", uint16(4), uint64(339), uint64(1), "DENY IN=eth0")
	f.Add("6,9,2000000,-,caller=T1;usb 1-1: new\n SUBSYSTEM=usb\n", uint16(30), uint64(0), uint64(1), "")
	f.Add("4,1,1,c;a\nb\n", uint16(2047), uint64(1<<64-10), uint64(1<<64-10), `\x0aDENY `)
	f.Fuzz(func(t *testing.T, raw string, priority uint16, seq, micros uint64, text string) {
		if rec, ok := parseRecord([]byte(raw)); ok {
			_, after, _ := strings.Cut(raw, ";")
			if bytes.Contains(rec.text, []byte("\n")) || !strings.HasPrefix(after, string(rec.text)+"\n") {
				t.Fatalf("text %q of record %q", rec.text, raw)
			}
		} else if rec.text != nil || rec.kernel {
			t.Fatalf("half a record of %q: %+v", raw, rec)
		}

		const limit = 1<<64 - 10
		text, _, _ = strings.Cut(text, "\n")
		seq, micros = min(seq, limit), min(micros, limit)
		made := fmt.Sprintf("%d,%d,%d,-,x=1;%s\n A=b\n", priority, seq, micros, text)
		rec, ok := parseRecord([]byte(made))
		want := record{seq: seq, micros: micros, text: []byte(text), kernel: priority < 8}
		if diff := cmp.Diff(want, rec, cmp.AllowUnexported(record{})); !ok || diff != "" {
			t.Fatalf("record %q (-want +got):\n%s", made, diff)
		}
		line := fmt.Sprintf("[%5d.%06d] %s", micros/1e6, micros%1e6, text)
		if got := string(rec.appendLine(nil)); got != line {
			t.Fatalf("line %q, want %q", got, line)
		}
	})
}
