package test

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// A manualPage is a manual page, as far as the tests read mdoc(7).
type manualPage struct {
	path  string
	lines []manualLine
	items []manualItem
}

// A manualLine is a line of a page, under its heading (.Sh).
type manualLine struct {
	heading string
	macro   string   // of its beginning, without the dot; empty: text
	words   []string // what follows the macro
	text    string   // as it is read, more or less: without the names of manualMacros
}

// A manualItem is an entry of a list.
type manualItem struct {
	heading string
	head    []string // the words behind .It
	text    string   // what is said of it
}

// manualMacros are the words that a line of mdoc calls, and does not print.
var manualMacros = strings.Fields("Ar Bq Cm Dv Ev Fl Li Nm No Ns Oc Oo Op Pa Pc Po Pq Ql Sx Xr")

func readManualPage(t *testing.T, path string) *manualPage {
	t.Helper()
	source, err := os.ReadFile("../" + path)
	if err != nil {
		t.Fatal(err)
	}
	p := &manualPage{path: path}
	heading := ""
	for text := range strings.Lines(string(source)) {
		l := newManualLine(strings.TrimSuffix(text, "\n"))
		if l.macro == "Sh" {
			heading = strings.Join(l.words, " ")
		}
		l.heading = heading
		p.lines = append(p.lines, l)
	}
	p.findItems()
	return p
}

func newManualLine(text string) manualLine {
	call, ok := strings.CutPrefix(text, ".")
	if !ok {
		return manualLine{text: text, words: strings.Fields(text)}
	}
	words := strings.Fields(call)
	l := manualLine{macro: words[0], words: words[1:]}
	said := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return slices.Contains(manualMacros, w) })
	l.text = strings.Join(said, " ")
	return l
}

// findItems finds the entries of all lists. What is said in a list within an item is said of the inner one.
func (p *manualPage) findItems() {
	var open []int // the item at each depth; -1: none yet
	for _, l := range p.lines {
		switch l.macro {
		case "Bl":
			open = append(open, -1)
		case "El":
			open = open[:len(open)-1]
		case "It":
			open[len(open)-1] = len(p.items)
			p.items = append(p.items, manualItem{heading: l.heading, head: l.words})
		default:
			if len(open) > 0 && open[len(open)-1] >= 0 {
				p.items[open[len(open)-1]].text += l.text + "\n"
			}
		}
	}
}

// namesBehind gives the words that a macro makes flags (Fl) or keys (Cm) of. Of an assignment these are the words in front.
func namesBehind(macro string, words []string) (names []string) {
	in := false
	for _, w := range words {
		switch {
		case w == "=":
			return names
		case w == macro:
			in = true
		case slices.Contains(manualMacros, w):
			in = false
		case in && strings.Trim(w, ",.:;|()") != "":
			names = append(names, w)
		}
	}
	return names
}

// value gives what stands behind a word like "Default:" at the start of a line, without its full stop.
func (i manualItem) value(word string) (value string, ok bool) {
	for text := range strings.Lines(i.text) {
		if rest, is := strings.CutPrefix(text, word+" "); is {
			return strings.TrimSuffix(strings.TrimSuffix(rest, "\n"), "."), true
		}
	}
	return "", false
}

// takesValue tells whether there is a value in the head.
func (i manualItem) takesValue() bool {
	return slices.Contains(i.head, "Ar") || slices.Contains(i.head, "=")
}

// A manualExample is one of the two: a command line without its prompt, or the text of a file.
type manualExample struct{ command, file string }

// examples gives what stands under EXAMPLES.
func (p *manualPage) examples() (all []manualExample) {
	inFile := false
	for _, l := range p.lines {
		switch {
		case l.heading != "EXAMPLES":
		case l.macro == "Dl":
			all = append(all, manualExample{command: unescapeManual.Replace(strings.Join(l.words[1:], " "))})
		case l.macro == "Bd" || l.macro == "Ed":
			if inFile = l.macro == "Bd"; inFile {
				all = append(all, manualExample{})
			}
		case inFile:
			all[len(all)-1].file += l.text + "\n"
		}
	}
	return all
}

// unescapeManual turns what mdoc needs written otherwise into what is read.
var unescapeManual = strings.NewReplacer(`\(dq`, `"`, `\(aq`, `'`, `\-`, `-`, `\&`, ``)
