package config

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/portknock/knock/pkg/ui"
)

// maxFile is the largest configuration file that is read, in bytes.
const maxFile = 1 << 20

type file struct {
	path   string // empty: there is none
	values []value
}

// readFirst reads the file that -conf names among flags, or else the first of paths that exists.
func readFirst(settings []Setting, flags []ui.Given, paths []string) (file, error) {
	for _, v := range flags {
		if v.Name == "conf" {
			return readFile(v.Value, settings)
		}
	}
	for _, path := range paths {
		f, err := readFile(path, settings)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return file{}, nil
}

func readFile(path string, settings []Setting) (file, error) {
	r, err := os.Open(path)
	if err != nil {
		return file{}, fmt.Errorf("failed to open the configuration file: %w", err)
	}
	defer r.Close()
	values, err := parseFile(path, io.LimitReader(r, maxFile+1), settings)
	return file{path, values}, err
}

// parseFile reads lines of "name = value". A value is what is left of the line without the blanks around it, or
// without the double quotes around it; # and ; begin a comment only at the start of a line, since they are
// common in passphrases.
func parseFile(path string, r io.Reader, settings []Setting) ([]value, error) {
	var values []value
	lineOf := map[string]int{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxFile+1)
	size := 0
	for n := 1; lines.Scan(); n++ {
		size += len(lines.Bytes()) + 1
		where := fmt.Sprintf("%s:%d", path, n)
		name, text, err := parseLine(strings.TrimPrefix(lines.Text(), byteOrderMark))
		if err != nil {
			return nil, ui.Usage(fmt.Errorf("%s: %w", where, err))
		}
		if name == "" {
			continue
		}
		if err := checkName(name, settings); err != nil {
			return nil, ui.Usage(fmt.Errorf("%s: %w", where, err))
		}
		if first, ok := lineOf[name]; ok {
			return nil, ui.Usage(fmt.Errorf("%s: %s is set twice, first in line %d", where, name, first))
		}
		lineOf[name] = n
		values = append(values, value{name, text, where + ": " + name})
	}
	err := lines.Err()
	if err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("failed to read the configuration file %q: %w", path, err)
	}
	if err != nil || size > maxFile {
		return nil, ui.Usage(fmt.Errorf("%s: larger than %d bytes, not a configuration file", path, maxFile))
	}
	return values, nil
}

// byteOrderMark is what some editors put in front of a file.
const byteOrderMark = "\ufeff"

// parseLine gives an empty name for a line that says nothing.
func parseLine(line string) (name, value string, err error) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' || line[0] == ';' {
		return "", "", nil
	}
	if line[0] == '[' {
		return "", "", errors.New("a section: this file has none, only lines of name = value")
	}
	name, value, ok := strings.Cut(line, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok || name == "" {
		return "", "", errors.New("want a line of name = value")
	}
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	return name, value, nil
}

func checkName(name string, settings []Setting) error {
	if s, ok := find(settings, name); ok {
		if s.flagOnly {
			return fmt.Errorf("%s is a flag only, not for a configuration file", name)
		}
		return nil
	}
	// What stands here may be a passphrase on a line of its own, so what is not like a name is not repeated.
	if len(name) > 32 || !utf8.ValidString(name) || strings.ContainsFunc(name, notInName) {
		return errors.New("unknown setting")
	}
	var names []string
	for _, s := range settings {
		if !s.flagOnly {
			names = append(names, s.Name)
		}
	}
	if nearest := ui.Nearest(name, names); nearest != "" {
		return fmt.Errorf("unknown setting %s, did you mean %s?", name, nearest)
	}
	return fmt.Errorf("unknown setting %s", name)
}

func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_'
}
