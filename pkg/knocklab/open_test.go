package knocklab

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const publishedPorts = "966 914 795 964 831 862 807 932"

// clearly is the agreement under which a payload is sent as it is.
var clearly = Agreement{Cipher: "none"}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	known := Agreement{Passphrase: "knock"}
	sent := Agreement{Passphrase: "knock", Header: "randomiv", IV: "is of no effect"}
	const sentPorts = "827 842 855 845 856 854 818 831 799 797 802 802 802 801 797 801 846 813 993 931 798 972 951 928"
	for name, tt := range map[string]struct {
		a              Agreement
		sequence       string
		at, says, hint string
		steps          int
		block, payload bool
	}{
		"too short": {known, "966 914 795 964 831 862 807", "length",
			"The length is wrong: there are 7, and a knock with the cipher Blowfish and the header none has 8.",
			"Is a port missing, or one too many?", 0, false, false},
		"one": {known, "966", "length",
			"The length is wrong: there is one port, and a knock with the cipher Blowfish and the header none has 8.",
			"Is a port missing, or one too many?", 0, false, false},
		"has a header": {known, sentPorts, "length",
			"The length is wrong: there are 24, and a knock with the cipher Blowfish and the header none has 8.",
			"As many come from Blowfish or DES with the header randomiv.", 0, false, false},
		"has no header": {sent, publishedPorts, "length",
			"The length is wrong: there are 8, and a knock with the cipher Blowfish and the header randomiv has 24, or 17 to 23 with a shorter IV.",
			"Eight ports come from Blowfish, DES or none, with the header none.", 0, false, false},
		"not Rijndael": {Agreement{Passphrase: "knock", Cipher: "Rijndael"}, publishedPorts, "length",
			"The length is wrong: there are 8, and a knock with the cipher Rijndael and the header none has 16.",
			"Eight ports come from Blowfish, DES or none, with the header none.", 0, false, false},
		"Rijndael": {known, publishedPorts + " " + publishedPorts, "length",
			"The length is wrong: there are 16, and a knock with the cipher Blowfish and the header none has 8.",
			"Sixteen ports come from Rijndael.", 0, false, false},
		"port above": {known, "966 914 1001 964 831 862 807 932", "port", "Try 3 goes to port 1001, which is outside 745 to 1000.",
			"These ports fit if the first port is 746 to 807.", 0, false, false},
		"ports apart": {known, "966 914 1001 964 831 862 70 932", "port", "Try 3 goes to port 1001, which is outside 745 to 1000.",
			"No first port fits all of them: they are 931 apart, and a byte goes up to 255.", 0, false, false},
		"header": {sent, strings.Replace(sentPorts, "855", "854", 1), "header",
			`The header is wrong: try 3 is byte 109, and the 'n' of "RandomIV" is 110.`,
			"The first eight tries of every message with its IV in front are the same. Choose the header none for one without.", 24, false, false},
		"other passphrase": {Agreement{Passphrase: "Knock"}, publishedPorts, "padding",
			"The padding is wrong: the last byte of the block is 113, and after a payload of 7 bytes it is 1.",
			"The passphrase, the IV or the cipher is another one, a port is wrong, or this is not a knock at all.", 8, true, false},
		"other passphrase, header": {Agreement{Passphrase: "Knock", Header: "randomiv"}, sentPorts, "padding",
			"The padding is wrong: the last byte of the block is 224, and after a payload of 7 bytes it is 1.",
			"The passphrase or the cipher is another one, a port is wrong, or this is not a knock at all.", 24, true, false},
		"padding of two": {clearly, "745 745 745 745 745 745 747 747", "padding",
			"The padding is wrong: the last byte of the block is 2, and after a payload of 7 bytes it is 1.",
			"It was encrypted, or it is not a knock at all.", 8, true, false},
		"Rijndael's padding": {Agreement{Passphrase: "Knock", Cipher: "Rijndael"}, publishedPorts + " " + publishedPorts, "padding",
			"The padding is wrong: the last 9 bytes of the block are [20 218 96 245 67 87 21 117 239], and after a payload of 7 bytes each is 9.",
			"The passphrase, the IV or the cipher is another one, a port is wrong, or this is not a knock at all.", 16, true, false},
		"checksum": {clearly, "887 848 950 746 767 760 979 746", "checksum",
			"The checksum is wrong: the six bytes before it add up to 488, and 488 mod 255 is 233, not 234.",
			"It was encrypted, or it is not a knock at all.", 8, true, true},
		"other IV": {Agreement{Passphrase: "knock", IV: "11234567"}, publishedPorts, "checksum",
			"The checksum is wrong: the six bytes before it add up to 489, and 489 mod 255 is 234, not 233.",
			"The passphrase, the IV or the cipher is another one, a port is wrong, or this is not a knock at all.", 8, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Open(tt.a, tt.sequence)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{tt.at, tt.says, tt.hint}, []string{got.At, got.Says, got.Hint}); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if got.Good || len(got.Steps) != tt.steps || (got.Block.Plain != nil) != tt.block || (got.Payload != nil) != tt.payload {
				t.Errorf("good %v, %d steps, block %v, payload %v", got.Good, len(got.Steps), got.Block, got.Payload)
			}
		})
	}
}

// However ports are written, they are the same knock.
func TestOpenSeparators(t *testing.T) {
	t.Parallel()
	for _, between := range []string{" ", ",", ", ", "\n", " ,\t", "; "} {
		got, err := Open(published.Agreement, " "+strings.ReplaceAll(publishedPorts, " ", between)+between)
		if err != nil || !got.Good || got.Says != "open 142.103.205.1 port 22 for 15 min" || got.Sequence != publishedPorts {
			t.Errorf("between %q: %v, %v", between, got, err)
		}
	}
}

func TestOpenFaults(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		a        Agreement
		sequence string
		want     Faults
	}{
		"nothing": {clearly, " ,\n", Faults{"sequence": "paste the ports of a knock, with spaces or commas between"}},
		"word":    {clearly, "966 knock", Faults{"sequence": `knock 2: "knock" is not a whole number: want a port, 0 to 65535`}},
		"no port": {clearly, "65536", Faults{"sequence": "knock 1: 65536 is out of range: want a port, 0 to 65535"}},
		"many":    {clearly, strings.Repeat("800 ", 65), Faults{"sequence": "65 ports are more than any knock has: paste at most 64"}},
		"both": {Agreement{First: "x"}, "", Faults{
			"sequence": "paste the ports of a knock, with spaces or commas between", "passphrase": "type a passphrase: the key is made of it",
			"first": `"x" is not a whole number: want a port with 255 more above it, 1 to 65280`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Open(tt.a, tt.sequence)
			var got Faults
			if !errors.As(err, &got) {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// FuzzOpen: whatever is pasted, it is read or refused for a reason, and what is good
// makes the same ports again.
func FuzzOpen(f *testing.F) {
	f.Add("knock", "", "", "", "", publishedPorts)
	f.Add("knock", "DES", "randomiv", "", "745", strings.Repeat("800,", 24))
	f.Add("", "none", "none", "", "", "887 848 950 746 767 760 978 746")
	f.Add("knock", "Rijndael", "", "0123456789abcdef", "65280", "")
	f.Fuzz(func(t *testing.T, passphrase, cipher, header, iv, first, sequence string) {
		a := Agreement{Passphrase: passphrase, Cipher: cipher, Header: header, IV: iv, First: first}
		got, err := Open(a, sequence)
		if err != nil {
			if faults := (Faults{}); !errors.As(err, &faults) || len(faults) == 0 {
				t.Fatalf("error %v", err)
			}
			return
		}
		if got.Says == "" || got.Good != (got.At == "end") || len(got.Ports) > maxPasted {
			t.Fatalf("%+v", got)
		}
		if !got.Good {
			return
		}
		if header == "randomiv" {
			a.IV, a.IVForm = hexOf(got.IV), "hex"
		}
		again, err := Seal(Input{a, wishOf(values(got.Payload))})
		if err != nil || !slices.Equal(again.Ports, got.Ports) {
			t.Fatalf("opened %v as %q, which seals to %v, %v", got.Ports, got.Says, again.Ports, err)
		}
	})
}

// FuzzSeal: what can be made can be read, and each step follows from the one before.
func FuzzSeal(f *testing.F) {
	f.Add("knock", "Blowfish", "none", "", "text", "745", "142.103.205.1", "22", "15")
	f.Add("knock", "DES", "randomiv", "9137", "", "", "0.0.0.0", "0", "0")
	f.Add("é", "Rijndael", "none", "00112233445566778899aabbccddeeff", "hex", "65280", "255.255.255.255", "255", "255")
	f.Fuzz(func(t *testing.T, passphrase, cipher, header, iv, form, first, ip, port, time string) {
		in := Input{Agreement{passphrase, cipher, header, iv, form, first}, Wish{ip, port, time}}
		made, err := Seal(in)
		if err != nil {
			if faults := (Faults{}); !errors.As(err, &faults) || len(faults) == 0 {
				t.Fatalf("error %v", err)
			}
			return
		}
		checkTrace(t, made)
		read, err := Open(in.Agreement, made.Sequence)
		if err != nil || !read.Good || read.Says != made.Says {
			t.Fatalf("made %q, read %+v, %v", made.Says, read, err)
		}
	})
}

func hexOf(iv []int) (text string) {
	for _, b := range iv {
		text += fmt.Sprintf("%02x", b)
	}
	return text
}
