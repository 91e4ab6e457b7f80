package command

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxText is the longest command, in bytes: knockd's own limit.
	maxText = 4095

	// placeholder becomes the address, wherever it stands, in this spelling alone, as in knockd.
	placeholder = "%IP%"

	// blanks separate words, for us and for the shell.
	blanks = " \t"

	// special are the characters that mean something to some shell.
	special = "|&;<>()$`\\\"'*?[]#~=%{}!^"
)

// builtins are the words that a shell does not take for programs, or for its own in their place.
var builtins = strings.Fields(`. : alias bg break case cd command continue do done echo elif else esac eval exec exit
	export false fc fg fi for function getopts hash if in jobs kill let local printf pwd read readonly return select set
	shift source test then time times trap true type typeset ulimit umask unalias unset until wait while`)

// A Command is one line that can be run, with %IP% where the address of who knocked is to stand. The zero Command is
// none.
type Command struct {
	text  string
	shell bool
}

// Parse reads a command. One that is empty, longer than 4095 bytes, not UTF-8 or has a control character other than a
// tab in it is an error.
func Parse(text string) (Command, error) {
	text = strings.Trim(text, blanks)
	control := func(r rune) bool { return unicode.IsControl(r) && r != '\t' }
	switch {
	case text == "":
		return Command{}, errors.New("the command is empty")
	case len(text) > maxText:
		return Command{}, fmt.Errorf("the command has %d bytes, more than %d", len(text), maxText)
	case !utf8.ValidString(text):
		return Command{}, errors.New("the command is not UTF-8")
	case strings.ContainsFunc(text, control):
		return Command{}, fmt.Errorf("the command has a control character in it: %q", text)
	}
	return Command{text: text, shell: needsShell(text)}, nil
}

// needsShell tells whether a shell may make anything else of text than a program and its arguments.
func needsShell(text string) bool {
	return strings.ContainsAny(strings.ReplaceAll(text, placeholder, ""), special) ||
		slices.Contains(builtins, words(text)[0])
}

// words splits text at its blanks.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(blanks, r) })
}

// Shell tells whether c is run by /bin/sh -c. Otherwise it is split at its blanks, and nothing in it means anything.
func (c Command) Shell() bool { return c.shell }

// String gives c as it was read.
func (c Command) String() string { return c.text }

// IsZero tells whether c is the zero Command.
func (c Command) IsZero() bool { return c.text == "" }

// For gives the text of c for src, as it is run.
func (c Command) For(src netip.Addr) string {
	return strings.ReplaceAll(c.text, placeholder, src.String())
}

// argv gives the program and the arguments of c for src.
func (c Command) argv(src netip.Addr) []string {
	if c.shell {
		return []string{shell, "-c", c.For(src)}
	}
	return words(c.For(src))
}

// address gives src as it is told to commands: the address of a host by IPv4 or IPv6, and nothing else that an
// [netip.Addr] can hold.
func address(src netip.Addr) (netip.Addr, error) {
	if !src.IsValid() || src.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q is no address for a command", src)
	}
	return src.Unmap(), nil
}
