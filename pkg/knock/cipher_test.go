package knock

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func newClear(t testing.TB) *Codec { return newCodec(t, Options{Cipher: CipherNone}) }

func TestParseCipher(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		want  Cipher
		error string
	}{
		"Blowfish": {CipherBlowfish, ""},
		"blowfish": {CipherBlowfish, ""},
		"DES":      {CipherDES, ""},
		"des":      {CipherDES, ""},
		"Rijndael": {CipherRijndael, ""},
		"RIJNDAEL": {CipherRijndael, ""},
		"none":     {CipherNone, ""},
		"None":     {CipherNone, ""},
		"":         {"", `cipher "" is unknown, want "Blowfish", "DES", "Rijndael" or "none"`},
		"DES ":     {"", `cipher "DES " is unknown, want "Blowfish", "DES", "Rijndael" or "none"`},
		"AES":      {"", `cipher "AES" is unknown, want "Blowfish", "DES", "Rijndael" or "none"`},
		"idea": {"", `cipher "IDEA" is not supported: it was patented until 2012, ` +
			`and there is neither a maintained Go implementation nor a Crypt::IDEA in Debian to hold it against`},
		"RSA": {"", `cipher "RSA" is not supported: Crypt::CBC takes block ciphers, which it is not, ` +
			`and with even the weakest key of 512 bits a knock would be 64 ports long`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseCipher(name)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if got != test.want || text != test.error {
				t.Errorf("got %q, %q, want %q, %q", got, text, test.want, test.error)
			}
		})
	}
}

// The sequences of the default IVs, made with Crypt::CBC 3.04 by testdata/knock.pl:
//
//	seal DES none 6b6e6f636b 3031323334353637 142.103.205.1 22 15
//	seal Rijndael none 6b6e6f636b 30313233343536373031323334353637 142.103.205.1 22 15
//
// That without a cipher is the payload, each byte and 745.
func TestDefaultIVs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options Options
		want    []uint16
	}{
		"DES":      {Options{Passphrase: []byte("knock"), Cipher: CipherDES}, []uint16{903, 762, 977, 776, 876, 776, 939, 773}},
		"Rijndael": {Options{Passphrase: []byte("knock"), Cipher: CipherRijndael}, []uint16{846, 807, 808, 909, 930, 933, 945, 981, 927, 890, 827, 906, 811, 995, 903, 950}},
		"none":     {Options{Cipher: CipherNone}, []uint16{887, 848, 950, 746, 767, 760, 978, 746}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCodec(t, test.options)
			ports, err := c.Seal(publishedPayload)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, ports); diff != "" {
				t.Errorf("ports (-want +got):\n%s", diff)
			}
			checkOpens(t, c, test.want, publishedPayload)
			block := c.Block(ports)
			for i, port := range ports[len(ports)-8:] {
				if block[i] != byte(port-745) {
					t.Errorf("block %v is not the last 8 of %v", block, ports)
				}
			}
		})
	}
}

// A knock of one cipher is none of another's, though the passphrase is the same.
func TestCiphersDiffer(t *testing.T) {
	t.Parallel()
	for _, from := range []Cipher{CipherBlowfish, CipherDES, CipherRijndael} {
		ports, err := newCodec(t, Options{Passphrase: []byte("knock"), Cipher: from}).Seal(publishedPayload)
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range []Cipher{CipherBlowfish, CipherDES, CipherRijndael} {
			if p, err := newCodec(t, Options{Passphrase: []byte("knock"), Cipher: to}).Open(ports); (err == nil) != (from == to) {
				t.Errorf("a knock of %s is with %s %v, %v", from, to, p, err)
			}
		}
	}
}

func TestOpenClearRefusals(t *testing.T) {
	t.Parallel()
	c := newClear(t)
	ports, err := c.Seal(publishedPayload)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		ports []uint16
		want  string
	}{
		"padding of 0": {with(ports, 7, 745), ErrPadding.Error()},
		"padding of 2": {with(ports, 7, 747), ErrPadding.Error()},
		"checksum":     {with(ports, 6, 745), ErrChecksum.Error()},
		"address":      {with(ports, 0, 745), ErrChecksum.Error()},
		"7 knocks":     {ports[:7], "wrong number of knocks: got 7, want 8"},
		"port":         {with(ports, 0, 744), "port is not one of the knock ports: knock 1 goes to port 744, want 745 to 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := c.Open(test.ports)
			if err == nil || p != (Payload{}) {
				t.Fatalf("Open = %v, %v, want an error", p, err)
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}
