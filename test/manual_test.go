package test

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/ui"
)

// A manual is the pages of one command.
type manual struct {
	command  string
	flags    []config.Setting
	page     string
	keys     string                    // the page about the configuration file
	sections map[string]manualSections // by the heading of that page
	statuses []int
	load     func(flags []ui.Given, args []string) error
}

// manualSections are those of the configuration file that a heading is about.
type manualSections struct {
	title    string
	settings []config.Setting
}

func manuals(t *testing.T) []manual {
	env := func(string) string { return "" }
	of := func(title string) manualSections {
		settings, err := config.SectionSettings(title)
		if err != nil {
			t.Fatal(err)
		}
		return manualSections{title, settings}
	}
	all := config.ClientSettings()
	host := slices.DeleteFunc(config.HostSettings(), func(s config.Setting) bool {
		return slices.ContainsFunc(all, func(a config.Setting) bool { return a.Name == s.Name })
	})
	return []manual{{
		command: "knockclient", flags: all, page: "knockclient/knockclient.1", keys: "knockclient/knockclient.conf.5",
		sections: map[string]manualSections{"KEYS": {"", all}, "HOSTS BY NAME": {"office", host}},
		statuses: []int{ui.StatusOK, ui.StatusFailed, ui.StatusUsage, ui.StatusShut, ui.StatusBefore},
		load: func(flags []ui.Given, args []string) error {
			_, err := config.LoadClient(flags, args, env)
			return err
		},
	}, {
		command: "knockdaemon", flags: config.DaemonSettings(), page: "knockdaemon/knockdaemon.8", keys: "knockdaemon/knockdaemon.conf.5",
		sections: map[string]manualSections{
			"KEYS": of(""), "KEY SECTIONS": of("key alice"), "SEQUENCE SECTIONS": of("ssh"), "THE SECTION OPTIONS": of("options"),
		},
		statuses: []int{ui.StatusOK, ui.StatusFailed, ui.StatusUsage},
		load: func(flags []ui.Given, args []string) error {
			_, err := config.LoadDaemon(flags, env)
			return err
		},
	}}
}

// everyFlag is what every command has.
var everyFlag = []string{"completion", "help", "version"}

func inOrder(names []string) []string {
	slices.Sort(names)
	return names
}

// keyName is how the settings write a name that a page writes as knockd does.
func keyName(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "-") }

// Each flag has one entry in the command's page, and no other has; what is said about flags is about those.
func TestManualFlags(t *testing.T) {
	t.Parallel()
	for _, m := range manuals(t) {
		want := slices.Concat(everyFlag, []string{"h"})
		takesValue := map[string]bool{"completion": true}
		var flagOnly []string
		for _, s := range m.flags {
			want = append(want, s.Name)
			takesValue[s.Name] = !s.Bool
			if !s.IsKey() {
				flagOnly = append(flagOnly, s.Name)
			}
		}
		p := readManualPage(t, m.page)
		var got []string
		for _, i := range p.items {
			names := namesBehind("Fl", i.head)
			got = append(got, names...)
			if len(names) > 0 && i.takesValue() != takesValue[names[0]] {
				t.Errorf("%s: -%s takes a value: %v, but not so its entry", m.page, names[0], takesValue[names[0]])
			}
		}
		if diff := cmp.Diff(inOrder(slices.Clone(want)), inOrder(got)); diff != "" {
			t.Errorf("%s: entries of flags (-want +got)\n%s", m.page, diff)
		}
		for _, path := range []string{m.page, m.keys} {
			for _, l := range readManualPage(t, path).lines {
				for _, name := range namesBehind("Fl", append([]string{l.macro}, l.words...)) {
					if !slices.Contains(want, name) {
						t.Errorf("%s: there is no flag -%s: %s", path, name, l.text)
					}
				}
			}
		}
		if diff := cmp.Diff(inOrder(append(flagOnly, everyFlag...)), inOrder(notKeys(p))); diff != "" {
			t.Errorf("%s: what is said to be no key of the file (-want +got)\n%s", m.page, diff)
		}
	}
}

// notKeys gives the flags that a page says are no keys of the configuration file: those behind ", but".
func notKeys(p *manualPage) (names []string) {
	for i, l := range p.lines {
		if !strings.HasSuffix(l.text, "by the same name, but") && !strings.HasSuffix(l.text, "more is said about it, but") {
			continue
		}
		for _, next := range p.lines[i+1:] {
			if next.macro != "Fl" && next.text != "and" {
				break
			}
			names = append(names, namesBehind("Fl", append([]string{next.macro}, next.words...))...)
		}
	}
	return names
}

// Each key has one entry under the heading of its section, and no other has.
func TestManualKeys(t *testing.T) {
	t.Parallel()
	for _, m := range manuals(t) {
		p := readManualPage(t, m.keys)
		for heading, section := range m.sections {
			var want, got []string
			for _, s := range section.settings {
				if s.IsKey() {
					want = append(want, s.Name)
				}
			}
			for _, i := range p.items {
				if i.heading != heading {
					continue
				}
				for _, name := range namesBehind("Cm", i.head) {
					got = append(got, keyName(name))
				}
			}
			if diff := cmp.Diff(inOrder(want), inOrder(got)); diff != "" {
				t.Errorf("%s: %s: entries (-want +got)\n%s", m.keys, heading, diff)
			}
		}
		for _, i := range p.items {
			if _, ok := m.sections[i.heading]; !ok && len(namesBehind("Cm", i.head)) > 0 {
				t.Errorf("%s: %s is not about a section, but has the entry %q", m.keys, i.heading, i.head)
			}
		}
	}
}

// entry gives the entry of a flag or a key.
func (p *manualPage) entry(t *testing.T, heading, macro, name string) manualItem {
	t.Helper()
	for _, i := range p.items {
		for _, n := range namesBehind(macro, i.head) {
			if keyName(n) == name && (heading == "" || i.heading == heading) {
				return i
			}
		}
	}
	t.Fatalf("%s: no entry for %s", p.path, name)
	return manualItem{}
}

// shorter is what a page rightly says of a default in other words than the help.
var shorter = map[string]string{
	"iv of knockdaemon": "01234567, twice with Rijndael", // the help is that of both commands
}

// defaultOf gives the default that the usage text tells, or that all switches have.
func defaultOf(s config.Setting) (value string, ok bool) {
	if s.Bool {
		return "false", true
	}
	_, rest, ok := strings.Cut(s.Usage, "(default: ")
	value, _, _ = strings.Cut(strings.TrimSuffix(rest, ")"), ";")
	return value, ok
}

// The pages tell the defaults that the help tells, and the values that a setting takes.
func TestManualDefaults(t *testing.T) {
	t.Parallel()
	for _, m := range manuals(t) {
		flags, keys := readManualPage(t, m.page), readManualPage(t, m.keys)
		for _, s := range m.flags {
			entries := map[string]manualItem{m.page: flags.entry(t, "", "Fl", s.Name)}
			if s.IsKey() {
				entries[m.keys] = keys.entry(t, "KEYS", "Cm", s.Name)
			}
			for path, i := range entries {
				if s.Bool && path == m.page {
					continue // a flag that is not there is off
				}
				want, ok := defaultOf(s)
				if other := shorter[s.Name+" of "+m.command]; other != "" {
					want = other
				}
				got, told := i.value("Default:")
				if told != ok || !strings.HasPrefix(got, want) {
					t.Errorf("%s: the default of %s is %q, want %q", path, s.Name, got, want)
				}
				where := i.text
				if slices.Contains(i.head, "|") {
					where = strings.Join(i.head, " ")
				}
				for _, v := range s.Values {
					if !strings.Contains(where, v) {
						t.Errorf("%s: %s takes %s, which is not said", path, s.Name, v)
					}
				}
			}
		}
	}
}

// Ranges that a page tells in parts, since the whole is for two things.
var inParts = map[string][]string{
	"port of knockclient": {"0 to 255", "1 to 65535"}, // by a knock, and by digits
	"time of knockclient": {"1 to 254", "255 closes"},
}

var rangeOf = regexp.MustCompile(`want .*?\b(\d+)\.\.(\d+)`)

// The pages tell the ranges that an error tells when a setting gets what is no number.
func TestManualRanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, m := range manuals(t) {
		flags, keys := readManualPage(t, m.page), readManualPage(t, m.keys)
		found := 0
		check := func(path, name string, i manualItem, err error) {
			match := rangeOf.FindStringSubmatch(fmt.Sprint(err))
			if match == nil {
				return
			}
			found++
			want := []string{match[1] + " to " + match[2]}
			text := strings.ReplaceAll(i.text, "\n", " ")
			if parts := inParts[name+" of "+m.command]; parts != nil && !strings.Contains(text, want[0]) {
				want = parts
			}
			for _, w := range want {
				if !strings.Contains(text, w) {
					t.Errorf("%s: %s has the range %s, which is not said", path, name, w)
				}
			}
			if told, ok := i.value("Range:"); ok && told != want[0] {
				t.Errorf("%s: the range of %s is %q, want %s", path, name, told, want[0])
			}
		}
		for _, s := range m.flags {
			if !s.Bool {
				check(m.page, s.Name, flags.entry(t, "", "Fl", s.Name), m.load([]ui.Given{{Name: s.Name, Value: "x"}}, nil))
			}
		}
		for heading, section := range m.sections {
			for _, s := range section.settings {
				if s.Bool || !s.IsKey() {
					continue
				}
				text, args := s.Name+" = x\n", []string(nil)
				if section.title != "" {
					text, args = "["+section.title+"]\n"+text, []string{section.title}
				}
				conf := writeTemp(t, dir, "conf", text, 0o600)
				i := keys.entry(t, heading, "Cm", s.Name)
				if heading == "KEY SECTIONS" {
					i = keys.entry(t, "KEYS", "Cm", s.Name) // all is said there
				}
				check(m.keys, s.Name, i, m.load([]ui.Given{{Name: "conf", Value: conf}}, args))
			}
		}
		if found < 15 {
			t.Errorf("%s: errors told only %d ranges", m.command, found)
		}
	}
}

// The defaults of sections are told by no help, so they are compared with what a section that says little comes to.
func TestManualSectionDefaults(t *testing.T) {
	t.Parallel()
	conf := writeTemp(t, t.TempDir(), "conf", "[wake]\nsequence = 7000\ncommand = true\n[ssh]\nsequence = 7000,8000\nopen = 22\n", 0o600)
	d, err := config.LoadDaemon([]ui.Given{{Name: "conf", Value: conf}}, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	p := readManualPage(t, "knockdaemon/knockdaemon.conf.5")
	wake, ssh := d.Events[0], d.Events[1]
	sequence := func(name string) manualItem { return p.entry(t, "SEQUENCE SECTIONS", "Cm", name) }
	flags := strings.ReplaceAll(sequence("tcpflags").text, "\n", " ")
	if want := "Default: any; with open, close, forward or digits " + ssh.Match.Flags.String(); !strings.Contains(flags, want) {
		t.Errorf("tcpflags: %q, want %q", flags, want)
	}
	if got := wake.Match.Flags.String(); got != "" {
		t.Errorf("tcpflags of a section with a command are %q, want any", got)
	}
	for _, test := range []struct {
		entry manualItem
		want  string
	}{
		{sequence("seq-timeout"), fmt.Sprint(wake.Match.Timeout.Seconds())},
		{sequence("cmd-timeout"), fmt.Sprint(wake.Commands.Wait.Seconds())},
		{sequence("time"), fmt.Sprint(ssh.Time.Minutes())},
		{p.entry(t, "THE SECTION OPTIONS", "Cm", "interface"), d.Source.Interface},
		{p.entry(t, "THE SECTION OPTIONS", "Cm", "usesyslog"), fmt.Sprint(d.Syslog)},
	} {
		if got, _ := test.entry.value("Default:"); got != test.want {
			t.Errorf("%q: the default is %q, want %q", test.entry.head, got, test.want)
		}
	}
}

func TestManualStatuses(t *testing.T) {
	t.Parallel()
	for _, m := range manuals(t) {
		var got []string
		for _, i := range readManualPage(t, m.page).items {
			if i.heading == "EXIT STATUS" {
				got = append(got, strings.Join(i.head, " "))
			}
		}
		if diff := cmp.Diff(strings.Fields(strings.Trim(fmt.Sprint(m.statuses), "[]")), got); diff != "" {
			t.Errorf("%s: exit statuses (-want +got)\n%s", m.page, diff)
		}
	}
}

// A word of a heading that is a macro's name is not printed, and neither formatter minds.
func TestManualHeadings(t *testing.T) {
	t.Parallel()
	macro := regexp.MustCompile(`^[A-Z][a-z]$`)
	for _, m := range manuals(t) {
		for _, path := range []string{m.page, m.keys} {
			for _, l := range readManualPage(t, path).lines {
				if (l.macro == "Sh" || l.macro == "Ss") && slices.ContainsFunc(l.words, macro.MatchString) {
					t.Errorf("%s: a macro in the heading %q", path, l.words)
				}
			}
		}
	}
}

// Both formatters that there are have nothing against the pages, and a terminal is wide enough for them.
func TestManualForm(t *testing.T) {
	t.Parallel()
	needPrograms(t, "mandoc:mandoc", "groff:groff-base")
	for _, m := range manuals(t) {
		for _, path := range []string{m.page, m.keys} {
			for _, command := range []string{"mandoc -T lint -W warning ", "groff -mdoc -T utf8 -ww -z "} {
				out, err := exec.Command("sh", "-c", command+"../"+path).CombinedOutput()
				if err != nil || len(out) > 0 {
					t.Errorf("%s%s: %v\n%s", command, path, err, out)
				}
			}
			out, err := exec.Command("mandoc", "-T", "ascii", "../"+path).Output()
			if err != nil {
				t.Fatal(err)
			}
			shown := regexp.MustCompile(`.\x08`).ReplaceAllString(string(out), "")
			for text := range strings.Lines(shown) {
				if len(text) > 81 { // with its newline
					t.Errorf("%s: wider than 80 columns: %s", path, text)
				}
			}
		}
	}
}
