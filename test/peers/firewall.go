package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// flushed empties the firewall while a port is open; its policy stays.
func (r *rig) flushed() (string, error) {
	return r.taken(func() error {
		_, err := r.gate.run("", "iptables", "-w", "5", "-F")
		return err
	}, false)
}

// reloaded puts the administrator's rules in force again while a port is open.
func (r *rig) reloaded() (string, error) { return r.taken(r.protect, true) }

// taken sees what becomes of an opening whose rule is gone.
func (r *rig) taken(take func() error, next bool) (string, error) {
	var c cell
	if err := r.open(); err != nil {
		return "", err
	}
	if err := take(); err != nil {
		return "", err
	}
	at := time.Now()
	gone, _, err := r.becomes(false, soon/2)
	if err != nil {
		return "", err
	}
	healed, since, err := r.becomes(true, heal)
	switch {
	case err != nil:
		return "", err
	case !gone:
		c.say("never seen closed")
	case healed:
		c.say("open again %s later", seconds(since.Sub(at)))
	default:
		c.say("closed, not healed within %.0f s", heal.Seconds())
	}
	said := len(trouble.FindAllString(r.words(), -1))
	if _, _, err := r.becomes(false, time.Until(r.opened.Add(r.life+grace))); err != nil {
		return "", err
	}
	if err := r.pastTheEnd(); err != nil {
		return "", err
	}
	c.say("%s", complaint(trouble.FindAllString(r.words(), -1)[said:]))
	if next {
		return r.again(&c)
	}
	return c.text(), nil
}

// pastTheEnd lets the time of an opening pass, and what the daemon then does.
func (r *rig) pastTheEnd() error {
	end := r.opened.Add(r.life + soon)
	return eventually(r.ctx, r.life+grace, "the time to pass", func() (bool, error) { return time.Now().After(end), nil })
}

// trouble is in a line that reports some, of any of the daemons.
var trouble = regexp.MustCompile(`(?im)^.*\b(bad|errors?|fail(ed|ure)?|does not exist|no chain|warn(ing)?)\b.*$`)

// complaint words the first line of trouble that a daemon reports.
func complaint(lines []string) string {
	if len(lines) == 0 {
		return "no complaint when it closes"
	}
	return fmt.Sprintf("complains when it closes: `%s`", strings.ReplaceAll(strings.TrimSpace(lines[0]), "|", "/"))
}
