package outside

import (
	"strings"
	"unicode"
)

// maxTold is how much of an error is told, in bytes.
const maxTold = 300

// tame keeps an error in bounds and from doing anything to a terminal: it may repeat what came from elsewhere, the names
// in a certificate for one.
type tame struct{ error }

func (t tame) Unwrap() error { return t.error }

func (t tame) Error() string {
	text := t.error.Error()
	if len(text) > maxTold {
		text = text[:maxTold] + "…"
	}
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, text)
}
