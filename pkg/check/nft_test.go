package check

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A ruleset as nft lists it: a table of iptables', one of its own, one for IPv6, and one that sees nothing come in.
const ruleset = `table ip filter {
	chain INPUT {
		type filter hook input priority filter; policy drop;
		ct state established counter packets 0 bytes 0 accept
		tcp dport 745-1000 counter packets 0 bytes 0 log prefix "IPT "
	}
}
table ip knock {
	chain pass {
		meta mark set meta mark | 0x02000000
	}

	chain input {
		type filter hook input priority filter - 1; policy accept;
		tcp dport 745-1000 tcp flags syn / fin,syn,rst,ack log prefix "DENY " level info
	}
}
table ip6 knock {
	chain input {
		type filter hook input priority filter; policy drop;
	}
}
table inet firewalld {
	chain filter_INPUT {
		type filter hook input priority filter + 10; policy accept;
	}
}
table inet nat {
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
	}
}
table ip filter2 {
`

func TestParseNFT(t *testing.T) {
	t.Parallel()
	tables := parseNFT(ruleset)
	for family, want := range map[string][]nftTable{
		"ip": {
			{family: "ip", name: "knock", input: true, prefixes: []string{"DENY "}},
			{family: "inet", name: "firewalld", input: true},
		},
		"ip6": {{family: "ip6", name: "knock", input: true}, {family: "inet", name: "firewalld", input: true}},
	} {
		if diff := cmp.Diff(want, filtering(tables, family), cmp.AllowUnexported(nftTable{})); diff != "" {
			t.Errorf("%s (-want +got)\n%s", family, diff)
		}
	}
	if knock := filtering(tables, "ip")[0]; !knock.logs("DENY") || knock.logs("") || knock.logs("IPT ") {
		t.Errorf("%v does not log with its prefix alone", knock)
	}
}

func FuzzNFT(f *testing.F) {
	f.Add(ruleset)
	f.Fuzz(func(t *testing.T, ruleset string) {
		for _, table := range filtering(parseNFT(ruleset), "ip") {
			if table.family != "ip" && table.family != "inet" || !table.input {
				t.Errorf("%+v sees no IPv4 come in", table)
			}
		}
	})
}
