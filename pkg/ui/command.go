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
	Name  string
	Usage string // one line
	Bool  bool   // takes no value
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
	Stdout   io.Writer // for -h and -version
}

// Run does what args, without the program's name, ask for. A wrong flag is an error of wrong use.
func (c Command) Run(args []string) error {
	cli.VersionFlag = &cli.BoolFlag{Name: "version", Usage: "say which version this is"}
	cli.HelpFlag = &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show this"}
	app := &cli.App{
		Name:            c.Name,
		Usage:           c.Summary,
		UsageText:       c.Name + " " + c.Synopsis,
		Version:         Version(),
		HideHelpCommand: true,
		Flags:           c.cliFlags(),
		Writer:          c.Stdout,
		OnUsageError:    func(_ *cli.Context, err error, _ bool) error { return Usage(c.explain(err)) },
		ExitErrHandler:  func(*cli.Context, error) {}, // who called Run says what went wrong, and exits
		Action: func(ctx *cli.Context) error {
			return c.Do(c.given(ctx), ctx.Args().Slice())
		},
	}
	return app.Run(append([]string{c.Name}, FlagsFirst(args, c.isBool)...))
}

func (c Command) cliFlags() []cli.Flag {
	var flags []cli.Flag
	for _, f := range c.Flags {
		if f.Bool {
			flags = append(flags, &cli.BoolFlag{Name: f.Name, Usage: f.Usage})
		} else {
			flags = append(flags, &cli.StringFlag{Name: f.Name, Usage: f.Usage})
		}
	}
	return flags
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
	if name == "h" || name == "help" || name == "version" {
		return true
	}
	i := slices.IndexFunc(c.Flags, func(f Flag) bool { return f.Name == name })
	return i >= 0 && c.Flags[i].Bool
}

// explain words an error of package flag as one of ours.
func (c Command) explain(err error) error {
	if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
		var names []string
		for _, f := range c.Flags {
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
