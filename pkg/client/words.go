package client

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/portknock/knock/pkg/ui"
)

// sentence says what became of the ports, if all are as they should be.
func (o *outcome) sentence() string {
	said := o.Host + ": " + o.phrases(o.verified.targets)
	if o.Result == resultWasOpen {
		return said
	}
	return said + ", " + o.effort()
}

// effort says what it took.
func (o *outcome) effort() string {
	format := "after %s, %.0f s"
	if o.Seconds < 10 {
		format = "after %s, %.1f s"
	}
	return fmt.Sprintf(format, count(o.Knocks, "knock"), o.Seconds)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// phrases says of each target what became of it, in as few words as there are kinds of that.
func (o *outcome) phrases(targets []*target) string {
	var said []string
	var ports [][]string
	for _, t := range targets {
		what := o.verified.phrase(t)
		i := slices.Index(said, what)
		if i < 0 {
			i = len(said)
			said, ports = append(said, what), append(ports, nil)
		}
		ports[i] = append(ports[i], fmt.Sprint(t.port))
	}
	for i, what := range said {
		said[i] = subject(ports[i]) + " " + inNumber(what, len(ports[i]))
	}
	return strings.Join(said, ", ")
}

func subject(ports []string) string {
	if len(ports) == 1 {
		return "port " + ports[0]
	}
	return "ports " + strings.Join(ports, ", ")
}

// inNumber puts what is said of one into the plural if there are more.
func inNumber(what string, n int) string {
	if n == 1 {
		return what
	}
	verb, rest, _ := strings.Cut(what, " ")
	switch verb {
	case "was":
		verb = "were"
	case "is":
		verb = "are"
	}
	return verb + " " + rest
}

func (v *verifier) phrase(t *target) string {
	switch v.resultOf(t) {
	case resultWasOpen:
		return "was open before the knock"
	case resultClosed:
		if t.why != nil { // a host that is out of reach may have heard nothing
			return fmt.Sprintf("is closed (%v)", t.why)
		}
		return "is closed"
	case resultNotClosed:
		if t.after != accepted {
			return "may still be open"
		}
		return "is still open"
	case resultNotOpen:
		return "is not open"
	}
	if t.after == refused {
		return "is open but nothing listens there"
	}
	return "is open"
}

// failure gives the error that some ports are not as they should be; nil if all are.
func (o *outcome) failure() error {
	if o.Result != resultNotOpen && o.Result != resultNotClosed {
		return nil
	}
	left := slices.DeleteFunc(slices.Clone(o.verified.targets), func(t *target) bool { return t.done })
	text := fmt.Sprintf("%s: %s %s", o.Host, o.phrases(left), o.effort())
	for _, t := range left {
		if t.why != nil {
			text += fmt.Sprintf(" (%v)", t.why)
			break
		}
	}
	return ui.Status(ui.Hint(errors.New(text), "%s", o.hint(left)), ui.StatusShut)
}

// hint names the likeliest causes.
func (o *outcome) hint(left []*target) string {
	refuses := !slices.ContainsFunc(left, func(t *target) bool { return t.after != refused })
	did := !slices.ContainsFunc(left, func(t *target) bool { return t.before != refused })
	why := fmt.Sprintf("on the host, knockdaemon -why %s says what it saw", o.seen)
	switch {
	case o.verified.closing:
		return "a rule that is not of a knock may let it in, or the knock was not heard: " + why
	case refuses && !did:
		return "it refuses: nothing may listen there, or the firewall rejects what is closed and the knock was not heard: " + why
	case refuses:
		return "it refuses, as before the knock: nothing may listen there, or the firewall rejects what is closed and the knock was not heard: " + why
	case o.IP == "":
		return o.must + " must be as on the host, and its daemon must run: " + why
	}
	run := "its daemon must run and allow it (allow-ports)"
	if o.pad {
		run += " and have heard one of the last knocks (32, or its pad-look-ahead)"
	}
	return fmt.Sprintf("%s must be as on the host, %s, and it must know this machine as %s: %s", o.must, run, o.IP, why)
}
