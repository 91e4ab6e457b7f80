package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"
)

// The page does in a real browser what it is for, asks nobody but its own server, and
// has nothing to complain of.
func TestKnockLabPage(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	for _, part := range []struct {
		name string
		look func(*testing.T, *browser)
	}{
		{"published", labPublished},
		{"steps", labSteps},
		{"player", labPlayer},
		{"faults", labFaults},
		{"read", labRead},
		{"copy", labCopy},
		{"forge", labForge},
		{"keyboard", labKeyboard},
		{"names", labNames},
		{"without motion", labWithoutMotion},
		{"pictures", labPictures},
		{"example", labExample},
	} {
		t.Run(part.name, func(t *testing.T) {
			b.open(t)
			part.look(t, b)
		})
	}
	b.t = t
	b.mu.Lock()
	for _, url := range b.requests {
		if !strings.HasPrefix(url, b.url) {
			t.Errorf("the page asks for %s", url)
		}
	}
	if len(b.requests) < 50 || len(b.said) > 0 {
		t.Errorf("%d requests were seen, and the console says %q", len(b.requests), b.said)
	}
	b.mu.Unlock()
	labOtherName(t, b)
}

// publishedKnock is one of the five sequences that were published.
type publishedKnock struct {
	Name      string
	IV        string
	PrependIV bool `json:"prepend_iv"`
	Payload   []uint16
	Ports     []uint16
}

func (k publishedKnock) header() string {
	if k.PrependIV {
		return "randomiv"
	}
	return "none"
}

func publishedKnocks(t *testing.T) []publishedKnock {
	t.Helper()
	text, err := os.ReadFile("../pkg/knock/testdata/seed.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []publishedKnock }
	if err := json.Unmarshal(text, &file); err != nil || len(file.Vectors) != 5 {
		t.Fatalf("%d published knocks, %v", len(file.Vectors), err)
	}
	return file.Vectors
}

// numerals gives numbers as the page shows them.
func numerals[T any](numbers []T) (all []string) {
	for _, n := range numbers {
		all = append(all, fmt.Sprint(n))
	}
	return all
}

// wantSame compares what is shown.
func wantSame[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", what, diff)
	}
}

// The published knocks, typed: each figure is what the client and the publication say.
func labPublished(t *testing.T, b *browser) {
	client := filepath.Join(buildCommands(t), "knockclient")
	for _, k := range publishedKnocks(t) {
		b.fill("ip", fmt.Sprintf("%d.%d.%d.%d", k.Payload[0], k.Payload[1], k.Payload[2], k.Payload[3]))
		b.fill("port", fmt.Sprint(k.Payload[4]))
		b.fill("time", fmt.Sprint(k.Payload[5]))
		b.fill("passphrase", "knock")
		b.choose("header", k.header())
		b.fill("iv", k.IV)
		b.settled("make")
		printed, err := printedPorts(client, t.TempDir(), labInput{
			Passphrase: "knock", Cipher: "Blowfish", Header: k.header(), First: "745", iv: []byte(k.IV),
			IP: fmt.Sprintf("%d.%d.%d.%d", k.Payload[0], k.Payload[1], k.Payload[2], k.Payload[3]), Port: fmt.Sprint(k.Payload[4]), Time: fmt.Sprint(k.Payload[5]),
		})
		if err != nil {
			t.Fatal(err)
		}
		ports := strings.Fields(printed)
		wantSame(t, k.Name+": the client's ports", numerals(k.Ports), ports)
		wantSame(t, k.Name+": ports", printed, b.text("#ports"))
		wantSame(t, k.Name+": table of ports", ports, b.column("#message", 3))
		wantSame(t, k.Name+": drawing", ports, b.texts("#make-drawing .canvas .mark text"))
		wantSame(t, k.Name+": payload", numerals(k.Payload), b.column("#payload", 2))
		wantSame(t, k.Name+": plain block", append(numerals(k.Payload), "1"), b.column("#block", 2))
		var sealed []string
		for _, port := range k.Ports[len(k.Ports)-8:] {
			sealed = append(sealed, fmt.Sprint(port-745))
		}
		wantSame(t, k.Name+": encrypted block", sealed, b.column("#block", 5))
		if sum := b.text("#payload .sum"); !strings.HasSuffix(sum, fmt.Sprintf("mod 255 = %d", k.Payload[6])) {
			t.Errorf("%s: sum %q, want %d", k.Name, sum, k.Payload[6])
		}
	}
}

// All that a learner sees of one knock.
func labSteps(t *testing.T, b *browser) {
	wantSame(t, "status", "Open 142.103.205.1 port 22 for 15 min: 8 tries", b.text("#make-status"))
	wantSame(t, "sum", "142 + 103 + 205 + 1 + 22 + 15 = 488, and 488 mod 255 = 233", b.text("#payload .sum"))
	wantSame(t, "IV", []string{"48", "49", "50", "51", "52", "53", "54", "55"}, b.column("#block", 3))
	wantSame(t, "mixed", []string{"190", "86", "255", "50", "34", "58", "223", "54"}, b.column("#block", 4))
	wantSame(t, "digests", []string{
		"4be17d184b54c2111dcb318921909b83", "0e427ea9613415881e5652c2e8a7d65c",
		"93121d9468b0c19805bcb1e32db90770", "a8a6e8381e59a0dae7370d77b0e5da7d",
	}, b.texts("#key code"))
	wantSame(t, "cut off", "e7370d77b0e5da7d", strings.Join(b.texts("#key .cut"), ""))
	wantSame(t, "command", "knockclient -ip 142.103.205.1 -port 22 -time 15 -key-file knock.key -test", b.text("#command"))

	b.run(chromedp.Click("input[value=hex]", chromedp.ByQuery))
	wantSame(t, "hexadecimal", []string{"8e", "67", "cd", "01", "16", "0f", "e9"}, b.column("#payload", 2))
	b.run(chromedp.Click("input[value=dec]", chromedp.ByQuery))

	b.choose("cipher", "Rijndael")
	b.settled("make")
	wantSame(t, "Rijndael's padding", slices.Repeat([]string{"9"}, 9), b.column("#block", 2)[7:])
	wantSame(t, "Rijndael's key", 64, len(strings.Join(b.texts("#key .used"), "")))
	b.choose("cipher", "none")
	b.settled("make")
	wantSame(t, "in clear", "887 848 950 746 767 760 978 746", b.text("#ports"))
	wantSame(t, "legend", "block, in clear", b.text("#make-drawing .legend"))
	wantSame(t, "disabled", []string{"passphrase", "header", "iv", "ivForm"}, js[[]string](b, "[...document.querySelectorAll('#make-form input:disabled, #make-form select:disabled')].map((e) => e.id)"))
}

// The knock is drawn one port after the other, and stops when it is told to.
func labPlayer(t *testing.T, b *browser) {
	const shown = "[...document.querySelectorAll('#make-drawing .canvas .mark.on')].length"
	play := func(n int) string {
		return fmt.Sprintf("document.querySelector('#make-drawing .controls button:nth-child(%d)')", n)
	}
	b.wait(shown + " === 8 && " + play(1) + ".innerText === 'Play'") // it plays by itself at first
	b.run(chromedp.Evaluate(play(1)+".click()", nil))
	b.wait(shown + " >= 2 && " + play(1) + ".innerText === 'Pause' && (" + play(1) + ".click(), true)")
	at := js[int](b, shown)
	b.run(chromedp.Evaluate(play(3)+".click()", nil))
	wantSame(t, "one more", at+1, js[int](b, shown))
	b.run(chromedp.Evaluate(play(2)+".click()", nil), chromedp.Evaluate(play(2)+".click()", nil))
	wantSame(t, "two less", at-1, js[int](b, shown))
	b.run(chromedp.Focus("#make-drawing input", chromedp.ByQuery), chromedp.KeyEvent(kb.Home), chromedp.KeyEvent(kb.ArrowRight),
		chromedp.KeyEvent(kb.ArrowRight), chromedp.KeyEvent(kb.ArrowRight))
	wantSame(t, "where", "Try 3 of 8: port 795 = 745 + 50 (block, byte 3)", b.text("#make-drawing .where"))
	wantSame(t, "shown", 3, js[int](b, shown))
}

// What is wrong is said at its field, and the page stays.
func labFaults(t *testing.T, b *browser) {
	b.fill("port", "256")
	b.fill("ip", "gate")
	b.settled("make")
	wantSame(t, "fault of port", "256 is out of range: want a TCP port; a knock has one byte for it, 0 to 255", b.text("#port-fault"))
	wantSame(t, "fault of ip", `"gate" is not an IPv4 address: want four numbers, 0 to 255, with dots between`, b.text("#ip-fault"))
	wantSame(t, "invalid", []string{"ip", "port"}, js[[]string](b, "[...document.querySelectorAll('[aria-invalid=true]')].map((e) => e.id)"))
	wantSame(t, "told by the field", true, js[bool](b, "document.getElementById('port').getAttribute('aria-describedby').split(' ').includes('port-fault')"))
	wantSame(t, "status", "2 fields are to be mended: what is shown below is the knock before.", b.text("#make-status"))
	wantSame(t, "the knock before", "966 914 795 964 831 862 807 932", b.text("#ports"))
	b.fill("port", "22")
	b.fill("ip", "142.103.205.1")
	b.settled("make")
	wantSame(t, "invalid", 0, js[int](b, "document.querySelectorAll('[aria-invalid]').length"))
	wantSame(t, "fault of port", "", b.text("#port-fault"))
	b.choose("cipher", "Rijndael")
	b.choose("header", "randomiv")
	b.settled("make")
	wantSame(t, "fault of header", "randomiv goes with Blowfish and DES only: Rijndael has no such header", b.text("#header-fault"))
}

// A pasted sequence is read, or it is said why not.
func labRead(t *testing.T, b *browser) {
	b.fill("sequence", "966, 914,795 964 831,862 807 932")
	b.settled("read")
	wantSame(t, "verdict", "It decodes. Open 142.103.205.1 port 22 for 15 min.", b.text("#read-verdict"))
	wantSame(t, "payload", []string{"142", "103", "205", "1", "22", "15", "233"}, b.column("#read-steps div:last-child > .scroll", 2))
	b.fill("sequence", "966 914 795 964 831 862 807")
	b.settled("read")
	wantSame(t, "length", "It does not decode. The length is wrong: there are 7, and a knock with the cipher Blowfish and the header none has 8.\n\n"+
		"Is a port missing, or one too many?", b.text("#read-verdict"))
	b.fill("sequence", "966 914 795 964 831 862 807 9320")
	b.settled("read")
	if verdict := b.text("#read-verdict"); !strings.Contains(verdict, "Try 8 goes to port 9320, which is outside 745 to 1000.") {
		t.Errorf("port: %q", verdict)
	}
	b.fill("sequence", "966 914 795 964 831 862 807 knock")
	b.settled("read")
	wantSame(t, "fault", `knock 8: "knock" is not a whole number: want a port, 0 to 65535`, b.text("#sequence-fault"))
	wantSame(t, "verdict", "There is nothing to read yet.", b.text("#read-verdict"))
	k := publishedKnocks(t)[1]
	b.fill("sequence", strings.Join(numerals(k.Ports), "\n"))
	b.choose("readHeader", "randomiv")
	b.settled("read")
	wantSame(t, "short IV", "It decodes. Open 142.103.205.1 port 22 for 5 min.", b.text("#read-verdict"))
	b.fill("passphrase", "Knock")
	b.settled("read", "make")
	if verdict := b.text("#read-verdict"); !strings.Contains(verdict, "The padding is wrong") {
		t.Errorf("other passphrase: %q", verdict)
	}
	b.click("take")
	b.settled("read")
	wantSame(t, "taken", b.text("#ports"), js[string](b, "document.getElementById('sequence').value"))
	wantSame(t, "verdict", "It decodes. Open 142.103.205.1 port 22 for 15 min.", b.text("#read-verdict"))
}

// A knock is forged, and knockdaemon refuses it.
func labForge(t *testing.T, b *browser) {
	const recorded = "827 842 855 845 856 854 818 831 799 797 802 802 802 801 797 801 846 813 993 931 798 972 951 928"
	b.fill("recorded", recorded)
	b.fill("guess-time", "5")
	b.fill("want-port", "80")
	b.fill("want-time", "0")
	b.settled("forge")
	wantSame(t, "status", "7 bytes of the IV changed: from “open 142.103.205.1 port 22 for 5 min” to “open 203.0.113.9 port 80 without time limit”", b.text("#forge-status"))
	wantSame(t, "ports", "827 842 855 845 856 854 818 831 860 828 878 794 872 806 870 801 846 813 993 931 798 972 951 928", b.text("#forged"))
	wantSame(t, "flipped", []string{"01000101", "01100111", "10111100", "00001000", "01000110", "00000101", "01001001", "nothing"}, b.column("#flips", 4))
	wantSame(t, "IV heard", []string{"54", "52", "57", "57", "57", "56", "52", "56"}, b.column("#flips", 5))
	wantSame(t, "IV sent", []string{"115", "83", "133", "49", "127", "61", "125", "56"}, b.column("#flips", 6))
	wantSame(t, "shifted in the drawing", 7, js[int](b, "document.querySelectorAll('#forge-drawing .canvas .ghost').length"))
	wantSame(t, "naive", "A host that remembers nothing\n\nOpen 203.0.113.9 port 80 without time limit.", b.text("#naive"))
	wantSame(t, "daemon", "knockdaemon\n\nRefused. Its ciphertext block 6544f8ba35e3ceb7 was used before, by the recorded knock. A block opens once.", b.text("#daemon"))
	b.fill("want-ip", "203.0.113")
	b.settled("forge")
	wantSame(t, "fault", `"203.0.113" is not an IPv4 address: want four numbers, 0 to 255, with dots between`, b.text("#want-ip-fault"))
	b.fill("want-ip", "203.0.113.9")
	b.click("record")
	b.settled("forge")
	if now := js[string](b, "document.getElementById('recorded').value"); now == recorded || len(strings.Fields(now)) != 24 {
		t.Errorf("recorded %q", now)
	}
	wantSame(t, "guess", "15", js[string](b, "document.getElementById('guess-time').value"))
}

// What is copied can be pasted.
func labCopy(t *testing.T, b *browser) {
	b.run(chromedp.Click("[data-copies=ports]", chromedp.ByQuery))
	b.wait("document.querySelector('[data-copies=ports]').innerText === 'Copied'")
	b.run(chromedp.Focus("#sequence", chromedp.ByQuery),
		input.DispatchKeyEvent(input.KeyDown).WithKey("v").WithModifiers(input.ModifierCtrl).WithCommands([]string{"paste"}))
	b.settled("read")
	wantSame(t, "pasted", "966 914 795 964 831 862 807 932", js[string](b, "document.getElementById('sequence').value"))
	wantSame(t, "verdict", "It decodes. Open 142.103.205.1 port 22 for 15 min.", b.text("#read-verdict"))
}

// A name that somebody has made resolve to this machine leads nowhere.
func labOtherName(t *testing.T, b *browser) {
	b.run(chromedp.Navigate(strings.Replace(b.url, "127.0.0.1", "rebind.test", 1)))
	wantSame(t, "by another name", "the Knock Lab is at "+b.url, b.text("body"))
	wantSame(t, "the page", 0, js[int](b, "document.querySelectorAll('form').length"))
}
