package keygen

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// quiet is how wide the margin of a QR code must be, in modules.
const quiet = 4

// Black on white, from the part of the 256 colours that a terminal's theme does not change: on whatever background, the
// code is dark on light, as readers want it. The colours end with each line, or some terminals would fill the rest of it.
const (
	blackOnWhite = "\x1b[38;5;16;48;5;231m"
	plain        = "\x1b[0m"
)

// drawCode draws text as a QR code for a terminal, two modules to a character. Level L keeps it small: what it corrects
// least is dirt, which a screen has little of. The lines of a client for a host with a name of usual length so take 23 lines
// of 45 characters, and fit on the smallest screen.
func drawCode(text string) (string, error) {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return "", fmt.Errorf("failed to make a QR code: %w", err)
	}
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString(blackOnWhite)
		for x := -quiet; x < code.Size+quiet; x++ {
			b.WriteString(halves(code.Black(x, y), code.Black(x, y+1))) // around the code all is white
		}
		b.WriteString(plain + "\n")
	}
	return b.String(), nil
}

// halves gives the character of which the upper and the lower half are black.
func halves(upper, lower bool) string {
	switch {
	case upper && lower:
		return "█"
	case upper:
		return "▀"
	case lower:
		return "▄"
	}
	return " "
}
