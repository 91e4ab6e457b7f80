package test

import (
	"bytes"
	"flag"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

var pictures = flag.String("pictures", "", "keep the pictures of the Knock Lab in this `DIRECTORY`")

// All can be done without a mouse, and what has the focus is seen.
func labKeyboard(t *testing.T, b *browser) {
	const focused = "document.activeElement.id || document.activeElement.innerText || document.activeElement.value || document.activeElement.type"
	b.wait("document.querySelector('#make-drawing .controls button').innerText === 'Play'")
	var way []string
	for range 60 {
		b.run(chromedp.KeyEvent(kb.Tab))
		at := js[string](b, focused)
		if len(way) > 0 && (at == way[0] || js[bool](b, "document.activeElement === document.body")) {
			break
		}
		way = append(way, at)
		if style := js[string](b, "getComputedStyle(document.activeElement).outlineStyle + getComputedStyle(document.activeElement).outlineWidth"); style != "solid3px" {
			t.Errorf("the focus on %s is drawn %s", at, style)
		}
	}
	wantSame(t, "way through the page", []string{
		"Skip to the lab", "Make", "Read", "Forge", "dec",
		"ip", "port", "time", "passphrase", "cipher", "header", "iv", "ivForm", "first", "Make the knock",
		"Play", "Back", "Step", "8", "Copy the ports", "Copy the command",
		"sequence", "readHeader", "Read it", "take",
		"recorded", "record", "guess-ip", "guess-port", "guess-time", "want-ip", "want-port", "want-time", "Forge it",
	}, way)

	b.run(chromedp.Focus("#ip", chromedp.ByQuery), chromedp.Evaluate("document.activeElement.select()", nil), chromedp.KeyEvent("192.0.2.7"),
		chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent("80"), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent("255"), chromedp.KeyEvent(kb.Enter))
	b.wait("document.getElementById('make-status').innerText.startsWith('Close 192.0.2.7 port 80')")
	b.run(chromedp.Focus("#cipher", chromedp.ByQuery), chromedp.KeyEvent("D"))
	b.wait("document.getElementById('command').innerText.includes('-cipher DES')")
}

// labControls is all that there is to be named, in the order in which it is told.
var labControls = []string{
	"link Skip to the lab", "navigation Parts of this page", "group Bytes as", "heading How a knock is made", "link Make",
	"link Read", "link Forge", "radio decimal", "radio hexadecimal", "heading Make a knock", "heading Read a knock",
	"heading Exercise: forge a knock", "group What it says", "group What both sides agree on", "button Make the knock",
	"heading The ports, in order", "group The ports, in order", "button Copy the ports", "heading On the command line",
	"group On the command line", "button Copy the command", "textbox Ports of the knock", "combobox Header of this knock",
	"button Read it", "button Take the knock from above", "textbox The recorded knock", "button Record another one",
	"group What you guess it says", "group What it should say", "button Forge it", "heading The forged ports",
	"group The forged ports", "textbox IPv4 address to let in", "textbox TCP port", "textbox Minutes", "textbox Passphrase",
	"combobox Cipher", "combobox Header", "textbox Initialisation vector (IV)", "combobox IV typed as",
	"textbox First port", "heading The payload", "heading The key", "heading The block",
	"heading The message and its ports", "textbox Guessed address", "textbox Guessed port", "textbox Guessed minutes",
	"textbox Wanted address", "textbox Wanted port", "textbox Wanted minutes", "table What is flipped in the IV",
	"heading A host that remembers nothing", "heading knockdaemon", "image The knock: 8 tries", "button Play",
	"button Back", "button Step", "slider Tries shown", "table The bytes of the payload",
	"table The block, from the plain text to the encrypted bytes", "table The tries, in order",
	"image The forged knock, beside the recorded one: 24 tries",
}

// Every control has a name for those who do not see it.
func labNames(t *testing.T, b *browser) {
	b.wait("document.querySelector('#make-drawing .controls button').innerText === 'Play'")
	controls := []string{"link", "button", "textbox", "combobox", "radio", "slider", "checkbox", "heading", "table", "navigation", "image", "group"}
	var got []string
	for _, node := range b.tree() {
		if !node.Ignored && slices.Contains(controls, node.Role.Value) {
			name, _, _ := strings.Cut(node.Name.Value, " at ports ")
			got = append(got, node.Role.Value+" "+name)
		}
	}
	wantSame(t, "names", labControls, got)
}

// Who wants no motion gets none, and can step through all the same.
func labWithoutMotion(t *testing.T, b *browser) {
	b.run(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}),
		chromedp.Navigate(b.url))
	b.settled("make", "forge")
	wantSame(t, "shown at once", 8, js[int](b, "document.querySelectorAll('#make-drawing .canvas .mark.on').length"))
	wantSame(t, "play is disabled", "true", js[string](b, "document.querySelector('#make-drawing .controls button').ariaDisabled"))
	wantSame(t, "transition", "0s", js[string](b, "getComputedStyle(document.querySelector('#make-drawing .canvas .mark')).transitionDuration"))
	b.run(chromedp.Click("#make-drawing .controls button:nth-child(2)", chromedp.ByQuery))
	wantSame(t, "back", "Try 7 of 8: port 807 = 745 + 62 (block, byte 7)", b.text("#make-drawing .where"))
}

// The page fits on a telephone and on a wide screen, in the light and in the dark.
func labPictures(t *testing.T, b *browser) {
	b.click("take")
	b.settled("read")
	dir := *pictures
	if dir == "" {
		dir = t.TempDir()
	}
	for name, at := range map[string]struct {
		width  int64
		scheme string
	}{"wide": {1280, "light"}, "dark": {1280, "dark"}, "narrow": {360, "light"}, "widest": {2200, "dark"}} {
		var picture []byte
		b.run(chromedp.EmulateViewport(at.width, 900), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: at.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}))
		b.wait("document.querySelector('#make-drawing svg').clientWidth === document.querySelector('#make-drawing .canvas').clientWidth")
		wantSame(t, name+": wider than the window", false, js[bool](b, "document.documentElement.scrollWidth > innerWidth"))
		wantSame(t, name+": tables that are cut", 0, js[int](b, "[...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth).length"))
		paper := js[string](b, "getComputedStyle(document.body).backgroundColor")
		wantSame(t, name+": paper", map[string]string{"light": "rgb(251, 250, 246)", "dark": "rgb(20, 24, 27)"}[at.scheme], paper)
		b.run(chromedp.FullScreenshot(&picture, 100))
		if seen, err := png.DecodeConfig(bytes.NewReader(picture)); err != nil || seen.Height < 3000 {
			t.Errorf("%s: a picture of %d × %d, %v", name, seen.Width, seen.Height, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// labExample takes the picture for the examples: a published knock that carries its IV.
func labExample(t *testing.T, b *browser) {
	b.choose("header", "randomiv")
	b.fill("iv", "64999848")
	b.fill("time", "5")
	b.settled("make")
	wantSame(t, "ports", strings.Join(numerals(publishedKnocks(t)[4].Ports), " "), b.text("#ports"))
	var picture []byte
	b.run(chromedp.EmulateViewport(1280, js[int64](b, "Math.ceil(document.querySelector('.bench').getBoundingClientRect().bottom + scrollY)")),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "light"}}), chromedp.Evaluate("document.activeElement.blur(); scrollTo(0, 0)", nil), chromedp.CaptureScreenshot(&picture))
	if *pictures != "" {
		if err := os.WriteFile(filepath.Join(*pictures, "knock-lab.png"), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The picture in the examples is one that a page can show.
func TestKnockLabExample(t *testing.T) {
	t.Parallel()
	picture := readExample(t, "knock-lab.png")
	seen, err := png.DecodeConfig(strings.NewReader(picture))
	if err != nil || seen.Width < 1000 || seen.Width > 2600 || len(picture) > 300_000 {
		t.Errorf("%d × %d pixels, %d bytes, %v", seen.Width, seen.Height, len(picture), err)
	}
}
