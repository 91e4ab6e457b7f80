// Package ui holds what a person meets on the terminal and what both commands share: error and hint lines, exit
// statuses, the version, and flags. It knows nothing of knocks.
package ui

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
)

// Exit statuses.
const (
	StatusOK     = 0
	StatusFailed = 1 // what was asked for could not be done
	StatusUsage  = 2 // what was asked for makes no sense: a wrong flag, value or configuration file
	StatusShut   = 3 // the knock was sent, and the port is not as it should be
	StatusBefore = 4 // the port was open before the knock
)

type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Usage marks err as one of wrong use: exit status 2. It gives nil for nil.
func Usage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

type statusError struct {
	error
	status int
}

func (e statusError) Unwrap() error { return e.error }

// Status gives err an exit status of its own. Without an err there is nothing to say: all has been said.
func Status(err error, status int) error { return statusError{err, status} }

type hintedError struct {
	error
	hint string
}

func (e hintedError) Unwrap() error { return e.error }

// Hint adds to err what its reader may do next. It gives nil for nil.
func Hint(err error, format string, a ...any) error {
	if err == nil {
		return nil
	}
	return hintedError{err, fmt.Sprintf(format, a...)}
}

// Fail writes err, if it is not nil, as "PROGRAM: error: …" and gives the exit status. A hint follows as a line of its
// own, "PROGRAM: hint: …"; wrong use is told in one line.
func Fail(w io.Writer, program string, err error) int {
	if err == nil {
		return StatusOK
	}
	status, separator := StatusFailed, fmt.Sprintf("\n%s: hint: ", program)
	if errors.As(err, new(usageError)) {
		status, separator = StatusUsage, "; "
	}
	if s := (statusError{}); errors.As(err, &s) {
		if status = s.status; s.error == nil {
			return status
		}
	}
	message := oneLine(err.Error())
	if h := (hintedError{}); errors.As(err, &h) {
		message += separator + oneLine(h.hint)
	}
	fmt.Fprintf(w, "%s: error: %s\n", program, message)
	return status
}

// Say writes "PROGRAM: KIND: …"; a kind is "warning" or "debug".
func Say(w io.Writer, program, kind, format string, a ...any) {
	fmt.Fprintf(w, "%s: %s: %s\n", program, kind, oneLine(fmt.Sprintf(format, a...)))
}

// oneLine keeps what came from elsewhere from looking like a line of ours.
func oneLine(s string) string {
	return strings.NewReplacer("\r", "", "\n", ", ").Replace(strings.TrimSpace(s))
}

// version is set by the linker for a release: -ldflags "-X github.com/portknock/knock/pkg/ui.version=v1.2.3".
var version string

// Version gives the release, or what the build knows of itself.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "development"
}
