package check

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A listing as iptables prints it: counters, quotes, turned conditions, options in a comment.
func TestParseTable(t *testing.T) {
	t.Parallel()
	const listing = `# Warning: iptables-legacy tables present, use iptables-legacy to see them
-P INPUT DROP -c 7 8
-N foo
-A INPUT -p tcp -m tcp ! --dport 745:1000 -m limit --limit 3/min -c 12 720 -j LOG --log-prefix "a \"b\" " --log-level 6
-A INPUT -m comment --comment -j -m comment --comment "x -j DROP" -c 0 0 -g foo
-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN
-A foo ! -i eth+ -j RETURN
garbage
-A
`
	want := &table{
		policies: map[string]string{"INPUT": "DROP"},
		chains: map[string][]*rule{
			"INPUT": {
				{
					chain: "INPUT", number: 1,
					text:    `-p tcp -m tcp ! --dport 745:1000 -m limit --limit 3/min -j LOG --log-prefix "a \"b\" " --log-level 6`,
					modules: []string{"tcp", "limit"},
					options: []option{{name: "-p", values: []string{"tcp"}}, {not: true, name: "--dport", values: []string{"745:1000"}},
						{name: "--limit", values: []string{"3/min"}}},
					target:  "LOG",
					args:    []option{{name: "--log-prefix", values: []string{`a "b" `}}, {name: "--log-level", values: []string{"6"}}},
					packets: 12,
				},
				{
					chain: "INPUT", number: 2, text: `-m comment --comment -j -m comment --comment "x -j DROP" -g foo`,
					modules: []string{"comment", "comment"},
					options: []option{{name: "--comment", values: []string{"-j"}}, {name: "--comment", values: []string{"x -j DROP"}}},
					target:  "foo", gone: true,
				},
				{
					chain: "INPUT", number: 3, text: "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", modules: []string{"tcp"},
					options: []option{{name: "-p", values: []string{"tcp"}}, {name: "--tcp-flags", values: []string{"FIN,SYN,RST,ACK", "SYN"}}},
				},
			},
			"foo": {{
				chain: "foo", number: 1, text: "! -i eth+ -j RETURN",
				options: []option{{not: true, name: "-i", values: []string{"eth+"}}}, target: "RETURN",
			}},
		},
	}
	if diff := cmp.Diff(want, parseTable(listing), cmp.AllowUnexported(table{}, rule{}, option{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
