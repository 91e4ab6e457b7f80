package config

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/portknock/knock/pkg/ui"
)

// maxFile is the largest configuration file that is read, in bytes.
const maxFile = 1 << 20

// A file is what a configuration file says. The values before the first section are those of the section without a title.
type file struct {
	path     string // empty: there is none
	sections []section
}

// A section is a part of a file, from a line "[title]" on.
type section struct {
	title  string
	where  string // "/etc/knockd.conf:3: [openSSH]": the start of an error about it
	values []value
	lineOf map[string]int // of each name
}

// says tells whether a setting is given in s.
func (s section) says(name string) bool {
	_, ok := s.lineOf[name]
	return ok
}

// settingsOf gives the settings that a section may hold, by its title; the empty one is for what stands before the first.
type settingsOf func(title string) ([]Setting, error)

// maxTitle is the longest title of a section, in bytes.
const maxTitle = 64

func checkTitle(title string) error {
	if !utf8.ValidString(title) || strings.ContainsFunc(title, func(c rune) bool { return !unicode.IsPrint(c) }) || len(title) > maxTitle {
		return fmt.Errorf("the name of a section has 1 to %d bytes of printable UTF-8", maxTitle)
	}
	return nil
}

// readFirst reads the file that -conf names among flags, or else the first of paths that exists.
func readFirst(of settingsOf, flags []ui.Given, paths []string) (file, error) {
	for _, v := range flags {
		if v.Name == "conf" {
			return readFile(v.Value, of)
		}
	}
	for _, path := range paths {
		f, err := readFile(path, of)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return noFile(), nil
}

// titles gives those of the sections.
func (f file) titles() (list []string) {
	for _, s := range f.sections[1:] {
		list = append(list, s.title)
	}
	return list
}

// noFile is what says nothing.
func noFile() file { return file{sections: []section{{}}} }

func readFile(path string, of settingsOf) (file, error) {
	r, err := os.Open(path)
	if err != nil {
		return file{}, fmt.Errorf("failed to open the configuration file: %w", err)
	}
	defer r.Close()
	sections, err := parseFile(path, io.LimitReader(r, maxFile+1), of)
	return file{path, sections}, err
}

// parseFile reads lines of "name = value", and of "[title]". A value is what is left of the line without the blanks
// around it, or without the double quotes around it; # and ; begin a comment only at the start of a line, since they
// are common in passphrases.
func parseFile(path string, r io.Reader, of settingsOf) ([]section, error) {
	p := parser{path: path, of: of}
	if err := p.begin(""); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxFile+1)
	size := 0
	for p.line = 1; lines.Scan(); p.line++ {
		size += len(lines.Bytes()) + 1
		if err := p.take(strings.TrimSpace(strings.TrimPrefix(lines.Text(), byteOrderMark))); err != nil {
			return nil, ui.Usage(fmt.Errorf("%s: %w", p.where(), err))
		}
	}
	err := lines.Err()
	if err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("failed to read the configuration file %q: %w", path, err)
	}
	if err != nil || size > maxFile {
		return nil, ui.Usage(fmt.Errorf("%s: larger than %d bytes, not a configuration file", path, maxFile))
	}
	return p.sections, nil
}

// byteOrderMark is what some editors put in front of a file.
const byteOrderMark = "\ufeff"

// A parser is on its way through a file.
type parser struct {
	path     string
	of       settingsOf
	line     int
	sections []section // the last one is that which lines belong to
	settings []Setting // of that one
}

func (p *parser) where() string { return fmt.Sprintf("%s:%d", p.path, p.line) }

// take takes a line without the blanks around it.
func (p *parser) take(line string) error {
	switch {
	case line == "" || line[0] == '#' || line[0] == ';':
		return nil
	case line[0] == '[':
		title, ok := strings.CutSuffix(line[1:], "]")
		title = strings.Join(strings.Fields(title), " ")
		if !ok || title == "" {
			return errors.New("want a section as [name]")
		}
		return p.begin(title)
	}
	name, text, given := strings.Cut(line, "=")
	name, text = strings.TrimSpace(name), strings.TrimSpace(text)
	s, err := p.find(name, given)
	if err != nil {
		return err
	}
	if !s.raw && len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		text = text[1 : len(text)-1]
	}
	if !given {
		text = "true"
	}
	now := &p.sections[len(p.sections)-1]
	if first, ok := now.lineOf[s.Name]; ok {
		return fmt.Errorf("%s is set twice, first in line %d", name, first)
	}
	now.lineOf[s.Name] = p.line
	now.values = append(now.values, value{s.Name, text, p.where() + ": " + titled(now.title) + name})
	return nil
}

// titled gives what stands in front of a name in an error about it.
func titled(title string) string {
	if title == "" {
		return ""
	}
	return "[" + title + "] "
}

// begin begins a section.
func (p *parser) begin(title string) (err error) {
	if p.settings, err = p.of(title); err != nil {
		return err
	}
	for _, s := range p.sections {
		if s.title == title {
			return fmt.Errorf("[%s] is there twice, first in %s", title, s.where)
		}
	}
	p.sections = append(p.sections, section{title, p.where() + ": [" + title + "]", nil, map[string]int{}})
	return nil
}

// find finds the setting that a line is about. In a section letters may be large, and _ may stand for -; a setting that
// is on or off may stand alone there. All of that is as knockd has it.
func (p *parser) find(name string, given bool) (Setting, error) {
	key := name
	if len(p.sections) > 1 {
		key = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	}
	s, ok := find(p.settings, key)
	if name == "" || !given && !(ok && s.Bool && len(p.sections) > 1) {
		return Setting{}, errors.New("want a line of name = value")
	}
	switch _, elsewhere := find(p.others(), strings.ReplaceAll(strings.ToLower(key), "_", "-")); {
	case ok || !elsewhere:
	case len(p.sections) > 1 && p.isOfKeys(key):
		return Setting{}, fmt.Errorf("%s belongs above the first section, or in one like [key name]", name)
	case len(p.sections) > 1:
		return Setting{}, fmt.Errorf("%s belongs above the first section", name)
	default:
		return Setting{}, fmt.Errorf("%s belongs in a section, below a line like [name]", name)
	}
	return s, checkName(name, key, p.settings)
}

// isOfKeys tells whether a section about a key can have a setting. Whoever begins one is easily short of that word.
func (p *parser) isOfKeys(key string) bool {
	settings, err := p.of("key name")
	_, ok := find(settings, key)
	return err == nil && ok
}

// others gives what stands above the first section, for a section, and what stands in one for a line above.
func (p *parser) others() []Setting {
	title := ""
	if len(p.sections) == 1 {
		title = "section" // any will do
	}
	settings, _ := p.of(title)
	return settings
}

// checkName says what is wrong with a name, that a file writes so, if it is not one of settings.
func checkName(name, key string, settings []Setting) error {
	if s, ok := find(settings, key); ok {
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
	if nearest := ui.Nearest(key, names); nearest != "" {
		return fmt.Errorf("unknown setting %s, did you mean %s?", name, nearest)
	}
	return fmt.Errorf("unknown setting %s", name)
}

func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_'
}
