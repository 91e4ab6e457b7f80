package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// progress gives the terminal that is to show how it goes; nil if there is none, or nothing is to be shown.
func progress(quiet bool) io.Writer {
	if quiet || !term.IsTerminal(int(os.Stderr.Fd())) {
		return nil
	}
	return os.Stderr
}
