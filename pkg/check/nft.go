package check

import (
	"slices"
	"strconv"
	"strings"
)

// An nftTable is a table of nft's that iptables does not show.
type nftTable struct {
	family   string // ip, ip6, inet
	name     string
	input    bool     // it looks at what comes in
	forward  bool     // it looks at what is forwarded
	prefixes []string // that it logs with
	groups   []uint16 // of NFLOG that it sends to
}

func (t nftTable) String() string { return t.family + " " + t.name }

// sees tells whether t looks at what comes in over one IP version, "ip" or "ip6".
func (t nftTable) sees(family string) bool {
	return t.input && (t.family == family || t.family == "inet")
}

// logs tells whether t logs with a prefix.
func (t nftTable) logs(prefix string) bool {
	for _, p := range t.prefixes {
		if trimmed(p) == trimmed(prefix) {
			return true
		}
	}
	return false
}

// parseNFT reads what "nft list ruleset" printed. The chains INPUT and FORWARD of iptables' own tables, ip filter and so
// on, do not count.
func parseNFT(ruleset string) []nftTable {
	var (
		tables []nftTable
		chain  string
	)
	for line := range strings.Lines(ruleset) {
		words := strings.Fields(line)
		if len(words) >= 4 && words[0] == "table" && words[3] == "{" {
			tables = append(tables, nftTable{family: words[1], name: words[2]})
			continue
		}
		if len(tables) == 0 || len(words) == 0 {
			continue
		}
		t := &tables[len(tables)-1]
		switch {
		case words[0] == "chain" && len(words) > 1:
			chain = words[1]
		case strings.Contains(line, "type filter hook input "):
			t.input = t.input || !t.isIPTables() || chain != input
		case strings.Contains(line, "type filter hook forward "):
			t.forward = t.forward || !t.isIPTables() || chain != forward
		}
		if _, after, ok := strings.Cut(line, `log prefix "`); ok {
			prefix, _, _ := strings.Cut(after, `"`)
			t.prefixes = append(t.prefixes, prefix)
		}
		t.groups = append(t.groups, nftGroups(strings.Fields(unquoted(line)))...)
	}
	return tables
}

// unquoted is a line without the texts in it.
func unquoted(line string) string {
	var b strings.Builder
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 0 {
			b.WriteString(part)
		}
	}
	return b.String()
}

// nftGroups gives the group of a rule that logs to one: log prefix "x" group 5.
func nftGroups(words []string) (groups []uint16) {
	words, ok := after(words, "log")
	if !ok {
		return nil
	}
	words, ok = after(words, "group")
	if !ok || len(words) == 0 {
		return nil
	}
	if group, err := strconv.ParseUint(words[0], 10, 16); err == nil {
		groups = append(groups, uint16(group))
	}
	return groups
}

// after gives the words behind the first that is word.
func after(words []string, word string) ([]string, bool) {
	i := slices.Index(words, word)
	return words[i+1:], i >= 0
}

// isIPTables tells whether t has the name of one that iptables makes.
func (t nftTable) isIPTables() bool {
	switch t.name {
	case "filter", "mangle", "raw", "nat", "security":
		return t.family == "ip" || t.family == "ip6"
	}
	return false
}

// filtering gives those of tables that see what comes in over one IP version.
func filtering(tables []nftTable, family string) (some []nftTable) {
	for _, t := range tables {
		if t.sees(family) {
			some = append(some, t)
		}
	}
	return some
}
