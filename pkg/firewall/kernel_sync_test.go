package firewall

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// testForeignRules has every method work beside rules of somebody else's.
func testForeignRules(t *testing.T, k kernel) {
	k.settle()
	before := k.foreign()
	f := k.firewall("KNOCK")
	one, two, shut := rule("192.0.2.7", 22), rule("192.0.2.8", 22), drop("192.0.2.7")
	const end = "2037-11-21T12:34:56Z"
	steps := []struct {
		name string
		do   func()
	}{
		{"delete", func() { k.must(f.Delete(t.Context(), one)) }},
		{"setup", func() { k.must(f.Setup(t.Context())) }},
		{"add", func() { k.must(f.Add(t.Context(), until(one, end))) }},
		{"add a drop", func() { k.must(f.Add(t.Context(), always(shut))) }},
		{"add without an end", func() { k.must(f.Add(t.Context(), always(one))) }},
		{"sync", func() { k.sync(f, "removed drop 192.0.2.7, restored 192.0.2.8 22/tcp", always(one), always(two)) }},
		{"sync with copies", func() {
			k.admin(`
				-A KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
				-A KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -m time --datestop 2037-11-21T12:34:55 -m comment --comment knockdaemon -j ACCEPT
				-A KNOCK -s 192.0.2.0/24 -p udp -m udp --dport 22 -m comment --comment knockdaemon -j ACCEPT
				-A KNOCK ! -s 192.0.2.7/32 -i lo -m comment --comment knockdaemon -j REJECT --reject-with tcp-reset -p tcp
				-A INPUT -m comment --comment knockdaemon -j KNOCK`)
			k.sync(f, "2 unknown", always(one), always(two))
		}},
		{"delete what is there", func() { k.must(f.Delete(t.Context(), one)) }},
		{"sync with another end", func() { k.sync(f, "restored 192.0.2.8 22/tcp", until(two, end)) }},
		{"teardown", func() { k.must(f.Teardown(t.Context())) }},
	}
	for _, s := range steps {
		s.do()
		if diff := cmp.Diff(before, k.foreign()); diff != "" {
			t.Errorf("all tables without what is ours, after %s (-before +after):\n%s", s.name, diff)
		}
		if s.name == "sync with another end" {
			k.holds("-A INPUT"+jump, "-A KNOCK -s 192.0.2.8/32 -p tcp -m tcp --dport 22 -m time --datestop 2037-11-21T12:34:55"+tail)
		}
	}
	k.holds()
}

// holds compares the rules of ours in INPUT and KNOCK with literals.
func (k kernel) holds(want ...string) {
	k.t.Helper()
	var got []string
	for _, l := range parseListing(k.dump()) {
		if (l.in("INPUT") || l.in("KNOCK")) && l.value("--comment") == comment {
			got = append(got, strings.TrimSpace(printed(l)))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		k.t.Errorf("rules of ours (-want +got):\n%s", diff)
	}
}

func testLeftBehind(t *testing.T, k kernel) {
	k.admin("-P INPUT ACCEPT")
	before := k.dump()
	killed := k.firewall("KNOCK")
	k.must(killed.Setup(t.Context()))
	k.must(killed.Add(t.Context(), until(rule("192.0.2.7", 22), "2037-11-21T12:34:56Z")))
	k.must(killed.Add(t.Context(), always(drop("192.0.2.7"))))
	k.admin(`
		-A KNOCK -s 0.0.0.0/32 -m time --datestop 1971-01-01T00:00:00 -m comment --comment knockdaemon
		-A KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
		-A KNOCK -s 192.0.2.9/32 -p tcp -m tcp --dport 23 -m comment --comment knockdaemon -j ACCEPT
		-I INPUT -m comment --comment knockdaemon -j KNOCK`)

	f := k.firewall("KNOCK")
	k.sync(f, "removed drop 192.0.2.7, removed 192.0.2.7 22/tcp, 1 unknown", always(rule("192.0.2.9", 23)))
	k.want(`:INPUT ACCEPT
		:FORWARD ACCEPT
		:OUTPUT ACCEPT
		:KNOCK -
		-A INPUT -m comment --comment knockdaemon -j KNOCK
		-A KNOCK -s 192.0.2.9/32 -p tcp -m tcp --dport 23 -m comment --comment knockdaemon -j ACCEPT
	`)
	k.must(f.Teardown(t.Context()))
	if diff := cmp.Diff(before, k.dump()); diff != "" {
		t.Errorf("filter table after Teardown (-before +after):\n%s", diff)
	}
}

func testFlushed(t *testing.T, k kernel) {
	f := k.firewall("KNOCK")
	one, two, shut := always(rule("192.0.2.7", 22)), always(rule("192.0.2.8", 22)), always(drop("192.0.2.9"))
	k.must(f.Delete(t.Context(), one.Rule))
	k.must(f.Teardown(t.Context()))
	k.must(f.Setup(t.Context()))
	k.must(f.Add(t.Context(), one))
	k.admin("-F\n-X")
	k.must(f.Add(t.Context(), two))
	k.want(`:INPUT ACCEPT
		:FORWARD ACCEPT
		:OUTPUT ACCEPT
		:KNOCK -
		-A INPUT -m comment --comment knockdaemon -j KNOCK
		-A KNOCK -s 192.0.2.8/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
	`)
	k.sync(f, "restored 192.0.2.7 22/tcp", one, two)
	k.admin("-F INPUT")
	k.sync(f, "healed", one, two)
	k.admin("-F\n-X")
	k.sync(f, "restored 192.0.2.7 22/tcp, restored 192.0.2.8 22/tcp, restored drop 192.0.2.9, healed", shut, one, two)
	k.want(`:INPUT ACCEPT
		:FORWARD ACCEPT
		:OUTPUT ACCEPT
		:KNOCK -
		-A INPUT -m comment --comment knockdaemon -j KNOCK
		-A KNOCK -s 192.0.2.8/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
		-A KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
		-A KNOCK -s 192.0.2.9/32 -m conntrack --ctstate NEW -m comment --comment knockdaemon -j DROP
	`)
	k.sync(f, "", shut, one, two)
}

// testRestored has a saved firewall, with our rules in it, come back beside what
// is there, so that all is there twice: our second jump is below a rule that
// drops all, and a drop of ours is above an accept.
func testRestored(t *testing.T, k kernel) {
	f := k.firewall("KNOCK")
	one, shut := until(rule("192.0.2.7", 22), "2037-11-21T12:34:56Z"), always(drop("192.0.2.7"))
	k.must(f.Setup(t.Context()))
	k.must(f.Add(t.Context(), one))
	k.must(f.Add(t.Context(), shut))
	k.admin("-A INPUT -j DROP")
	saved := k.dump()
	var beside []string // the chain's own line would flush it
	for l := range strings.Lines(saved) {
		if l != ":KNOCK -\n" {
			beside = append(beside, l)
		}
	}
	k.restore(strings.Join(beside, ""))
	if got := strings.Count(k.dump(), comment); got != 2*strings.Count(saved, comment) {
		t.Fatalf("%d rules of ours after the restore, want all twice:\n%s", got, k.dump())
	}
	k.sync(f, "", shut, one)
	k.admin("-D INPUT -j DROP")
	if diff := cmp.Diff(saved, k.dump()); diff != "" {
		t.Errorf("filter table (-saved +got):\n%s", diff)
	}
}

func testEnds(t *testing.T, k kernel) {
	f := k.firewall("KNOCK")
	r := rule("192.0.2.7", 22)
	k.must(f.Setup(t.Context()))
	const head, tail = "-A KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 22 ", "-m comment --comment knockdaemon -j ACCEPT"
	steps := []struct {
		entry Entry
		want  string
	}{
		{until(r, "2036-01-02T03:04:05Z"), head + "-m time --datestop 2036-01-02T03:04:04 " + tail},
		{until(r, "2037-01-02T03:04:05.6Z"), head + "-m time --datestop 2037-01-02T03:04:04 " + tail},
		{always(r), head + tail},
		{until(r, "2036-01-01T00:00:00+02:00"), head + "-m time --datestop 2035-12-31T21:59:59 " + tail},
	}
	for _, s := range steps {
		for range 2 {
			k.must(f.Add(t.Context(), s.entry))
			k.holds("-A INPUT"+jump, s.want)
		}
		k.sync(f, "", s.entry)
	}
	for _, s := range steps {
		k.sync(f, "restored 192.0.2.7 22/tcp", s.entry)
		k.sync(f, "", s.entry)
		k.holds("-A INPUT"+jump, s.want)
	}
	k.must(f.Delete(t.Context(), r))
	k.holds("-A INPUT" + jump)
}

func testExtremes(t *testing.T, k kernel) {
	f := k.firewall("KNOCK")
	k.must(f.Setup(t.Context()))
	want := []Entry{
		always(rule("0.0.0.0", 0)), always(rule("255.255.255.255", 65535)), until(rule("127.0.0.1", 255), "1960-01-01T00:00:00Z"),
		until(rule("127.0.0.1", 1), "1970-01-01T00:00:00Z"), until(rule("127.0.0.1", 2), "1970-01-01T00:00:03Z"),
		until(rule("127.0.0.1", 3), "2038-01-19T03:14:07Z"), until(rule("127.0.0.1", 4), "2038-01-19T03:14:08Z"),
		until(rule("127.0.0.1", 5), "2200-01-01T00:00:00Z"), always(drop("0.0.0.0")), until(drop("255.255.255.255"), "2038-01-19T03:14:07Z"),
	}
	for _, e := range want {
		k.must(f.Add(t.Context(), e))
		k.must(f.Add(t.Context(), e))
	}
	k.sync(f, "", want...) // all are read back as they were put in
	if got := strings.Count(k.dump(), "-A KNOCK "); got != len(want) {
		t.Errorf("%d rules, want %d:\n%s", got, len(want), k.dump())
	}
	for _, e := range want {
		k.must(f.Delete(t.Context(), e.Rule))
	}
	k.want(`:INPUT ACCEPT
		:FORWARD ACCEPT
		:OUTPUT ACCEPT
		:KNOCK -
		-A INPUT -m comment --comment knockdaemon -j KNOCK
	`)
}

// TestChainVanishes has somebody take our chain away after each look of ours at
// the kernel: that may fail, never touches what is not ours, and is healed by
// the next Sync.
func TestChainVanishes(t *testing.T) {
	t.Parallel()
	one, two := always(rule("192.0.2.7", 22)), always(rule("192.0.2.8", 22))
	ops := map[string]func(Backend) error{
		"setup":    func(b Backend) error { return b.Setup(t.Context()) },
		"add":      func(b Backend) error { return b.Add(t.Context(), one) },
		"delete":   func(b Backend) error { return b.Delete(t.Context(), one.Rule) },
		"sync":     func(b Backend) error { _, err := b.Sync(t.Context(), []Entry{two}); return err },
		"teardown": func(b Backend) error { return b.Teardown(t.Context()) },
	}
	for _, variant := range variants {
		for name, op := range ops {
			t.Run(variant+"/"+name, func(t *testing.T) {
				t.Parallel()
				k := newKernel(t, variant)
				k.settle()
				k.admin("-F KNOCK")
				before := k.foreign()
				marker := filepath.Join(t.TempDir(), "vanish")
				program := script(t, fmt.Sprintf(`v="%s -w 5"; %s "$@" || exit
					if [ "$3" = -S ] && [ -e %s ]; then $v -D INPUT%s && $v -F KNOCK && $v -X KNOCK; fi`, variant, variant, marker, jump))
				f, err := NewIPTables(Options{Program: program})
				k.must(err)
				k.must(f.Setup(t.Context()))
				k.must(f.Add(t.Context(), one))
				k.must(os.WriteFile(marker, nil, 0o600))
				err = op(f)
				t.Logf("error: %v", err)
				if diff := cmp.Diff(before, k.foreign()); diff != "" {
					t.Errorf("all tables without what is ours (-before +after):\n%s", diff)
				}
				k.must(os.Remove(marker))
				_, err = f.Sync(t.Context(), []Entry{two})
				k.must(err)
				k.holds("-A INPUT"+jump, "-A KNOCK -s 192.0.2.8/32 -p tcp -m tcp --dport 22"+tail)
				if diff := cmp.Diff(before, k.foreign()); diff != "" {
					t.Errorf("all tables without what is ours, after a sync (-before +after):\n%s", diff)
				}
			})
		}
	}
}
