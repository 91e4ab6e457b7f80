package check

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/portknock/knock/pkg/config"
)

// A level says how much a finding matters.
type level string

const (
	fine    level = "ok"
	note    level = "note"    // worth knowing, or not to be told from here
	problem level = "problem" // knocking does not work, or does not protect
)

// A finding is one thing that was looked at.
type finding struct {
	Level level  `json:"level"`
	Text  string `json:"text"`
	Fix   string `json:"fix,omitempty"` // of a problem, or of a note that may be one
}

func okf(format string, a ...any) finding {
	return finding{Level: fine, Text: fmt.Sprintf(format, a...)}
}

func notef(format string, a ...any) finding {
	return finding{Level: note, Text: fmt.Sprintf(format, a...)}
}

func problemf(format string, a ...any) finding {
	return finding{Level: problem, Text: fmt.Sprintf(format, a...)}
}

// fixed adds what to do about f.
func (f finding) fixed(format string, a ...any) finding {
	f.Fix = fmt.Sprintf(format, a...)
	return f
}

// A report prints findings as they come.
type report struct {
	to       io.Writer
	json     bool
	quiet    bool // problems only
	problems int
	err      error // the first of the writer's
}

func newReport(c *config.Daemon, w io.Writer) *report {
	return &report{to: w, json: c.Output == config.OutputJSON, quiet: c.Quiet}
}

func (r *report) add(findings ...finding) {
	for _, f := range findings {
		if f.Level == problem {
			r.problems++
		}
		if r.err != nil || r.quiet && f.Level != problem {
			continue
		}
		_, r.err = io.WriteString(r.to, f.line(r.json))
	}
}

// line gives f as it is printed, with its newline: two lines if it is text and there is a fix.
func (f finding) line(asJSON bool) string {
	f.Text, f.Fix = printable(f.Text), printable(f.Fix)
	var b strings.Builder
	switch {
	case asJSON:
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		_ = e.Encode(f) // strings into a strings.Builder
	case f.Fix == "":
		fmt.Fprintf(&b, "%s: %s\n", f.Level, f.Text)
	default:
		fmt.Fprintf(&b, "%s: %s\n  fix: %s\n", f.Level, f.Text, f.Fix)
	}
	return b.String()
}

// printable keeps what strangers wrote into a log, or others into a rule, from looking like a line of ours, and from
// reaching the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// verdict is the error that the findings amount to.
func (r *report) verdict() error {
	switch {
	case r.err != nil:
		return fmt.Errorf("failed to write what was found: %w", r.err)
	case r.problems == 1:
		return fmt.Errorf("1 problem found")
	case r.problems > 1:
		return fmt.Errorf("%d problems found", r.problems)
	}
	return nil
}
