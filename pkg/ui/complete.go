package ui

import (
	"fmt"
	"strings"
	"text/template"
)

// scripts are the templates of completion scripts, by shell. The scripts walk over the words before the cursor as
// flagsFirst does, to learn what the word at the cursor is: a flag, the value of one, or an argument.
var scripts = map[string]*template.Template{
	"bash": parseScript("bash", bashScript, quotePOSIX),
	"zsh":  parseScript("zsh", zshScript, quotePOSIX),
	"fish": parseScript("fish", fishScript, quoteFish),
}

// parseScript parses a template. The shells use braces themselves, so << and >> take their place.
func parseScript(shell, text string, quote func(string) string) *template.Template {
	t := template.New(shell).Delims("<<", ">>").Funcs(template.FuncMap{"quote": quote, "join": strings.Join})
	return template.Must(t.Parse(text))
}

// complete prints the completion script for a shell. What it offers is c's own flags, so it cannot be out of date.
func (c Command) complete(shell string) error {
	script, ok := scripts[shell]
	if !ok {
		err := fmt.Errorf("%q is not one of %s", shell, strings.Join(completionFlag.Values, ", "))
		return Usage(fmt.Errorf("flag -%s: %w", completionFlag.Name, err))
	}
	data := completion{Name: c.Name, Function: "_" + c.Name, HostsFlag: c.HostsFlag}
	for _, f := range c.allFlags() {
		data.Flags = append(data.Flags, completedFlag{f})
	}
	if err := script.Execute(c.Stdout, data); err != nil {
		return fmt.Errorf("failed to print the completion script for %s: %w", shell, err)
	}
	return nil
}

// A completion is what the templates are given. Functions in the scripts have names that begin with Function.
type completion struct {
	Name, Function, HostsFlag string
	Flags                     []completedFlag
}

// NoValue gives the names of all flags without a value.
func (c completion) NoValue() []string {
	names := []string{"h"}
	for _, f := range c.Flags {
		if f.Bool {
			names = append(names, f.Name)
		}
	}
	return names
}

type completedFlag struct{ Flag }

// Word gives the word in Usage that stands for the value. Some tell how to complete it: FILE, DIRECTORY, INTERFACE,
// HOST.
func (f completedFlag) Word() string {
	parts := strings.SplitN(f.Usage, "`", 3)
	if len(parts) < 3 {
		return ""
	}
	return parts[1]
}

// Description gives Usage as a person reads it.
func (f completedFlag) Description() string { return strings.ReplaceAll(f.Usage, "`", "") }

// ZshDescription gives Description for _describe, which takes backslashes away.
func (f completedFlag) ZshDescription() string {
	return strings.ReplaceAll(f.Description(), `\`, `\\`)
}

// FishValues gives the values as a list that fish parses when it completes.
func (f completedFlag) FishValues() string {
	var quoted []string
	for _, v := range f.Values {
		quoted = append(quoted, quoteFish(v))
	}
	return strings.Join(quoted, " ")
}

// quotePOSIX makes s one word for bash and zsh.
func quotePOSIX(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// quoteFish makes s one word for fish.
func quoteFish(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}
