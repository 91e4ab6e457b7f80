package client

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// A progress is a line of a terminal that says how it goes, until there is something else to say. Nil shows nothing.
type progress struct {
	w     io.Writer
	host  string
	width int // of what stands there now
}

// maxWidth keeps the line from being wrapped, after which it could not be taken away.
const maxWidth = 78

// showProgress gives the line, and a client that clears it before it says anything else.
func (c *Client) showProgress() (*progress, *Client) {
	if c.Progress == nil || c.Config.After.Proxy {
		return nil, c
	}
	p, other := &progress{w: c.Progress, host: c.Config.Host}, *c
	other.Warn = func(format string, a ...any) { p.clear(); c.Warn(format, a...) }
	other.Debug = func(format string, a ...any) { p.clear(); c.Debug(format, a...) }
	return p, &other
}

// show says that a round begins.
func (p *progress) show(v *verifier, round int) {
	if p == nil {
		return
	}
	var states []string
	for _, t := range v.targets {
		switch {
		case round == 0:
			states = append(states, fmt.Sprintf("looking at port %d", t.port))
		case !t.done:
			states = append(states, fmt.Sprintf("port %d %s", t.port, t.latest(round)))
		}
	}
	if round > 0 {
		states = append([]string{fmt.Sprintf("knock %d of %d", round, v.retries+1)}, states...)
	}
	p.print(p.host + ": " + strings.Join(states, ", ") + " …")
}

// latest gives what is known of the target when a round begins.
func (t *target) latest(round int) reply {
	if round == 1 {
		return t.before
	}
	return t.after
}

func (p *progress) print(text string) {
	if utf8.RuneCountInString(text) > maxWidth {
		text = string([]rune(text)[:maxWidth-1]) + "…"
	}
	p.clear()
	fmt.Fprint(p.w, text)
	p.width = utf8.RuneCountInString(text)
}

// clear takes the line away.
func (p *progress) clear() {
	if p == nil || p.width == 0 {
		return
	}
	fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.width))
	p.width = 0
}
