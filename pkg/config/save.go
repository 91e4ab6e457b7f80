package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/portknock/knock/pkg/ui"
)

// SaveHost writes the flags and the host among args as a section of the client's configuration file, the one that -conf
// names or the user's own, which is made if need be, and gives the names of both. What is there stays as it is. A
// section of that name, a passphrase among the flags, or what would be no complete knock, is an error of wrong use, and
// nothing is written.
func SaveHost(flags []ui.Given, args []string, env func(string) string) (title, path string, err error) {
	path = clientFiles(env)[0]
	var lines []string
	for _, f := range flags {
		switch f.Name {
		case "conf":
			path = f.Value
		case "save":
			title = f.Value
		case "key":
			return "", "", ui.Usage(errors.New("flag -key: a passphrase is not written into the configuration file: give -key-file"))
		default:
			lines = append(lines, f.Name+" = "+quoted(absolute(f, env)))
		}
	}
	if len(args) > 0 {
		lines = append([]string{"host = " + args[0]}, lines...)
	}
	if len(args) > 1 {
		lines = append(lines, "sequence = "+strings.Join(args[1:], ","))
	}
	for _, line := range lines {
		if strings.ContainsAny(line, "\r\n\x00") {
			return "", "", ui.Usage(errors.New("a value with a line's end in it has no place in a configuration file"))
		}
	}
	return title, path, appendSection(path, title, strings.Join(lines, "\n"), func(f file) error {
		_, err := loadClient(f, nil, []string{title}, env)
		return err
	})
}

// absolute gives a flag's value so that it means the same from any directory.
func absolute(f ui.Given, env func(string) string) string {
	home := strings.HasPrefix(f.Value, "~/") && homeOf(env) != ""
	if path, err := filepath.Abs(f.Value); err == nil && !home && slices.Contains([]string{"key-file", "pad", "log-to-file"}, f.Name) {
		return path
	}
	return f.Value
}

// quoted puts double quotes around what the parser would take something off.
func quoted(v string) string {
	if strings.TrimSpace(v) != v || len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
		return `"` + v + `"`
	}
	return v
}

// appendSection adds a section to the file at path in one piece, if that has none of the name, and check has nothing
// against the file with it. What another one adds at the same time is not lost.
func appendSection(path, title, lines string, check func(file) error) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // a link stays one
	} else if _, err := os.Readlink(path); err == nil {
		return fmt.Errorf("failed to write the configuration file: %q is a link that leads nowhere", path)
	}
	lock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("failed to write the configuration file: %w", err)
	}
	defer lock.Close()
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("failed to read the configuration file: %w", err)
	}
	text := string(old)
	if text != "" {
		text = strings.TrimRight(text, "\n") + "\n\n"
	}
	there, err := parseFile(path, strings.NewReader(text), hostSettings)
	if err != nil {
		return err
	}
	for _, s := range there[1:] {
		if s.title == title {
			return ui.Usage(ui.Hint(fmt.Errorf("%s is there already", s.where), "change it there, or take another name"))
		}
	}
	text += fmt.Sprintf("[%s]\n%s\n", title, lines)
	sections, err := parseFile(path, strings.NewReader(text), hostSettings)
	if err != nil {
		return err
	}
	if err := check(file{path, sections}); err != nil {
		return err
	}
	return replaceFile(path, text)
}

// replaceFile puts text in the place of a file, whose mode and owner stay: after a crash the old one is there, or the
// new one.
func replaceFile(path, text string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err == nil {
		defer os.Remove(f.Name()) // in vain, if all went well
		defer f.Close()
		_, err = f.WriteString(text)
	}
	for _, step := range []func() error{
		func() error { return makeLike(f, path) },
		func() error { return f.Sync() },
		func() error { return f.Close() },
		func() error { return os.Rename(f.Name(), path) },
	} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		return fmt.Errorf("failed to write the configuration file: %w", err)
	}
	return nil
}

// makeLike gives f the mode and the owner of the file that it is to replace, if there is one.
func makeLike(f *os.File, path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = giveTo(f, info)
	}
	if err == nil {
		err = f.Chmod(info.Mode().Perm())
	}
	return err
}
