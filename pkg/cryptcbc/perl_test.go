package cryptcbc

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// perlCases is how many random messages go each way, for each header.
const perlCases = 500

// message is a random message to be agreed on with Perl.
type message struct{ passphrase, iv, plaintext []byte }

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

// forms are the ciphers and headers that Crypt::CBC has.
var forms = []struct {
	cipher, header string
	new            func(passphrase []byte) (*Cipher, error)
}{
	{"Blowfish", "none", New},
	{"Blowfish", "randomiv", New},
	{"DES", "none", NewDES},
	{"DES", "randomiv", NewDES},
	{"Rijndael", "none", NewRijndael},
}

// randomMessages draws messages with an IV of size bytes from the run's seed, which it
// logs. The first ones have what a program in Perl or C might stumble over.
func randomMessages(t *testing.T, size int) []message {
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
	messages := []message{
		{[]byte("0"), bytes.Repeat([]byte("0"), size), nil},
		{[]byte{0}, make([]byte, size), []byte("0")},
		{bytes.Repeat([]byte{0xff}, 100), bytes.Repeat([]byte("\n"), size), bytes.Repeat([]byte{1}, size)},
		{[]byte("caf\xc3\xa9\n"), bytes.Repeat([]byte("\xff\xfe"), size/2), bytes.Repeat([]byte{byte(size)}, size)},
	}
	for len(messages) < perlCases {
		messages = append(messages, message{draw(1 + r.IntN(100)), draw(size), draw(r.IntN(65))})
	}
	return messages
}

func hexWord(b []byte) string {
	if len(b) == 0 {
		return "-"
	}
	return hex.EncodeToString(b)
}

// perl gives the lines to testdata/cbc.pl and returns its answers.
func perl(t *testing.T, lines []string) [][]byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "perl", "testdata/cbc.pl")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("failed to run %q: %v (needs the Debian packages perl and libcrypt-{cbc,blowfish,des,rijndael}-perl)\n%s",
			cmd.Args, err, stderr.String())
	}
	answers := strings.Fields(string(out))
	if len(answers) != len(lines) {
		t.Fatalf("perl gave %d answers, want %d", len(answers), len(lines))
	}
	decoded := make([][]byte, len(answers))
	for i, answer := range answers {
		if answer == "-" {
			continue
		}
		if decoded[i], err = hex.DecodeString(answer); err != nil {
			t.Fatalf("perl's answer %q: %v", answer, err)
		}
	}
	return decoded
}

func newForPerl(t *testing.T, new func([]byte) (*Cipher, error), passphrase []byte) *Cipher {
	t.Helper()
	c, err := new(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPerlEncryptsGoDecrypts(t *testing.T) {
	t.Parallel()
	for _, f := range forms {
		t.Run(f.cipher+"/"+f.header, func(t *testing.T) {
			t.Parallel()
			size := newForPerl(t, f.new, []byte("x")).BlockSize()
			messages := randomMessages(t, size)
			var lines []string
			for _, m := range messages {
				lines = append(lines, fmt.Sprintf("encrypt %s %s %x %x %s", f.cipher, f.header, m.passphrase, m.iv, hexWord(m.plaintext)))
			}
			for i, encrypted := range perl(t, lines) {
				m := messages[i]
				c := newForPerl(t, f.new, m.passphrase)
				var got []byte
				var err error
				if f.header == "none" {
					got, err = c.Decrypt(m.iv, encrypted)
				} else {
					got, err = c.DecryptRandomIV(encrypted, size)
				}
				if err != nil || !bytes.Equal(got, m.plaintext) {
					t.Errorf("%s: perl made %x; got %x, %v", lines[i], encrypted, got, err)
				}
			}
		})
	}
}

func TestGoEncryptsPerlDecrypts(t *testing.T) {
	t.Parallel()
	for _, f := range forms {
		t.Run(f.cipher+"/"+f.header, func(t *testing.T) {
			t.Parallel()
			messages := randomMessages(t, newForPerl(t, f.new, []byte("x")).BlockSize())
			var lines []string
			for _, m := range messages {
				ciphertext := encryptForPerl(t, newForPerl(t, f.new, m.passphrase), f.header, m)
				lines = append(lines, fmt.Sprintf("decrypt %s none %x %x %x", f.cipher, m.passphrase, m.iv, ciphertext))
			}
			for i, got := range perl(t, lines) {
				if want := messages[i].plaintext; !bytes.Equal(got, want) {
					t.Errorf("%s: perl got %x, want %x", lines[i], got, want)
				}
			}
		})
	}
}

// Crypt::CBC has no such message either.
func TestPerlRefusesRijndaelWithHeader(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "perl", "testdata/cbc.pl")
	cmd.Stdin = strings.NewReader("encrypt Rijndael randomiv 6b 30313233343536373031323334353637 00\n")
	out, err := cmd.CombinedOutput()
	if want := "non-8 byte blocksize cipher"; err == nil || !strings.Contains(string(out), want) {
		t.Errorf("perl: %v, %s, want an error with %q", err, out, want)
	}
}

// encryptForPerl returns the ciphertext without its header, since Crypt::CBC 3.04
// cannot decrypt what begins with one, not even its own.
func encryptForPerl(t *testing.T, c *Cipher, header string, m message) []byte {
	t.Helper()
	if header == "none" {
		ciphertext, err := c.Encrypt(m.iv, m.plaintext)
		if err != nil {
			t.Fatal(err)
		}
		return ciphertext
	}
	message, err := c.EncryptRandomIV(m.iv, m.plaintext)
	if err != nil {
		t.Fatal(err)
	}
	ciphertext, found := bytes.CutPrefix(message, append([]byte("RandomIV"), m.iv...))
	if !found {
		t.Fatalf("message %x does not begin with RandomIV and %x", message, m.iv)
	}
	return ciphertext
}
