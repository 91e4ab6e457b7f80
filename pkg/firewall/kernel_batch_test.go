package firewall

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wrapped gives an IPTables whose restore program is a script that does what
// body says, with the real one as "$real": after it, if there is no exit.
func (k kernel) wrapped(body string) *IPTables {
	k.t.Helper()
	program := script(k.t, fmt.Sprintf(`exec %s "$@"`, k.variant))
	if body != "" {
		beside(k.t, program, fmt.Sprintf("v='%s -w 5'; real=%s-restore\nif [ \"$1\" != --version ]; then :; %s\nfi\nexec $real \"$@\"", k.variant, k.variant, body))
	}
	f, err := NewIPTables(Options{Program: program})
	k.must(err)
	return f
}

// testMany has thousands of rules come, change, and go, each time in one run of
// the restore program.
func testMany(t *testing.T, k kernel) {
	k.settle()
	before := k.foreign()
	runs := 0
	f, err := NewIPTables(Options{Program: k.variant, Ran: func() { runs++ }})
	k.must(err)
	k.must(f.Setup(t.Context()))
	const end = "2037-11-21T12:34:56Z"
	all := many(5000)
	for i, e := range all[:4000] {
		all[i] = until(e.Rule, end)
		if i%8 == 0 {
			all[i].Port, all[i].Action = 0, Drop
		}
	}
	ends := slices.Clone(all)
	for i, e := range ends[:3000] {
		ends[i] = until(e.Rule, "2037-11-21T13:34:56Z")
	}
	var half []Entry
	for i := 0; i < len(ends); i += 2 {
		half = append(half, ends[i])
	}
	steps := []struct {
		name              string
		want              []Entry
		removed, restored int
		runs              int
	}{
		{"all come", all, 0, 5000, 2},
		{"nothing to do", all, 0, 0, 1},
		{"other ends of the oldest", ends, 0, 3000, 2},
		{"other ends of those below", all, 0, 3000, 2},
		{"and back", ends, 0, 3000, 2},
		{"half go", half, 2500, 0, 2},
		{"the rest comes back", ends, 0, 2500, 2},
		{"all go", nil, 5000, 0, 2},
	}
	for _, s := range steps {
		runs = 0
		c, err := f.Sync(t.Context(), s.want)
		k.must(err)
		if len(c.Removed) != s.removed || len(c.Restored) != s.restored || runs != s.runs {
			t.Errorf("%s: %d removed, %d restored, in %d runs; want %d, %d, %d", s.name, len(c.Removed), len(c.Restored), runs, s.removed, s.restored, s.runs)
		}
		k.wantEntries(f, s.want)
		if diff := cmp.Diff(before, k.foreign()); diff != "" {
			t.Errorf("all tables without what is ours, after %s (-before +after):\n%s", s.name, diff)
		}
	}
}

// wantEntries compares what KNOCK holds of ours with what it should, in whatever
// order but that of accepts before drops.
func (k kernel) wantEntries(f *IPTables, want []Entry) {
	k.t.Helper()
	var got, wants []string
	drops := false
	for _, h := range f.in.held(parseListing(k.dump())) {
		got = append(got, entryText(h.Entry))
		drops = drops || h.Action == Drop
		if !h.known || drops && h.Action == Accept {
			k.t.Errorf("a rule of another form or below a drop: %q", h.line)
		}
	}
	for _, e := range want {
		wants = append(wants, entryText(e))
	}
	slices.Sort(got)
	slices.Sort(wants)
	if diff := cmp.Diff(wants, got); diff != "" {
		k.t.Errorf("rules of ours (-want +got):\n%s", diff)
	}
}

// testFallback has a Sync work whatever becomes of the restore program.
func testFallback(t *testing.T, k kernel) {
	k.settle()
	k.admin("-F KNOCK")
	before := k.foreign()
	bodies := map[string]string{
		"none":             "",
		"fails":            "echo no >&2; exit 1",
		"fails after work": "$real \"$@\"; exit 1",
		"other version":    "fi; if [ \"$1\" = --version ]; then echo x v0; exit; else exit 9",
	}
	one, two, shut := always(rule("192.0.2.7", 22)), until(rule("192.0.2.8", 22), "2037-11-21T12:34:56Z"), always(drop("192.0.2.9"))
	for name, body := range bodies {
		f := k.wrapped(body)
		k.must(f.Setup(t.Context()))
		_, err := f.Sync(t.Context(), []Entry{one, two, shut})
		k.must(err)
		k.wantEntries(f, []Entry{one, two, shut})
		k.admin("-A KNOCK -s 192.0.2.0/24 -m comment --comment knockdaemon -m comment --comment \"an \\\"odd\\\" one\" -j ACCEPT")
		_, err = f.Sync(t.Context(), []Entry{until(one.Rule, "2037-11-21T12:34:56Z"), shut})
		k.must(err)
		k.wantEntries(f, []Entry{until(one.Rule, "2037-11-21T12:34:56Z"), shut})
		k.must(f.Teardown(t.Context()))
		k.admin("-N KNOCK\n-A INPUT -m comment --comment knockdaemon -j KNOCK")
		if diff := cmp.Diff(before, k.foreign()); diff != "" {
			t.Errorf("all tables without what is ours, after %s (-before +after):\n%s", name, diff)
		}
		k.admin("-D INPUT -m comment --comment knockdaemon -j KNOCK")
	}
}

// testChanges has somebody change the table between the look at it and the run of
// the restore program, once or each time.
func testChanges(t *testing.T, k kernel) {
	k.settle()
	k.admin("-F KNOCK")
	one, two, three := always(rule("192.0.2.7", 22)), always(rule("192.0.2.8", 22)), always(drop("192.0.2.9"))
	changes := map[string]string{
		"a rule of ours goes":  "$v -D KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 22" + tail,
		"a copy of ours comes": "$v -I KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 22" + tail,
		"all go":               "$v -F KNOCK",
		"the chain goes":       "$v -D INPUT" + jump + "; $v -F KNOCK; $v -X KNOCK",
		"the jump goes":        "$v -D INPUT" + jump,
		"one of his comes":     "$v -I INPUT -s 192.0.2.99/32 -j DROP; $v -D INPUT -s 192.0.2.99/32 -j DROP",
	}
	before := k.foreign()
	for name, change := range changes {
		for _, times := range []string{"once", "always"} {
			marker := filepath.Join(t.TempDir(), "marker")
			body := fmt.Sprintf("if [ -e %s ]; then %s; fi >/dev/null 2>&1", marker, change)
			if times == "once" {
				body += "; rm -f " + marker
			}
			f := k.wrapped(body)
			k.must(f.Setup(t.Context()))
			_, err := f.Sync(t.Context(), []Entry{one, three})
			k.must(err)
			k.must(os.WriteFile(marker, nil, 0o600))
			_, err = f.Sync(t.Context(), []Entry{two, three})
			if times == "once" || !strings.HasPrefix(name, "the ") {
				k.must(err)
			}
			if err := os.Remove(marker); (err == nil) != (times == "always") {
				t.Errorf("the restore program was not run after %s, %s", name, times)
			}
			_, err = f.Sync(t.Context(), []Entry{two, three})
			k.must(err)
			k.holds("-A INPUT"+jump, "-A KNOCK -s 192.0.2.8/32 -p tcp -m tcp --dport 22"+tail,
				"-A KNOCK -s 192.0.2.9/32 -m conntrack --ctstate NEW -m comment --comment knockdaemon -j DROP")
			if diff := cmp.Diff(before, k.foreign()); diff != "" {
				t.Errorf("all tables without what is ours, after %s, %s (-before +after):\n%s", name, times, diff)
			}
			_, err = f.Sync(t.Context(), nil)
			k.must(err)
		}
	}
}
