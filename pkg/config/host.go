package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/portknock/knock/pkg/ui"
)

// clientFiles gives where the client's configuration may be, the first choice first.
func clientFiles(env func(string) string) (paths []string) {
	if home := homeOf(env); home != "" {
		paths = append(paths, filepath.Join(home, ".knockclient.conf"))
	}
	return append(paths, "/etc/knockclient.conf")
}

func homeOf(env func(string) string) string {
	if runtime.GOOS == "windows" {
		return env("USERPROFILE")
	}
	return env("HOME")
}

// expandHome puts the user's directory in place of a "~/" that no shell has seen.
func (c *Client) expandHome(env func(string) string) {
	for _, path := range []*string{&c.secret.file, &c.padded.file} {
		if rest, ok := strings.CutPrefix(*path, "~/"); ok && homeOf(env) != "" {
			*path = filepath.Join(homeOf(env), rest)
		}
	}
}

// hostSettings gives the settings of the client's file: a section has the name of a host, and says all that a flag can.
func hostSettings(title string) ([]Setting, error) {
	c := newClient()
	if title == "" {
		return c.settings(), nil
	}
	return c.withHost(), checkHostTitle(title)
}

// HostSettings lists the settings that a section of knockclient's file can hold.
func HostSettings() []Setting { return newClient().withHost() }

// withHost adds what only a section can say.
func (c *Client) withHost() []Setting {
	return append(c.settings(), setting("host", "", name(&c.Host)))
}

func checkHostTitle(title string) error {
	if err := checkTitle(title); err != nil {
		return err
	}
	if title == "" || strings.ContainsAny(title, " []") || title[0] == '-' {
		return fmt.Errorf("%q is no name to knock by: want one word, like office", title)
	}
	return nil
}

// HostNames gives the names of the sections of the client's configuration file.
func HostNames(flags []ui.Given, env func(string) string) (names []string, err error) {
	file, err := readFirst(hostSettings, flags, clientFiles(env))
	if err != nil {
		return nil, err
	}
	return file.titles(), nil
}

// given tells whether a flag is there, and not switched off.
func given(flags []ui.Given, name string) bool {
	return slices.ContainsFunc(flags, func(g ui.Given) bool { return g.Name == name && g.Value != "false" })
}

// findHost gives the section that the first argument names. What ssh hands over is a host's own name, in small letters,
// which a section may have another one for.
func findHost(f file, flags []ui.Given, args []string) (host []section) {
	if len(args) == 0 || given(flags, "save") {
		return nil
	}
	for _, s := range f.sections[1:] {
		if s.title == args[0] {
			return []section{s}
		}
	}
	for _, s := range f.sections[1:] {
		is := slices.ContainsFunc(s.values, func(v value) bool { return v.name == "host" && strings.EqualFold(v.text, args[0]) })
		if given(flags, "proxy") && (is || strings.EqualFold(s.title, args[0])) {
			return []section{s}
		}
	}
	return nil
}

// hintName adds to an error, if a section would have said what lacks, that none has the name. What is missing may also be
// a flag for a host that was meant: then it is not told of the key, whose error has a hint of its own.
func hintName(err error, f file, host []section, args []string) error {
	if len(host) > 0 || len(args) != 1 || len(f.sections) < 2 {
		return err
	}
	nearest := ui.Nearest(args[0], f.titles())
	switch {
	case nearest != "" && (errors.Is(err, errNoPort) || errors.Is(err, errNoKey)):
		return ui.Hint(err, "%s has no section [%s], did you mean %s?", f.path, args[0], nearest)
	case errors.Is(err, errNoPort):
		return ui.Hint(err, "%s has no section [%s]", f.path, args[0])
	}
	return err
}

// takeArgs takes the host, or the section's name in its place, and the ports behind it: those of a sequence, or the one
// to connect to.
func (c *Client) takeArgs(args []string, from origins) error {
	if len(args) == 0 {
		return nil
	}
	if c.Host == "" {
		c.Host = args[0]
	}
	if c.After.Proxy {
		return c.takeProxied(args[1:], from)
	}
	return c.takeSequence(args[1:], from)
}

// takeProxied takes the port that is connected to, which is the one that the knock opens.
func (c *Client) takeProxied(args []string, from origins) error {
	switch {
	case from.isFlag("port"):
		return from.at("port", errors.New("the port stands behind the host: -proxy HOST PORT"))
	case len(args) > 1:
		return ui.Usage(fmt.Errorf("%q is one too many: want -proxy HOST PORT", args[1]))
	case len(args) == 1:
		return ui.Usage(c.setPorts(args[0]))
	}
	return nil
}

func (c *Client) takeSequence(args []string, from origins) error {
	if len(args) == 0 {
		return nil
	}
	for _, arg := range args {
		if !likePort(arg) {
			return ui.Usage(fmt.Errorf("one host at a time: %q is one too many", arg))
		}
	}
	if from.isFlag("sequence") {
		return from.at("sequence", errors.New("the ports behind the host are a sequence too: one must go"))
	}
	return ui.Usage(c.setSequence(strings.Join(args, ",")))
}

// likePort tells a port from a second host: it begins with a number, which is all or ends at a colon.
func likePort(arg string) bool {
	number, _, _ := strings.Cut(arg, ":")
	return number != "" && strings.Trim(number, "0123456789") == ""
}

// takeService settles who is asked for the address that a port is opened to.
func (c *Client) takeService(from origins) error {
	switch {
	case !c.resolve:
		return nil
	case c.service == "":
		return from.at("ip", ui.Hint(errors.New("nobody is set to be asked for the address"),
			"give -ip-service URL, a service that you trust with knowing your address"))
	}
	c.IPService = c.service
	if strings.HasPrefix(strings.ToLower(c.service), "http://") {
		c.Warnings = append(c.Warnings, "ip-service is not https: whoever is on the way can say which address the port is opened to")
	}
	return nil
}
