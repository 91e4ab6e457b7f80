package keygen

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// A screen is what a terminal shows: cells of 8 by 16 dots, on a ground of the theme's.
type screen struct {
	*image.RGBA
	x, y           int // of the next cell
	ink, paper     color.Color
	ground, writes color.Color // what the theme has for both
}

func newScreen(columns, rows int, ground, writes color.Color) *screen {
	s := &screen{RGBA: image.NewRGBA(image.Rect(0, 0, columns*8, rows*16)), ground: ground, writes: writes, ink: writes, paper: ground}
	draw.Draw(s, s.Bounds(), image.NewUniform(ground), image.Point{}, draw.Src)
	return s
}

// show shows text with the few escape sequences that there may be.
func (s *screen) show(t *testing.T, text string) {
	t.Helper()
	for text != "" {
		if rest, ok := strings.CutPrefix(text, "\x1b["); ok {
			var code string
			code, text, _ = strings.Cut(rest, "m")
			switch code {
			case "38;5;16;48;5;231":
				s.ink, s.paper = color.Black, color.White
			case "0":
				s.ink, s.paper = s.writes, s.ground
			default:
				t.Fatalf("the screen does not know the escape sequence %q", code)
			}
			continue
		}
		c, n := utf8.DecodeRuneInString(text)
		text = text[n:]
		if c == '\n' {
			s.x, s.y = 0, s.y+1
			continue
		}
		s.put(c)
	}
}

// put shows a character. Letters are a mere bar.
func (s *screen) put(c rune) {
	halves := map[rune][2]color.Color{
		' ': {s.paper, s.paper}, '█': {s.ink, s.ink}, '▀': {s.ink, s.paper}, '▄': {s.paper, s.ink},
	}
	h, ok := halves[c]
	if !ok {
		h = [2]color.Color{s.paper, s.ink}
	}
	for i, colour := range h {
		draw.Draw(s, image.Rect(s.x*8, s.y*16+i*8, s.x*8+8, s.y*16+i*8+8), image.NewUniform(colour), image.Point{}, draw.Src)
	}
	s.x++
}

// scan reads the QR code on a screen with the real zbarimg.
func scan(t *testing.T, s *screen) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "screen.png")
	var picture bytes.Buffer
	if err := png.Encode(&picture, s); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, picture.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("zbarimg", "--quiet", "--raw", "--oneshot", "-Sdisable", "-Sqrcode.enable", path).Output()
	if err != nil {
		t.Fatalf("zbarimg (of Debian's zbar-tools) failed: %v", err)
	}
	return string(out) // with oneshot it adds no newline
}

// The code can be read off light terminals and dark ones, below the words, and holds the key that is in the file.
func TestScan(t *testing.T) {
	t.Parallel()
	for name, theme := range map[string]struct{ ground, writes color.Color }{
		"dark":      {color.Black, color.White},
		"light":     {color.White, color.Black},
		"solarized": {color.RGBA{0, 43, 54, 255}, color.RGBA{131, 148, 150, 255}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said, key := run(t, Options{Path: filepath.Join(t.TempDir(), "key"), Name: "alice", QR: true})
			s := newScreen(100, strings.Count(said, "\n")+1, theme.ground, theme.writes)
			s.show(t, said)
			if got, want := scan(t, s), clientLines(here().host, "key = "+key); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// Payloads of all lengths, with any host's name, can be read.
func TestScanLong(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"a", exampleHost, strings.Repeat("a", 63) + strings.Repeat(".example", 23)} {
		text := clientLines(host, "key = "+newKey())
		code, err := drawCode(text)
		if err != nil {
			t.Fatal(err)
		}
		s := newScreen(100, strings.Count(code, "\n"), color.Black, color.White)
		s.show(t, code)
		if got := scan(t, s); got != text {
			t.Errorf("got\n%s\nwant\n%s", got, text)
		}
	}
}

// The code fits on a screen of 80 by 24, and each line ends its colours.
func TestCodeFits(t *testing.T) {
	t.Parallel()
	code, err := drawCode(clientLines(exampleHost, "key = "+newKey()))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(code, "\n"), "\n")
	if len(lines) != 23 {
		t.Errorf("it has %d lines, want 23", len(lines))
	}
	for _, line := range lines {
		inside, begun := strings.CutPrefix(line, blackOnWhite)
		inside, ended := strings.CutSuffix(inside, plain)
		if width := utf8.RuneCountInString(inside); width != 45 || !begun || !ended {
			t.Errorf("%q has %d characters, want 45 in black on white", line, width)
		}
	}
}

func TestCodeTooLong(t *testing.T) {
	t.Parallel()
	if code, err := drawCode(strings.Repeat("a", 5000)); err == nil || code != "" {
		t.Errorf("got %q, %v", code, err)
	}
}
