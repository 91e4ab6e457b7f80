package knock

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// perlCases is how many random knocks go each way, for each header.
const perlCases = 500

// agreed is a random knock to be agreed on with Perl.
type agreed struct {
	passphrase, iv []byte
	payload        Payload
}

// startedAt seeds a run of these tests unless PERL_SEED, from the log of a run
// that failed, does.
var startedAt = uint64(time.Now().UnixNano())

func perlSeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("PERL_SEED")
	if text == "" {
		return startedAt
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("PERL_SEED is %q, want a number: %v", text, err)
	}
	return seed
}

// forms are the ciphers and headers that Crypt::CBC has, and the IV's length.
var forms = []struct {
	cipher Cipher
	header Header
	size   int
}{
	{CipherBlowfish, HeaderNone, 8},
	{CipherBlowfish, HeaderRandomIV, 8},
	{CipherDES, HeaderNone, 8},
	{CipherDES, HeaderRandomIV, 8},
	{CipherRijndael, HeaderNone, 16},
}

// randomKnocks draws knocks with an IV of size bytes from the run's seed, which it logs. The
// first ones have what a program in Perl or C might stumble over.
func randomKnocks(t *testing.T, size int) []agreed {
	t.Helper()
	seed := perlSeed(t)
	t.Logf("PERL_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	draw := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	knocks := []agreed{
		{[]byte("0"), bytes.Repeat([]byte(DefaultIV), size/8), publishedPayload},
		{[]byte{0}, make([]byte, size), Payload{IP: netip.MustParseAddr("0.0.0.0")}},
		{bytes.Repeat([]byte{0xff}, 100), bytes.Repeat([]byte("\n"), size), Payload{netip.MustParseAddr("255.255.255.255"), 255, Close}},
		{[]byte("caf\xc3\xa9\n"), bytes.Repeat([]byte("\xff\xfe"), size/2), Payload{netip.MustParseAddr("192.0.2.1"), 22, Forever}},
	}
	for len(knocks) < perlCases {
		b := draw(6)
		payload := Payload{IP: netip.AddrFrom4([4]byte(b)), Port: b[4], Time: b[5]}
		knocks = append(knocks, agreed{draw(1 + r.IntN(100)), draw(size), payload})
	}
	return knocks
}

// perl gives the lines to testdata/knock.pl and returns its answers.
func perl(t *testing.T, lines []string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "perl", "testdata/knock.pl")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("failed to run %q: %v (needs the Debian packages perl and libcrypt-{cbc,blowfish,des,rijndael}-perl)\n%s",
			cmd.Args, err, stderr.String())
	}
	answers := slices.Collect(strings.Lines(string(out)))
	if len(answers) != len(lines) {
		t.Fatalf("perl gave %d answers, want %d", len(answers), len(lines))
	}
	return answers
}

func TestPerlSealsGoOpens(t *testing.T) {
	t.Parallel()
	for _, f := range forms {
		t.Run(string(f.cipher)+"/"+string(f.header), func(t *testing.T) {
			t.Parallel()
			knocks := randomKnocks(t, f.size)
			var lines []string
			for _, k := range knocks {
				lines = append(lines, fmt.Sprintf("seal %s %s %x %x %s %d %d",
					f.cipher, f.header, k.passphrase, k.iv, k.payload.IP, k.payload.Port, k.payload.Time))
			}
			for i, answer := range perl(t, lines) {
				k := knocks[i]
				o := Options{Passphrase: k.passphrase, Cipher: f.cipher, Header: f.header}
				if f.header == HeaderNone {
					o.IV = k.iv // otherwise the knock says what it is
				}
				got, err := newCodec(t, o).Open(parsePorts(t, answer))
				if err != nil || got != k.payload {
					t.Errorf("%s: perl knocks at %s; got %v, %v", lines[i], answer, got, err)
				}
			}
		})
	}
}

func TestGoSealsPerlOpens(t *testing.T) {
	t.Parallel()
	for _, f := range forms {
		t.Run(string(f.cipher)+"/"+string(f.header), func(t *testing.T) {
			t.Parallel()
			knocks := randomKnocks(t, f.size)
			var lines []string
			for _, k := range knocks {
				ports, err := newCodec(t, Options{Passphrase: k.passphrase, Cipher: f.cipher, Header: f.header, IV: k.iv}).Seal(k.payload)
				if err != nil {
					t.Fatal(err)
				}
				if f.header == HeaderRandomIV {
					ports = cutHeader(t, ports, k.iv)
				}
				lines = append(lines, fmt.Sprintf("open %s none %x %x %s", f.cipher, k.passphrase, k.iv, strings.Trim(fmt.Sprint(ports), "[]")))
			}
			for i, answer := range perl(t, lines) {
				p := knocks[i].payload
				if want := fmt.Sprintf("%s %d %d\n", p.IP, p.Port, p.Time); answer != want {
					t.Errorf("%s: perl got %q, want %q", lines[i], answer, want)
				}
			}
		})
	}
}

// cutHeader takes "RandomIV" and iv off ports, since Crypt::CBC 3.04 cannot
// decrypt what begins with them, not even its own.
func cutHeader(t *testing.T, ports []uint16, iv []byte) []uint16 {
	t.Helper()
	header := []byte("RandomIV" + string(iv))
	if len(ports) != len(header)+8 {
		t.Fatalf("%d knocks, want %d", len(ports), len(header)+8)
	}
	for i, b := range header {
		if ports[i] != DefaultPortMin+uint16(b) {
			t.Fatalf("ports %v do not begin with RandomIV and %x", ports, iv)
		}
	}
	return ports[len(header):]
}

func parsePorts(t *testing.T, text string) []uint16 {
	t.Helper()
	var ports []uint16
	for _, word := range strings.Fields(text) {
		var port uint16
		if _, err := fmt.Sscan(word, &port); err != nil {
			t.Fatalf("perl's port %q: %v", word, err)
		}
		ports = append(ports, port)
	}
	return ports
}
