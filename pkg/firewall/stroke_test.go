package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The ends of runs of the restore program, in the words of iptables 1.8.9.
const (
	noLine       = "iptables-restore: line 2 failed"
	stillLocked  = "Another app is currently holding the xtables lock. Stopped waiting after 5s."
	lineError    = "iptables: " + noLine + " (exit status 1)"
	unknownSpec  = " -s 192.0.2.0/24 -p udp -m comment --comment knockdaemon -j ACCEPT"
	unknownQuote = ` -s 192.0.2.0/24 -m comment --comment knockdaemon -m comment --comment "it's \"odd\"" -j ACCEPT`
)

// restoring is a run of the restore program, with lines "-I KNOCK -s ...".
func restoring(lines ...string) run {
	return run{args: "restore\n" + strings.Join(lines, "\n") + "\n"}
}

func (r run) failing(code int, stderr string) run {
	r.code, r.stderr = code, stderr
	return r
}

func TestRestoreRuns(t *testing.T) {
	t.Parallel()
	r, shut := rule("192.0.2.1", 22), drop("192.0.2.1")
	one, two, timed := always(r), always(rule("192.0.2.2", 80)), until(r, "2026-11-21T12:34:56Z")
	empty := run{args: "-S", stdout: ready}
	failed := `failed to reconcile chain "KNOCK": `
	tests := map[string]scenario{
		"nothing to do":        {do: syncing(timed), script: []run{{args: "-S", stdout: inKnock(timedSpec)}}},
		"one change as it was": {do: syncing(one), script: []run{empty, {args: "-I KNOCK" + spec}}, want: "told: restored 192.0.2.1 22/tcp"},
		"missing": {do: syncing(one, two, always(shut)), script: []run{empty, restoring("-I KNOCK"+spec, "-I KNOCK"+otherSpec, "-A KNOCK"+dropSpec)},
			want: "told: restored drop 192.0.2.1, restored 192.0.2.1 22/tcp, restored 192.0.2.2 80/tcp"},
		"not wanted, thrice, and missing": {do: syncing(two), script: []run{{args: "-S", stdout: inKnock(spec, dropSpec, timedSpec, spec)},
			restoring("-D KNOCK"+spec, "-D KNOCK"+dropSpec, "-D KNOCK"+timedSpec, "-D KNOCK"+spec, "-I KNOCK"+otherSpec)},
			want: "told: removed drop 192.0.2.1, removed 192.0.2.1 22/tcp, restored 192.0.2.2 80/tcp"},
		"other ends": {do: syncing(timed), script: []run{{args: "-S", stdout: inKnock(spec, otherSpec, lateSpec)},
			restoring("-D KNOCK"+spec, "-D KNOCK"+otherSpec, "-D KNOCK"+lateSpec, "-I KNOCK"+timedSpec)},
			want: "told: removed 192.0.2.2 80/tcp, restored 192.0.2.1 22/tcp"},
		"a copy of what is wanted": {do: syncing(one), script: []run{{args: "-S", stdout: inKnock(spec, " -j LOG", spec)},
			restoring("-D KNOCK"+spec, "-D KNOCK"+spec, "-I KNOCK"+spec)}},
		"a drop before an accept": {do: syncing(one, always(shut)), script: []run{{args: "-S", stdout: inKnock(dropSpec, spec)},
			restoring("-D KNOCK"+dropSpec, "-A KNOCK"+dropSpec)}},
		"a form that is not known": {do: syncing(), script: []run{{args: "-S", stdout: inKnock(unknownSpec, spec, " -j LOG", unknownSpec)},
			restoring("-D KNOCK"+unknownSpec, "-D KNOCK"+spec, "-D KNOCK"+unknownSpec)}, want: "told: removed 192.0.2.1 22/tcp, 2 unknown"},
		"an odd word": {do: syncing(two), script: []run{{args: "-S", stdout: inKnock(unknownQuote, spec)},
			restoring("-D KNOCK"+spec, "-I KNOCK"+otherSpec), {args: `-D KNOCK -s 192.0.2.0/24 -m comment --comment knockdaemon -m comment --comment it's "odd" -j ACCEPT`}},
			want: "told: removed 192.0.2.1 22/tcp, restored 192.0.2.2 80/tcp, 1 unknown"},
		"two jumps": {do: syncing(), script: []run{{args: "-S", stdout: builtin + "-N KNOCK\n-A INPUT -i lo -j ACCEPT\n-A INPUT" + jump + "\n-A INPUT -j DROP\n-A INPUT" + jump + "\n"},
			restoring("-D INPUT"+jump, "-D INPUT"+jump, "-I INPUT 2"+jump)}},
		"an empty firewall": {do: syncing(one, two), script: []run{{args: "-S", stdout: builtin},
			{args: "-N KNOCK"}, {args: "-I INPUT 1" + jump}, restoring("-I KNOCK"+spec, "-I KNOCK"+otherSpec)},
			want: "told: restored 192.0.2.1 22/tcp, restored 192.0.2.2 80/tcp, healed"},
		"straight, and a drop there": {chain: "INPUT", do: syncing(always(shut), two), script: []run{
			{args: "-S INPUT", stdout: "-P INPUT DROP\n-A INPUT" + jump + "\n-A INPUT" + spec + "\n-A INPUT -j LOG\n"}, restoring("-D INPUT"+spec, "-I INPUT"+otherSpec), {args: "-S FORWARD", stdout: "-P FORWARD ACCEPT\n"}},
			want: `failed to reconcile chain "INPUT": failed to add rule "drop 192.0.2.1": dropping needs a chain of our own, not INPUT` +
				"\ntold: removed 192.0.2.1 22/tcp, restored 192.0.2.2 80/tcp"},
		"a rule that cannot be": {do: syncing(one, always(rule("::1", 22)), two), script: []run{empty, restoring("-I KNOCK"+spec, "-I KNOCK"+otherSpec)},
			want: failed + `failed to add rule "::1 22/tcp": address "::1" is not an IPv4 address` + "\ntold: restored 192.0.2.1 22/tcp, restored 192.0.2.2 80/tcp"},

		"changed meanwhile": {do: syncing(two), script: []run{
			{args: "-S", stdout: inKnock(spec)}, restoring("-D KNOCK"+spec, "-I KNOCK"+otherSpec).failing(1, noLine),
			{args: "-S", stdout: inKnock(timedSpec)}, restoring("-D KNOCK"+timedSpec, "-I KNOCK"+otherSpec)},
			want: "told: removed 192.0.2.1 22/tcp, restored 192.0.2.2 80/tcp"},
		"the chain goes meanwhile": {do: syncing(one, two), script: []run{
			empty, restoring("-I KNOCK"+spec, "-I KNOCK"+otherSpec).failing(1, noLine),
			{args: "-S", stdout: builtin}, {args: "-N KNOCK"}, {args: "-I INPUT 1" + jump}, restoring("-I KNOCK"+spec, "-I KNOCK"+otherSpec)},
			want: "told: restored 192.0.2.1 22/tcp, restored 192.0.2.2 80/tcp, healed"},
		"an unknown form that it does not take": {do: syncing(two), script: []run{
			{args: "-S", stdout: inKnock(unknownSpec, spec)}, restoring("-D KNOCK"+unknownSpec, "-D KNOCK"+spec, "-I KNOCK"+otherSpec).failing(2, "what?"),
			{args: "-S", stdout: inKnock(unknownSpec, spec)}, restoring("-D KNOCK"+spec, "-I KNOCK"+otherSpec), {args: "-D KNOCK" + unknownSpec, code: 2, stderr: "what?"}},
			want: failed + "iptables: what? (exit status 2)\ntold: removed 192.0.2.1 22/tcp, restored 192.0.2.2 80/tcp"},
		"always fails": {do: syncing(two), script: []run{
			{args: "-S", stdout: inKnock(spec)}, restoring("-D KNOCK"+spec, "-I KNOCK"+otherSpec).failing(1, noLine),
			{args: "-S", stdout: inKnock(spec)}, restoring("-D KNOCK"+spec, "-I KNOCK"+otherSpec).failing(1, noLine),
			{args: "-S", stdout: inKnock(spec)}, {args: "-D KNOCK" + spec}, {args: "-I KNOCK" + otherSpec}},
			want: "told: removed 192.0.2.1 22/tcp, restored 192.0.2.2 80/tcp"},
		"cannot look again": {do: syncing(one, two), script: []run{
			empty, restoring("-I KNOCK"+spec, "-I KNOCK"+otherSpec).failing(1, noLine), {args: "-S", code: 4, stderr: locked}},
			want: failed + lockError},
		"waits for a lock once": {do: syncing(one, two), script: []run{
			empty, restoring("-I KNOCK"+spec, "-I KNOCK"+otherSpec).failing(4, stillLocked)},
			want: failed + "iptables: " + stillLocked + " (exit status 4)"},
		"hangs once": {do: syncing(one, two), script: []run{
			empty, {args: restoring("-I KNOCK"+spec, "-I KNOCK"+otherSpec).args, hangs: true}}, want: failed + errHangs.Error()},
		"afterwards what may have come is looked at": {do: all(failing(syncing(one, two)), add(one)), script: []run{
			empty, {args: restoring("-I KNOCK"+spec, "-I KNOCK"+otherSpec).args, hangs: true}, {args: "-S", stdout: inKnock(spec)}}},
		"afterwards what is gone is not looked at": {do: all(failing(syncing()), add(one)), script: []run{
			{args: "-S", stdout: inKnock(spec, dropSpec)}, restoring("-D KNOCK"+spec, "-D KNOCK"+dropSpec), {args: "-I KNOCK" + spec}, {args: "-S", stdout: inKnock(spec)}}},
	}
	for name, tt := range tests {
		tt.restore = true
		tests[name] = tt
	}
	play(t, tests)
}

// many gives entries with different addresses from 10.0.0.0 on.
func many(n int) []Entry {
	var list []Entry
	for i := range n {
		list = append(list, Entry{Rule: Rule{Src: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Port: 22}})
	}
	return list
}

// listed is a firewall that holds entries in KNOCK, the first on top.
func listed(list []Entry) string {
	var b strings.Builder
	b.WriteString(ready)
	for _, e := range list {
		b.WriteString("-A KNOCK " + strings.Join(newPlaces("KNOCK").in.ruleArgs(e, true), " ") + "\n")
	}
	return b.String()
}

// TestOneByOneIsBounded has more changes than are made one by one.
func TestOneByOneIsBounded(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		restore restoreFunc
		want    string
	}{
		"without a restore program": {nil, `failed to reconcile chain "KNOCK": 50 changes are left to the next time`},
		"with one that fails": {func(context.Context, string, string) error { return &runError{"iptables", 1, noLine} },
			`failed to reconcile chain "KNOCK": 50 changes are left to the next time, since they cannot be made at once: ` + lineError},
		"with another one": {func(context.Context, string, string) error { return errUnfit },
			`failed to reconcile chain "KNOCK": 50 changes are left to the next time, since they cannot be made at once: no restore program of the same version`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			held := many(0)
			f := newIPTables(Options{Chain: "KNOCK"}, func(_ context.Context, args ...string) (string, error) {
				if args[0] == "-S" {
					return listed(held), nil
				}
				held = append(held, always(rule(strings.TrimSuffix(args[3], "/32"), 22)))
				return "", nil
			}, tt.restore)
			f.probed = true
			c, err := f.Sync(t.Context(), many(maxSingle+50))
			if diff := cmp.Diff(tt.want, errorText(err)); diff != "" || len(c.Restored) != maxSingle || len(held) != maxSingle {
				t.Errorf("%d told, %d made, want %d; error (-want +got):\n%s", len(c.Restored), len(held), maxSingle, diff)
			}
			if c, err = f.Sync(t.Context(), many(maxSingle+50)); err != nil || len(c.Restored) != 50 {
				t.Errorf("the next time: %d told, error %v; want 50, none", len(c.Restored), err)
			}
		})
	}
}

// TestStrokes tells how many runs of the restore program it takes, and how many
// lines each has: what is looked for in vain in each is bounded.
func TestStrokes(t *testing.T) {
	t.Parallel()
	some := many(30_000)
	timed := func(list []Entry) []Entry {
		var ends []Entry
		for _, e := range list {
			ends = append(ends, until(e.Rule, "2026-11-21T12:34:56Z"))
		}
		return ends
	}
	tests := map[string]struct {
		held, want []Entry
		lines      string // "deletes+puts" of each run
	}{
		"few":                         {some[:10], some[5:12], "5+2"},
		"all, from the top":           {some[:5000], nil, "5000+0"},
		"all are new":                 {nil, some[:5000], "0+5000"},
		"the lower ones: all anew":    {some[:5000], some[:2500], "5000+2500"},
		"other ends on top":           {some[:5000], append(timed(some[:2000]), some[2000:5000]...), "2000+2000"},
		"other ends below":            {some[:5000], append(some[:2000:2000], timed(some[2000:5000])...), "5000+5000"},
		"more than fits":              {nil, some[:25_000], "0+10000 0+10000 0+5000"},
		"more than fits goes":         {some[:25_000], nil, "10000+0 10000+0 5000+0"},
		"too many above to write all": {some[:9000], some[:8900], "56+0 44+0"},
		"too many above for one":      {some[:10_002], some[:10_000], "2+0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newIPTables(Options{Chain: "KNOCK"}, nil, func(context.Context, string, string) error { return nil })
			f.in.maybe = map[Rule]bool{}
			var told Changes
			p := f.newPlan(f.in, parseListing(listed(tt.held)), tt.want, &told)
			strokes, single := p.split(allAtOnce)
			var lines []string
			seen := map[*change]int{}
			for _, s := range strokes {
				text := p.text(s)
				deletes := strings.Count("\n"+text, "\n-D ")
				lines = append(lines, fmt.Sprintf("%d+%d", deletes, strings.Count(text, "\n")-deletes))
				for _, c := range s.changes {
					seen[c]++
				}
			}
			if got := strings.Join(lines, " "); got != tt.lines || len(single) != 0 {
				t.Errorf("got %s and %d changes one by one, want %s and none", got, len(single), tt.lines)
			}
			for _, c := range p.changes {
				if seen[c] != 1 {
					t.Fatalf("a change is made %d times: %+v", seen[c], c)
				}
			}
			if len(seen) != len(p.changes) {
				t.Errorf("%d changes are made, want %d", len(seen), len(p.changes))
			}
		})
	}
}

// TestEndedContext has ctx end in the middle: no run is cut, none follows, and
// what was done is told.
func TestEndedContext(t *testing.T) {
	t.Parallel()
	list := many(3)
	tests := map[string]struct {
		do   func(context.Context, *IPTables) (Changes, error)
		last string // run, in which ctx ends
		runs int
		told string
	}{
		"setup": {func(ctx context.Context, f *IPTables) (Changes, error) { return Changes{}, f.Setup(ctx) }, "-N", 2, ""},
		"sync":  {func(ctx context.Context, f *IPTables) (Changes, error) { return f.Sync(ctx, list) }, "-I KNOCK -s 10.0.0.1/32", 5, "restored 10.0.0.0 22/tcp, restored 10.0.0.1 22/tcp, healed"},
		"sync before a restore": {func(ctx context.Context, f *IPTables) (Changes, error) {
			f.restore = func(context.Context, string, string) error { return errors.New("it was run") }
			return f.Sync(ctx, list)
		}, "-I INPUT", 3, "healed"},
		"sync in a restore": {func(ctx context.Context, f *IPTables) (Changes, error) {
			f.restore = func(ctx context.Context, _, changes string) error { _, err := f.run(ctx, changes); return err }
			_, err := f.Sync(ctx, list)
			c, again := f.Sync(ctx, list)
			if again == nil {
				err = errors.New("the second one was made")
			}
			return c, errors.Join(err, again)
		}, "-I KNOCK", 4, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			runs := 0
			f := newIPTables(Options{Chain: "KNOCK"}, nil, nil)
			f.probed = true
			f.run = func(ctx context.Context, args ...string) (string, error) {
				runs++
				if strings.HasPrefix(strings.Join(args, " "), tt.last) {
					cancel()
				}
				return builtin, ctx.Err() // a run that is cut fails
			}
			c, err := tt.do(ctx, f)
			if !errors.Is(err, context.Canceled) || runs != tt.runs || changesText(c) != tt.told {
				t.Errorf("got %v after %d runs, told %q, want context.Canceled after %d, told %q", err, runs, changesText(c), tt.runs, tt.told)
			}
		})
	}
}
