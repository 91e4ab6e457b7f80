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

// randomMessages draws messages from the run's seed, which it logs. The first ones have
// what a program in Perl or C might stumble over.
func randomMessages(t *testing.T) []message {
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
		{[]byte("0"), []byte("01234567"), nil},
		{[]byte{0}, make([]byte, 8), []byte("0")},
		{bytes.Repeat([]byte{0xff}, 100), []byte("\n\n\n\n\n\n\n\n"), []byte("\x01\x01\x01\x01\x01\x01\x01\x01")},
		{[]byte("caf\xc3\xa9\n"), []byte("\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8"), []byte("12345678")},
	}
	for len(messages) < perlCases {
		messages = append(messages, message{draw(1 + r.IntN(100)), draw(8), draw(r.IntN(65))})
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
		t.Fatalf("failed to run %q: %v (needs the Debian packages perl, libcrypt-cbc-perl and libcrypt-blowfish-perl)\n%s",
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

func TestPerlEncryptsGoDecrypts(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"none", "randomiv"} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			messages := randomMessages(t)
			var lines []string
			for _, m := range messages {
				lines = append(lines, fmt.Sprintf("encrypt %s %x %x %s", header, m.passphrase, m.iv, hexWord(m.plaintext)))
			}
			for i, encrypted := range perl(t, lines) {
				m := messages[i]
				c := newCipher(t, string(m.passphrase))
				var got []byte
				var err error
				if header == "none" {
					got, err = c.Decrypt(m.iv, encrypted)
				} else {
					got, err = c.DecryptRandomIV(encrypted, BlockSize)
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
	for _, header := range []string{"none", "randomiv"} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			messages := randomMessages(t)
			var lines []string
			for _, m := range messages {
				ciphertext := encryptForPerl(t, header, m)
				lines = append(lines, fmt.Sprintf("decrypt none %x %x %x", m.passphrase, m.iv, ciphertext))
			}
			for i, got := range perl(t, lines) {
				if want := messages[i].plaintext; !bytes.Equal(got, want) {
					t.Errorf("%s: perl got %x, want %x", lines[i], got, want)
				}
			}
		})
	}
}

// encryptForPerl returns the ciphertext without its header, since Crypt::CBC 3.04
// cannot decrypt what begins with one, not even its own.
func encryptForPerl(t *testing.T, header string, m message) []byte {
	t.Helper()
	c := newCipher(t, string(m.passphrase))
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
