package knock

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// bytesOf is a JSON list of byte values, which a []byte would not be.
type bytesOf []uint16

func (b bytesOf) bytes() []byte {
	out := make([]byte, len(b))
	for i, n := range b {
		out[i] = byte(n)
	}
	return out
}

// vector is one knock and the agreement it was made under.
type vector struct {
	name    string
	options Options
	payload []byte
	ports   []uint16
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

// readSeed returns the five published sequences, which were made with the
// Crypt::CBC of their day; three have an IV of 4 bytes.
func readSeed(t testing.TB) []vector {
	t.Helper()
	var file struct {
		Key     string `json:"key"`
		PortMin uint16 `json:"port_min"`
		Vectors []struct {
			Name      string   `json:"name"`
			IV        string   `json:"iv"`
			PrependIV bool     `json:"prepend_iv"`
			Payload   bytesOf  `json:"payload"`
			Ports     []uint16 `json:"ports"`
		} `json:"vectors"`
	}
	readJSON(t, "testdata/seed.json", &file)
	if len(file.Vectors) != 5 {
		t.Fatalf("seed.json has %d vectors, want 5", len(file.Vectors))
	}
	var vectors []vector
	for _, v := range file.Vectors {
		o := Options{Passphrase: []byte(file.Key), IV: []byte(v.IV), PortMin: file.PortMin}
		if v.PrependIV {
			o.Header = HeaderRandomIV
		}
		vectors = append(vectors, vector{v.Name, o, v.Payload.bytes(), v.Ports})
	}
	return vectors
}

// readCryptCBC returns the 60 sequences of a file made with Crypt::CBC 3.04.
func readCryptCBC(t testing.TB, path string) []vector {
	t.Helper()
	var file struct {
		PortMin uint16 `json:"port_min"`
		Vectors []struct {
			Cipher     Cipher   `json:"cipher"`
			Header     Header   `json:"header"`
			Passphrase string   `json:"passphrase"`
			IV         bytesOf  `json:"iv"`
			Payload    bytesOf  `json:"payload"`
			Ports      []uint16 `json:"ports"`
		} `json:"vectors"`
	}
	readJSON(t, path, &file)
	if len(file.Vectors) != 60 {
		t.Fatalf("%s has %d vectors, want 60", path, len(file.Vectors))
	}
	var vectors []vector
	for i, v := range file.Vectors {
		o := Options{Passphrase: []byte(v.Passphrase), Cipher: v.Cipher, Header: v.Header, IV: v.IV.bytes(), PortMin: file.PortMin}
		vectors = append(vectors, vector{fmt.Sprintf("%02d %s %s", i, v.Cipher, v.Header), o, v.Payload.bytes(), v.Ports})
	}
	return vectors
}

func TestSeedVectors(t *testing.T) {
	t.Parallel()
	for _, v := range readSeed(t) {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			v.check(t)
		})
	}
}

func TestCryptCBCVectors(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"testdata/crypt-cbc.json", "../cryptcbc/testdata/ciphers.json"} {
		for _, v := range readCryptCBC(t, path) {
			t.Run(v.name, func(t *testing.T) {
				t.Parallel()
				v.check(t)
			})
		}
	}
}

// check seals and opens v, and opens it once more as a side that does not know
// the IV but for its length, if the sequence carries it.
func (v vector) check(t *testing.T) {
	t.Helper()
	want := Payload{IP: netip.AddrFrom4([4]byte(v.payload[:4])), Port: v.payload[4], Time: v.payload[5]}
	if got := want.Checksum(); got != v.payload[6] {
		t.Errorf("checksum %d, want %d", got, v.payload[6])
	}
	c := newCodec(t, v.options)
	ports, err := c.Seal(want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v.ports, ports); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
	checkOpens(t, c, v.ports, want)
	if v.options.Header == HeaderRandomIV {
		o := v.options
		o.IV, o.IVLength = nil, len(v.options.IV)
		checkOpens(t, newCodec(t, o), v.ports, want)
	}
}

func checkOpens(t *testing.T, c *Codec, ports []uint16, want Payload) {
	t.Helper()
	got, err := c.Open(ports)
	if err != nil {
		t.Fatalf("Open(%v): %v", ports, err)
	}
	if got != want {
		t.Errorf("Open(%v) = %v, want %v", ports, got, want)
	}
}

func newCodec(t testing.TB, o Options) *Codec {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
