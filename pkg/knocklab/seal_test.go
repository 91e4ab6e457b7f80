package knocklab

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// published is the first knock that was published.
var published = Input{Agreement{Passphrase: "knock"}, Wish{"142.103.205.1", "22", "15"}}

func TestSeal(t *testing.T) {
	t.Parallel()
	got, err := Seal(published)
	if err != nil {
		t.Fatal(err)
	}
	want := Trace{
		Says: "open 142.103.205.1 port 22 for 15 min",
		Payload: []part{
			{"IP 1", 142, "first byte of the address"}, {"IP 2", 103, "second byte"}, {"IP 3", 205, "third byte"},
			{"IP 4", 1, "last byte of the address"}, {"PORT", 22, "TCP port 22"}, {"TIME", 15, "for 15 minutes"},
			{"CHECKSUM", 233, "the sum of the others, modulo 255"},
		},
		Sum:     sum{Total: 488, Modulo: 255, Rest: 233, Found: 233},
		Padding: []int{1},
		Key: &key{Cipher: "Blowfish", Size: 56, Rounds: []round{
			{"the passphrase, 5 bytes", "4be17d184b54c2111dcb318921909b83"},
			{"the 16 bytes so far", "0e427ea9613415881e5652c2e8a7d65c"},
			{"the 32 bytes so far", "93121d9468b0c19805bcb1e32db90770"},
			{"the 48 bytes so far", "a8a6e8381e59a0dae7370d77b0e5da7d"},
		}, Hex: "4be17d184b54c2111dcb318921909b830e427ea9613415881e5652c2e8a7d65c93121d9468b0c19805bcb1e32db90770a8a6e8381e59a0da"},
		IV: []int{48, 49, 50, 51, 52, 53, 54, 55},
		Block: block{
			Plain:  []int{142, 103, 205, 1, 22, 15, 233, 1},
			Mask:   []int{48, 49, 50, 51, 52, 53, 54, 55},
			Mixed:  []int{190, 86, 255, 50, 34, 58, 223, 54},
			Sealed: []int{221, 169, 50, 219, 86, 117, 62, 187},
		},
		Steps: []step{
			{966, 221, "block", "block, byte 1"}, {914, 169, "block", "block, byte 2"},
			{795, 50, "block", "block, byte 3"}, {964, 219, "block", "block, byte 4"},
			{831, 86, "block", "block, byte 5"}, {862, 117, "block", "block, byte 6"},
			{807, 62, "block", "block, byte 7"}, {932, 187, "block", "block, byte 8"},
		},
		Ports: []uint16{966, 914, 795, 964, 831, 862, 807, 932}, Sequence: "966 914 795 964 831 862 807 932",
		First: 745, Last: 1000,
		Command: "knockclient -ip 142.103.205.1 -port 22 -time 15 -key-file knock.key -test",
		Notes: []string{
			"Put the passphrase into the file knock.key, for your eyes only (mode 0600). " +
				"On a command line, others could read it in the list of processes.",
			"With -test nothing is sent: it prints the ports.",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// with gives the published knock, changed.
func with(change func(*Input)) Input {
	in := published
	change(&in)
	return in
}

func TestCommand(t *testing.T) {
	t.Parallel()
	const head = "knockclient -ip 142.103.205.1 -port 22 -time 15"
	for name, tt := range map[string]struct {
		in   Input
		want string
	}{
		"none": {with(func(in *Input) { in.Cipher, in.Passphrase = "none", "" }), head + " -cipher none -test"},
		"Rijndael": {
			with(func(in *Input) { in.Cipher, in.IV = "rijndael", "0123456789abcdef" }),
			head + " -key-file knock.key -cipher Rijndael -iv=0123456789abcdef -test",
		},
		"everything": {
			with(func(in *Input) { in.Cipher, in.Header, in.IV, in.First = "DES", "randomiv", "it's $1", "2000" }),
			head + ` -key-file knock.key -cipher DES -header randomiv -iv='it'\''s $1' -port-min 2000 -test`,
		},
		"hex": {
			with(func(in *Input) { in.IV, in.IVForm = "01 ff 27 41 41 41 41 41", "hex" }),
			head + ` -key-file knock.key -iv=$'\x01\xff\x27\x41\x41\x41\x41\x41' -test`,
		},
		"zero byte": {with(func(in *Input) { in.IV, in.IVForm = "0011223344556677", "hex" }), head + " -key-file knock.key -test"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Seal(tt.in)
			if err != nil || got.Command != tt.want {
				t.Errorf("got  %s, %v\nwant %s", got.Command, err, tt.want)
			}
			if name == "zero byte" != strings.Contains(strings.Join(got.Notes, " "), "zero byte") {
				t.Errorf("notes %q", got.Notes)
			}
		})
	}
}

// Without an IV the header draws one, another each time, and the command says which.
func TestDrawnIV(t *testing.T) {
	t.Parallel()
	in := with(func(in *Input) { in.Header = "randomiv" })
	one, err := Seal(in)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Seal(in)
	if err != nil {
		t.Fatal(err)
	}
	if !one.Drawn || len(one.IV) != 8 || len(one.Ports) != 24 || one.Sequence == two.Sequence {
		t.Errorf("two knocks: %v, %v", one, two)
	}
	checkTrace(t, one)
	checkTrace(t, two)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		in   Input
		want Faults
	}{
		"empty": {Input{}, Faults{
			"ip": "type an IPv4 address, such as 192.0.2.1", "passphrase": "type a passphrase: the key is made of it",
			"port": "type a number from 0 to 255: a TCP port; a knock has one byte for it",
			"time": "type a number from 0 to 255: minutes, or 0 for no limit, or 255 to close",
		}},
		"numbers": {
			with(func(in *Input) { in.IP, in.Port, in.Time, in.First = "142.103.205", "256", "-1", "65281" }),
			Faults{
				"ip":    `"142.103.205" is not an IPv4 address: want four numbers, 0 to 255, with dots between`,
				"port":  "256 is out of range: want a TCP port; a knock has one byte for it, 0 to 255",
				"time":  `"-1" is not a whole number: want minutes, or 0 for no limit, or 255 to close, 0 to 255`,
				"first": "65281 is out of range: want a port with 255 more above it, 1 to 65280",
			},
		},
		"huge number": {
			with(func(in *Input) { in.Port = "99999999999999999999" }),
			Faults{"port": "99999999999999999999 is out of range: want a TCP port; a knock has one byte for it, 0 to 255"},
		},
		"IPv6": {
			with(func(in *Input) { in.IP = "2001:db8::1" }),
			Faults{"ip": "2001:db8::1 is not an IPv4 address, and a knock carries no other"},
		},
		"short IV": {
			with(func(in *Input) { in.IV = "0123" }),
			Faults{"iv": `IV is 4 bytes, want exactly 8 with header "none"`},
		},
		"long IV": {
			with(func(in *Input) { in.IV, in.Header = "012345678", "randomiv" }),
			Faults{"iv": `IV is 9 bytes, want 1 to 8 with header "randomiv"`},
		},
		"not hex": {
			with(func(in *Input) { in.IV, in.IVForm = "0g", "hex" }),
			Faults{"iv": `"0g" is not hexadecimal: want two digits, 0 to f, for each byte`},
		},
		"form": {
			with(func(in *Input) { in.IVForm = "octal" }),
			Faults{"iv": `"octal" is no form of an IV: choose text or hex`},
		},
		"header of Rijndael": {
			with(func(in *Input) { in.Cipher, in.Header = "Rijndael", "randomiv" }),
			Faults{"header": "randomiv goes with Blowfish and DES only: Rijndael has no such header"},
		},
		"header": {with(func(in *Input) { in.Header = "salt" }), Faults{"header": `"salt" is no header: choose none or randomiv`}},
		"cipher": {
			with(func(in *Input) { in.Cipher = "ROT13" }),
			Faults{"cipher": `cipher "ROT13" is unknown, want "Blowfish", "DES", "Rijndael" or "none"`},
		},
		"key of none": {
			with(func(in *Input) { in.Cipher = "none" }),
			Faults{"passphrase": "the cipher none has no passphrase: it would protect nothing"},
		},
		"IV of none": {
			with(func(in *Input) { in.Cipher, in.Passphrase, in.IV = "none", "", "01234567" }),
			Faults{"iv": `an IV is given, and cipher "none" has none`},
		},
		"long passphrase": {
			with(func(in *Input) { in.Passphrase = strings.Repeat("x", 1025) }),
			Faults{"passphrase": "the passphrase is 1025 bytes long: the lab takes up to 1024"},
		},
		"bytes": {with(func(in *Input) { in.Passphrase = "\xff" }), Faults{"passphrase": "the passphrase is not text"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			made, err := Seal(tt.in)
			var got Faults
			if !errors.As(err, &got) {
				t.Fatalf("Seal = %v, %v", made, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(Trace{}, made); diff != "" {
				t.Errorf("a trace beside an error\n%s", diff)
			}
		})
	}
	if got := (Faults{"port": "two", "ip": "one"}).Error(); got != "ip: one; port: two" {
		t.Errorf("Error() = %q", got)
	}
}
