package test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/portknock/knock/pkg/knocklab"
)

// labInput is a knock as the Knock Lab's page asks for it.
type labInput struct {
	Passphrase string `json:"passphrase"`
	Cipher     string `json:"cipher"`
	Header     string `json:"header"`
	IV         string `json:"iv"`
	IVForm     string `json:"ivForm"`
	First      string `json:"first"`
	IP         string `json:"ip"`
	Port       string `json:"port"`
	Time       string `json:"time"`

	iv []byte
}

// sealInLab asks the lab at url for a knock.
func sealInLab(url string, in labInput) (made knocklab.Trace, err error) {
	question, err := json.Marshal(in)
	if err != nil {
		return made, err
	}
	response, err := http.Post(url+"seal", "application/json", bytes.NewReader(question))
	if err != nil {
		return made, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return made, fmt.Errorf("status %s", response.Status)
	}
	return made, json.NewDecoder(response.Body).Decode(&made)
}

// printedPorts gives what knockclient -test prints for the same knock. The passphrase
// is in a file of dir's.
func printedPorts(client, dir string, in labInput) (string, error) {
	args := []string{
		"-test", "-ip", in.IP, "-port", in.Port, "-time", in.Time, "-cipher", in.Cipher, "-header", in.Header, "-port-min", in.First,
	}
	if len(in.iv) > 0 {
		args = append(args, "-iv="+string(in.iv))
	}
	if in.Cipher != "none" {
		file := filepath.Join(dir, "key")
		if err := os.WriteFile(file, []byte(in.Passphrase+"\n"), 0o600); err != nil {
			return "", err
		}
		args = append(args, "-key-file", file)
	}
	cmd := exec.Command(client, args...)
	cmd.Env = []string{"HOME=" + dir}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%q: %w: %s", args, err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// randomInput draws a knock of any kind.
func randomInput(r *rand.Rand) labInput {
	in := labInput{
		Cipher: []string{"Blowfish", "DES", "Rijndael", "none"}[r.IntN(4)], Header: []string{"none", "randomiv"}[r.IntN(2)],
		IVForm: "hex", First: fmt.Sprint(1 + r.IntN(65280)),
		IP:   fmt.Sprintf("%d.%d.%d.%d", r.IntN(256), r.IntN(256), r.IntN(256), r.IntN(256)),
		Port: fmt.Sprint(r.IntN(256)), Time: fmt.Sprint(r.IntN(256)),
	}
	if in.Cipher == "none" {
		in.Header = "none"
		return in
	}
	letters := []rune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~äßéλ€漢😀")
	for range 1 + r.IntN(80) {
		in.Passphrase += string(letters[r.IntN(len(letters))])
	}
	n := 8
	switch {
	case in.Cipher == "Rijndael":
		in.Header, n = "none", 16
	case in.Header == "randomiv":
		n = 1 + r.IntN(8)
	case r.IntN(4) == 0:
		n = 0 // what is agreed on when nothing else is
	}
	for range n {
		in.iv = append(in.iv, byte(1+r.IntN(255))) // no argument has a zero byte
	}
	in.IV = hex.EncodeToString(in.iv)
	return in
}

// The lab's figures are those of the command, for 1,000 knocks of every kind.
func TestKnockLabAgreesWithTheClient(t *testing.T) {
	t.Parallel()
	const all, workers = 1000, 4
	url := startLab(t)
	client := filepath.Join(buildCommands(t), "knockclient")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var group sync.WaitGroup
	for worker := range workers {
		dir := t.TempDir()
		group.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(worker)))
			for range all / workers {
				in := randomInput(r)
				want, err := printedPorts(client, dir, in)
				if err != nil {
					t.Error(err)
					return
				}
				made, err := sealInLab(url, in)
				if err != nil || made.Sequence != want {
					t.Errorf("%+v: the lab has %q, %v; the client %q", in, made.Sequence, err, want)
					return
				}
			}
		})
	}
	group.Wait()
}

// The command that the page shows prints the ports that it shows, also by way of a shell.
func TestKnockLabCommand(t *testing.T) {
	t.Parallel()
	url, bin := startLab(t), buildCommands(t)
	for name, in := range map[string]labInput{
		"fixed IV":    {Passphrase: "knock", IP: "142.103.205.1", Port: "22", Time: "15"},
		"none":        {Cipher: "none", IP: "0.0.0.0", Port: "0", Time: "255"},
		"quotes":      {Passphrase: "a b", Header: "randomiv", IV: "it's $H0", IP: "192.0.2.1", Port: "22", Time: "0", First: "2000"},
		"dashes":      {Passphrase: "a b", Cipher: "DES", IV: "-iv=-h--", IP: "192.0.2.1", Port: "22", Time: "0"},
		"not letters": {Passphrase: "x", Cipher: "Rijndael", IV: "0a0d2720247f80ff0a0d2720247f80fe", IVForm: "hex", IP: "192.0.2.1", Port: "22", Time: "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			made, err := sealInLab(url, in)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			writeTemp(t, dir, "knock.key", in.Passphrase+"\n", 0o600)
			cmd := exec.Command("bash", "-c", made.Command)
			cmd.Dir, cmd.Env = dir, []string{"PATH=" + bin, "HOME=" + dir}
			out, err := cmd.Output()
			if err != nil || strings.TrimSpace(string(out)) != made.Sequence {
				t.Errorf("%s: %q, %v; want %q", made.Command, out, err, made.Sequence)
			}
		})
	}
}
