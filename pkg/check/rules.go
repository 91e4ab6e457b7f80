package check

import (
	"strconv"
	"strings"

	"github.com/portknock/knock/pkg/firewall"
)

// The built-in chains that packets go through: those for this host, and those for others.
const (
	input   = firewall.InputChain
	forward = "FORWARD"
)

// A table is the filter table, as "iptables -S -v" lists it.
type table struct {
	policies map[string]string  // of the built-in chains
	chains   map[string][]*rule // in their order; each chain is there, also without rules
}

// A rule is one line of a table.
type rule struct {
	chain   string
	number  int    // in its chain, from 1
	text    string // as listed, without the chain and the counters
	modules []string
	options []option // of the matches
	target  string   // may be empty
	gone    bool     // the target was gone to (-g), not jumped to
	args    []option // of the target
	packets uint64   // that have matched
}

// An option is "-s 192.0.2.0/24" or "! --dport 22", with all its values.
type option struct {
	not    bool
	name   string
	values []string
}

// value gives the nth value of o, or "".
func (o option) value(n int) string {
	if n < len(o.values) {
		return o.values[n]
	}
	return ""
}

// arg gives the first value of an option, or "".
func arg(options []option, name string) string {
	for _, o := range options {
		if o.name == name {
			return o.value(0)
		}
	}
	return ""
}

// String names the rule to its owner.
func (r *rule) String() string {
	const most = 240
	text := r.text
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return r.chain + " rule " + strconv.Itoa(r.number) + " (" + text + ")"
}

// parseTable reads a listing. What is no line of one, such as a warning, is left out.
func parseTable(listing string) *table {
	t := &table{policies: map[string]string{}, chains: map[string][]*rule{}}
	for line := range strings.Lines(listing) {
		words := split(strings.TrimRight(line, "\r\n"))
		if len(words) < 2 {
			continue
		}
		chain := words[1].text
		switch words[0].text {
		case "-P":
			t.chains[chain] = nil
			if len(words) > 2 {
				t.policies[chain] = words[2].text
			}
		case "-N":
			t.chains[chain] = nil
		case "-A":
			r := parseRule(words[2:])
			r.chain, r.number = chain, len(t.chains[chain])+1
			t.chains[chain] = append(t.chains[chain], r)
		}
	}
	return t
}

// single are the options whose one value may look like an option, as iptables quotes a text only if it must.
var single = map[string]bool{"--comment": true, "--log-prefix": true, "--nflog-prefix": true, "--ulog-prefix": true}

// parseRule reads the words behind the chain's name.
func parseRule(words []word) *rule {
	r := new(rule)
	var text []string
	for len(words) > 0 {
		o, n := parseOption(words)
		if o.name != "-c" {
			for _, w := range words[:n] {
				text = append(text, w.listed)
			}
		}
		words = words[n:]
		switch {
		case o.name == "-c":
			r.packets, _ = strconv.ParseUint(o.value(0), 10, 64) // the program's own number, or 0
		case o.name == "-m":
			r.modules = append(r.modules, o.value(0))
		case r.target == "" && (o.name == "-j" || o.name == "-g"):
			r.target, r.gone = o.value(0), o.name == "-g"
		case r.target != "":
			r.args = append(r.args, o)
		default:
			r.options = append(r.options, o)
		}
	}
	r.text = strings.Join(text, " ")
	return r
}

// parseOption reads the option that words, of which there is one at least, begin with, and tells how many words it is.
func parseOption(words []word) (o option, n int) {
	if words[0].is("!") && len(words) > 1 {
		o.not, n = true, 1
	}
	o.name = words[n].text
	n++
	if single[o.name] && n < len(words) {
		o.values = []string{words[n].text}
		return o, n + 1
	}
	for n < len(words) && !words[n].is("!") && !words[n].isOption() {
		o.values = append(o.values, words[n].text)
		n++
	}
	return o, n
}

// A word is one of a listing's line.
type word struct {
	text   string // without its quotes
	listed string // with them
}

func (w word) is(text string) bool { return w.listed == text }

func (w word) isOption() bool { return strings.HasPrefix(w.listed, "-") && w.listed != "-" }

// split cuts a line at spaces. A word in double quotes may hold spaces, and quotes after a backslash.
func split(line string) []word {
	var (
		words  []word
		text   strings.Builder
		start  = -1 // of the word
		quoted bool
	)
	for i := 0; i <= len(line); i++ {
		if i == len(line) || line[i] == ' ' && !quoted {
			if start >= 0 {
				words = append(words, word{text.String(), line[start:i]})
			}
			text.Reset()
			start = -1
			continue
		}
		if start < 0 {
			start = i
		}
		switch c := line[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted && i+1 < len(line):
			i++
			text.WriteByte(line[i])
		default:
			text.WriteByte(c)
		}
	}
	return words
}
