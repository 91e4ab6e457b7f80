package ui

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// A Flag is one flag of a Command. A word in backquotes in Usage stands for its value in the help.
type Flag struct {
	Name   string
	Usage  string   // one line
	Bool   bool     // takes no value
	Values []string // all that it takes, if it takes a few words only
}

// A Given is a flag as it was given.
type Given struct{ Name, Value string }

// A Command is a program that takes flags, with one dash or two, before or after its arguments, and does one thing.
type Command struct {
	Name     string
	Summary  string // one line
	Synopsis string // what follows the name on the command line
	Flags    []Flag
	Do       func(given []Given, args []string) error
	Stdout   io.Writer // for -h, -version and -completion

	// HostsFlag is the flag that prints the names of hosts that the user has given them, one a line, for completion.
	// It is empty if the command's arguments are no hosts.
	HostsFlag string
}

// The flags that every command has.
var (
	completionFlag = Flag{
		Name: "completion", Values: []string{"bash", "zsh", "fish"},
		Usage: "print the completion script for a `SHELL`, bash, zsh or fish, and leave",
	}
	helpFlag    = Flag{Name: "help", Usage: "show this", Bool: true}
	versionFlag = Flag{Name: "version", Usage: "say which version this is", Bool: true}
)

const helpTemplate = `{{.Name}}: {{.Usage}}

usage: {{.UsageText}}

{{range .VisibleFlags}}  {{.}}
{{end}}`

// Run does what args, without the program's name, ask for. A wrong flag is an error of wrong use.
func (c Command) Run(args []string) error {
	cli.VersionFlag = &cli.BoolFlag{Name: versionFlag.Name, Usage: versionFlag.Usage, DisableDefaultText: true}
	cli.HelpFlag = &cli.BoolFlag{Name: helpFlag.Name, Aliases: []string{"h"}, Usage: helpFlag.Usage, DisableDefaultText: true}
	app := &cli.App{
		Name:                  c.Name,
		Usage:                 c.Summary,
		UsageText:             c.Name + " " + c.Synopsis,
		CustomAppHelpTemplate: helpTemplate,
		Version:               Version(),
		HideHelpCommand:       true,
		Flags:                 c.cliFlags(),
		Writer:                c.Stdout,
		OnUsageError:          func(_ *cli.Context, err error, _ bool) error { return Usage(c.explain(err)) },
		ExitErrHandler:        func(*cli.Context, error) {}, // who called Run says what went wrong, and exits
		Action: func(ctx *cli.Context) error {
			if ctx.IsSet(completionFlag.Name) {
				return c.complete(ctx.String(completionFlag.Name))
			}
			return c.Do(c.given(ctx), ctx.Args().Slice())
		},
	}
	return app.Run(append([]string{c.Name}, withoutTopic(flagsFirst(args, c.isBool))...))
}

// withoutTopic leaves only the wish for help where there is one: cli takes what stands beside it for a topic.
func withoutTopic(args []string) []string {
	for _, arg := range args {
		switch arg {
		case "-h", "--h", "-help", "--help":
			return []string{arg}
		case "--":
			return args
		}
	}
	return args
}

func (c Command) cliFlags() []cli.Flag {
	var flags []cli.Flag
	for _, f := range append(slices.Clip(c.Flags), completionFlag) {
		if f.Bool {
			flags = append(flags, &cli.BoolFlag{Name: f.Name, Usage: f.Usage, DisableDefaultText: true})
		} else {
			flags = append(flags, &cli.StringFlag{Name: f.Name, Usage: f.Usage})
		}
	}
	return flags
}

// allFlags gives c's own flags and those that every command has.
func (c Command) allFlags() []Flag {
	return append(slices.Clip(c.Flags), completionFlag, helpFlag, versionFlag)
}

func (c Command) given(ctx *cli.Context) []Given {
	var given []Given
	for _, f := range c.Flags {
		switch {
		case !ctx.IsSet(f.Name):
		case f.Bool:
			given = append(given, Given{f.Name, strconv.FormatBool(ctx.Bool(f.Name))})
		default:
			given = append(given, Given{f.Name, ctx.String(f.Name)})
		}
	}
	return given
}

func (c Command) isBool(name string) bool {
	return name == "h" || slices.ContainsFunc(c.allFlags(), func(f Flag) bool { return f.Bool && f.Name == name })
}

// explain words an error of package flag as one of ours.
func (c Command) explain(err error) error {
	if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
		var names []string
		for _, f := range c.allFlags() {
			names = append(names, f.Name)
		}
		if nearest := Nearest(strings.TrimLeft(name, "-"), names); nearest != "" {
			return fmt.Errorf("unknown flag -%s, did you mean -%s?", name, nearest)
		}
		return Hint(fmt.Errorf("unknown flag -%s", name), "%s -h lists them", c.Name)
	}
	if name, ok := strings.CutPrefix(err.Error(), "flag needs an argument: -"); ok {
		return fmt.Errorf("flag -%s needs a value", name)
	}
	return err
}

// flagsFirst puts the flags among args, which do not include the program's name, before the other arguments. isBool
// tells whether a flag takes no value. What follows "--" is no flag.
func flagsFirst(args []string, isBool func(name string) bool) []string {
	var flags, rest []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			rest = append(rest, args[i+1:]...)
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			rest = append(rest, arg)
			continue
		}
		flags = append(flags, arg)
		name := strings.TrimLeft(arg, "-")
		if strings.Contains(name, "=") || isBool(name) {
			continue
		}
		if i++; i == len(args) {
			return flags // its value is missing, which whoever parses the flags says
		}
		flags = append(flags, args[i])
	}
	if len(rest) == 0 {
		return flags
	}
	return append(append(flags, "--"), rest...)
}
