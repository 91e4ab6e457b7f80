package knocklab

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/knock"
)

// vector is a published knock, as a learner types it.
type vector struct {
	name  string
	in    Input
	plain []int // the payload
	ports []uint16
}

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("failed to parse %q: %v", path, err)
	}
}

// wishOf types a payload.
func wishOf(b []int) Wish {
	return Wish{IP: fmt.Sprintf("%d.%d.%d.%d", b[0], b[1], b[2], b[3]), Port: fmt.Sprint(b[4]), Time: fmt.Sprint(b[5])}
}

// readSeed returns the five sequences that were published with the prototype.
func readSeed(t testing.TB) (vectors []vector) {
	t.Helper()
	var file struct {
		Key     string
		PortMin uint16 `json:"port_min"`
		Vectors []struct {
			Name      string
			IV        string
			PrependIV bool `json:"prepend_iv"`
			Payload   []int
			Ports     []uint16
		}
	}
	readJSON(t, "../knock/testdata/seed.json", &file)
	for _, v := range file.Vectors {
		a := Agreement{Passphrase: file.Key, IV: v.IV, First: fmt.Sprint(file.PortMin)}
		if v.PrependIV {
			a.Header = "randomiv"
		}
		vectors = append(vectors, vector{v.Name, Input{a, wishOf(v.Payload)}, v.Payload, v.Ports})
	}
	if len(vectors) != 5 {
		t.Fatalf("%d published vectors, want 5", len(vectors))
	}
	return vectors
}

// readCryptCBC returns what Crypt::CBC 3.04 made, with each cipher.
func readCryptCBC(t testing.TB) (vectors []vector) {
	t.Helper()
	for _, path := range []string{"../knock/testdata/crypt-cbc.json", "../cryptcbc/testdata/ciphers.json"} {
		var file struct {
			PortMin uint16 `json:"port_min"`
			Vectors []struct {
				Cipher, Header, Passphrase string
				IV, Payload                []int
				Ports                      []uint16
			}
		}
		readJSON(t, path, &file)
		if len(file.Vectors) != 60 {
			t.Fatalf("%s has %d vectors, want 60", path, len(file.Vectors))
		}
		for i, v := range file.Vectors {
			iv := make([]byte, len(v.IV))
			for i, b := range v.IV {
				iv[i] = byte(b)
			}
			a := Agreement{
				Passphrase: v.Passphrase, Cipher: v.Cipher, Header: v.Header, IV: hex.EncodeToString(iv), IVForm: "hex",
				First: fmt.Sprint(file.PortMin),
			}
			vectors = append(vectors, vector{fmt.Sprintf("%02d %s %s", i, v.Cipher, v.Header), Input{a, wishOf(v.Payload)}, v.Payload, v.Ports})
		}
	}
	return vectors
}

// Every step of every vector is right: made and read it is the same, and the steps
// lead from one to the next.
func TestVectors(t *testing.T) {
	t.Parallel()
	for _, v := range append(readSeed(t), readCryptCBC(t)...) {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			made, err := Seal(v.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(v.ports, made.Ports); diff != "" {
				t.Errorf("ports (-want +got)\n%s", diff)
			}
			checkTrace(t, made)
			if diff := cmp.Diff(v.plain, values(made.Payload)); diff != "" {
				t.Errorf("payload (-want +got)\n%s", diff)
			}
			read, err := Open(v.in.Agreement, made.Sequence)
			if err != nil {
				t.Fatal(err)
			}
			want := Opened{
				Good: true, At: "end", Says: made.Says, Steps: made.Steps, Key: made.Key, IV: made.IV, Block: made.Block,
				Padding: made.Padding, Payload: made.Payload, Sum: &made.Sum,
				Ports: v.ports, Sequence: made.Sequence, First: made.First, Last: made.Last,
			}
			if diff := cmp.Diff(want, read); diff != "" {
				t.Errorf("read (-want +got)\n%s", diff)
			}
		})
	}
}

func values(parts []part) (all []int) {
	for _, p := range parts {
		all = append(all, p.Value)
	}
	return all
}

// checkTrace fails if a step does not follow from the one before.
func checkTrace(t testing.TB, made Trace) {
	t.Helper()
	plain := append(values(made.Payload), made.Padding...)
	if diff := cmp.Diff(plain, made.Block.Plain); diff != "" {
		t.Errorf("the block is not the payload and its padding (-want +got)\n%s", diff)
	}
	for i, b := range made.Block.Mask {
		if made.Block.Plain[i]^b != made.Block.Mixed[i] {
			t.Errorf("byte %d: %d ⊕ %d is not %d", i, made.Block.Plain[i], b, made.Block.Mixed[i])
		}
	}
	end := made.Steps[len(made.Steps)-len(plain):]
	for i, s := range made.Steps {
		if s.Port != made.First+uint16(s.Byte) || s.Port != made.Ports[i] {
			t.Errorf("knock %d: port %d, byte %d, first port %d", i, s.Port, s.Byte, made.First)
		}
	}
	for i, b := range made.Block.Sealed {
		if end[i].Byte != b || end[i].Kind != "block" {
			t.Errorf("byte %d of the block is %d, and the knock is %v", i, b, end[i])
		}
	}
	ip, err := netip.ParseAddr(fmt.Sprintf("%d.%d.%d.%d", plain[0], plain[1], plain[2], plain[3]))
	if err != nil {
		t.Fatal(err)
	}
	if p := (knock.Payload{IP: ip, Port: uint8(plain[4]), Time: uint8(plain[5])}); int(p.Checksum()) != made.Sum.Rest || p.String() != made.Says {
		t.Errorf("%q with the checksum %d, want %q, %d", made.Says, made.Sum.Rest, p, p.Checksum())
	}
}
