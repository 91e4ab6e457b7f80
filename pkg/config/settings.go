// Package config reads the settings of both commands from the configuration file, the environment and the flags, in
// that order, a later one winning, and checks them. What it hands out is complete and valid; what a setting means
// is left to the package that uses it.
package config

import (
	"errors"
	"fmt"

	"github.com/portknock/knock/pkg/ui"
)

// A Setting is a flag of a command, and a key of its configuration file by the same name.
type Setting struct {
	ui.Flag
	flagOnly bool // not for a configuration file
	raw      bool // double quotes around its value belong to it
	set      func(value string) error
}

// setting makes a Setting that takes a value.
func setting(name, usage string, set func(string) error) Setting {
	return Setting{Flag: ui.Flag{Name: name, Usage: usage}, set: set}
}

// pick makes a Setting that takes one of a few words.
func pick[T ~string](name, usage string, to *T, words ...T) Setting {
	return setting(name, usage, oneOf(to, words...)).among(texts(words)...)
}

// among gives s the values that it takes, for who completes them.
func (s Setting) among(values ...string) Setting {
	s.Values = values
	return s
}

// toggle makes a Setting that is on or off.
func toggle(name, usage string, to *bool) Setting {
	return Setting{Flag: ui.Flag{Name: name, Usage: usage, Bool: true}, set: boolean(to)}
}

// flagOnly makes a Setting that no configuration file may hold.
func flagOnly(name, usage string, set func(string) error) Setting {
	return Setting{Flag: ui.Flag{Name: name, Usage: usage}, flagOnly: true, set: set}
}

// flagToggle makes a flagOnly that takes no value.
func flagToggle(name, usage string, to *bool) Setting {
	s := toggle(name, usage, to)
	s.flagOnly = true
	return s
}

// IsKey tells whether s is a key of the configuration file, and not a flag only.
func (s Setting) IsKey() bool { return !s.flagOnly }

// FlagsOf gives the flags that settings are.
func FlagsOf(settings []Setting) []ui.Flag {
	var flags []ui.Flag
	for _, s := range settings {
		flags = append(flags, s.Flag)
	}
	return flags
}

// A value is what somebody gave for a setting.
type value struct {
	name  string
	text  string
	where string // "flag -port", "/etc/knockdaemon.conf:3: port-min": the start of an error about it
}

// origins tell where each setting that was given was given last.
type origins map[string]string

// at puts the place of a setting in front of an error about it, and makes it one of wrong use.
func (o origins) at(name string, err error) error {
	if where := o[name]; where != "" && err != nil {
		err = fmt.Errorf("%s: %w", where, err)
	}
	return ui.Usage(err)
}

// isFlag tells whether a setting that was given was given last by its flag.
func (o origins) isFlag(name string) bool { return o[name] == flagWhere(name) }

// inFile tells whether a setting that was given was given last by a configuration file.
func (o origins) inFile(name string) bool {
	return o[name] != "" && !o.isFlag(name) && o[name] != environmentWhere
}

// refuse refuses flags that have no place in what is asked for.
func (o origins) refuse(why string, names ...string) error {
	for _, name := range names {
		if o.isFlag(name) {
			return o.at(name, errors.New(why))
		}
	}
	return nil
}

// apply sets what values say, and notes where they stand. Each error is one of wrong use and begins with the place.
func (o origins) apply(settings []Setting, values []value) error {
	for _, v := range values {
		s, ok := find(settings, v.name)
		if !ok {
			return ui.Usage(fmt.Errorf("%s: unknown setting", v.where))
		}
		if err := s.set(v.text); err != nil {
			return ui.Usage(fmt.Errorf("%s: %w", v.where, err))
		}
		o[v.name] = v.where
	}
	return nil
}

func find(settings []Setting, name string) (Setting, bool) {
	for _, s := range settings {
		if s.Name == name {
			return s, true
		}
	}
	return Setting{}, false
}

// load applies parts of the configuration file at path, the environment and the flags. After each of them it calls
// endLevel, with the path of the file if it was a part of that.
func load(settings []Setting, path string, parts []section, flags []ui.Given, env func(string) string, endLevel func(path string)) (origins, error) {
	o := origins{}
	for _, part := range parts {
		if err := o.apply(settings, part.values); err != nil {
			return nil, err
		}
		endLevel(path)
	}
	if key := env(keyVariable); key != "" {
		if err := o.apply(settings, []value{{"key", key, environmentWhere}}); err != nil {
			return nil, err
		}
	}
	endLevel("")
	var given []value
	for _, f := range flags {
		given = append(given, value{f.Name, f.Value, flagWhere(f.Name)})
	}
	if err := o.apply(settings, given); err != nil {
		return nil, err
	}
	endLevel("")
	return o, nil
}

// flagWhere is the place of a setting that a flag gives.
func flagWhere(name string) string { return "flag -" + name }

// keyVariable is the environment variable that holds the passphrase.
const keyVariable = "KNOCK_KEY"

// environmentWhere is the place of a passphrase that the environment gives.
const environmentWhere = "environment variable " + keyVariable
