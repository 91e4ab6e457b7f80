package firewall

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// syncing tells what a Sync said of its changes in place of an error, if there
// was none: "told: ...".
func syncing(want ...Entry) func(*IPTables) error {
	return func(f *IPTables) error {
		c, err := f.Sync(context.Background(), want)
		if text := changesText(c); text != "" {
			return errors.Join(err, errors.New("told: "+text))
		}
		return err
	}
}

func TestSyncRuns(t *testing.T) {
	t.Parallel()
	r, shut := rule("192.0.2.1", 22), drop("192.0.2.1")
	one, two, timed := always(r), always(rule("192.0.2.2", 80)), until(r, "2026-11-21T12:34:56Z")
	const unknown = " -s 192.0.2.0/24 -p udp -m comment --comment knockdaemon -j ACCEPT"
	empty := run{args: "-S", stdout: ready}
	failed := `failed to reconcile chain "KNOCK": `
	play(t, map[string]scenario{
		"nothing to do":   {do: syncing(timed, always(shut)), script: []run{{args: "-S", stdout: inKnock(timedSpec, dropSpec)}}},
		"nothing to hold": {do: syncing(), script: []run{empty}},
		"not wanted, missing": {do: syncing(two), script: []run{{args: "-S", stdout: inKnock(spec, dropSpec)},
			{args: "-D KNOCK" + spec}, {args: "-D KNOCK" + dropSpec}, {args: "-I KNOCK" + otherSpec}},
			want: "told: removed drop 192.0.2.1, removed 192.0.2.1 22/tcp, restored 192.0.2.2 80/tcp"},
		"not wanted, thrice": {do: syncing(), script: []run{{args: "-S", stdout: inKnock(spec, timedSpec, spec)},
			{args: "-D KNOCK" + spec}, {args: "-D KNOCK" + timedSpec}, {args: "-D KNOCK" + spec}},
			want: "told: removed 192.0.2.1 22/tcp"},
		"another end": {do: syncing(timed), script: []run{{args: "-S", stdout: inKnock(spec, lateSpec)},
			{args: "-I KNOCK" + timedSpec}, {args: "-D KNOCK" + spec}, {args: "-D KNOCK" + lateSpec}},
			want: "told: restored 192.0.2.1 22/tcp"},
		"another end beside the right one": {do: syncing(timed), script: []run{{args: "-S", stdout: inKnock(spec, timedSpec)},
			{args: "-D KNOCK" + spec}}},
		"a copy of what is wanted": {do: syncing(one), script: []run{{args: "-S", stdout: inKnock(spec, spec)},
			{args: "-D KNOCK" + spec}, {args: "-D KNOCK" + spec}, {args: "-I KNOCK" + spec}}},
		"a drop before an accept": {do: syncing(one, always(shut)), script: []run{{args: "-S", stdout: inKnock(dropSpec, spec)},
			{args: "-D KNOCK" + dropSpec}, {args: "-A KNOCK" + dropSpec}}},
		"a form that is not known": {do: syncing(one), script: []run{{args: "-S", stdout: inKnock(unknown, spec, " -j LOG", unknown)},
			{args: "-D KNOCK" + unknown}, {args: "-D KNOCK" + unknown}}, want: "told: 2 unknown"},
		"wanted twice: the last counts": {do: syncing(one, timed), script: []run{{args: "-S", stdout: inKnock(timedSpec)}}},
		"an empty firewall": {do: syncing(one), script: []run{{args: "-S", stdout: builtin},
			{args: "-N KNOCK"}, {args: "-I INPUT 1" + jump}, {args: "-I KNOCK" + spec}},
			want: "told: restored 192.0.2.1 22/tcp, healed"},
		"the jump is gone": {do: syncing(one), script: []run{{args: "-S", stdout: builtin + "-N KNOCK\n-A KNOCK" + spec + "\n"},
			{args: "-I INPUT 1" + jump}}, want: "told: healed"},
		"two jumps": {do: syncing(), script: []run{{args: "-S", stdout: builtin + "-N KNOCK\n-A INPUT -i lo -j ACCEPT\n-A INPUT" + jump + "\n-A INPUT -j DROP\n-A INPUT" + jump + "\n"},
			{args: "-D INPUT" + jump}, {args: "-D INPUT" + jump}, {args: "-I INPUT 2" + jump}}},
		"straight": {chain: "INPUT", do: syncing(two), script: []run{
			{args: "-S INPUT", stdout: "-P INPUT DROP\n-A INPUT" + jump + "\n-A INPUT" + jump + "\n-A INPUT" + spec + "\n-A INPUT -j LOG\n"},
			{args: "-D INPUT" + spec}, {args: "-I INPUT" + otherSpec}, {args: "-S FORWARD", stdout: "-P FORWARD ACCEPT\n"}},
			want: "told: removed 192.0.2.1 22/tcp, restored 192.0.2.2 80/tcp"},

		"afterwards nothing is looked at": {do: all(failing(syncing()), add(one)), script: []run{
			{args: "-S", stdout: inKnock(spec)}, {args: "-D KNOCK" + spec}, {args: "-I KNOCK" + spec}, {args: "-S", stdout: inKnock(spec)}}},
		"afterwards what could not go is looked at": {do: all(failing(syncing()), add(one)), script: []run{
			{args: "-S", stdout: inKnock(spec)}, {args: "-D KNOCK" + spec, hangs: true}, empty, {args: "-I KNOCK" + spec}}},
		"afterwards what may not have come is looked at": {do: all(failing(syncing(one)), add(one)), script: []run{
			empty, {args: "-I KNOCK" + spec, hangs: true}, {args: "-S", stdout: inKnock(spec)}}},

		"cannot look": {do: syncing(one), script: []run{{args: "-S", code: 4, stderr: locked}}, want: failed + lockError},
		"a rule that cannot be": {do: syncing(always(rule("::1", 22)), one), script: []run{empty, {args: "-I KNOCK" + spec}},
			want: failed + `failed to add rule "::1 22/tcp": address "::1" is not an IPv4 address` + "\ntold: restored 192.0.2.1 22/tcp"},
		"a drop straight": {chain: "INPUT", do: syncing(always(shut)), script: []run{{args: "-S INPUT", stdout: "-P INPUT DROP\n"}, {args: "-S FORWARD", stdout: "-P FORWARD ACCEPT\n"}},
			want: `failed to reconcile chain "INPUT": failed to add rule "drop 192.0.2.1": dropping needs a chain of our own, not INPUT`},
		"goes on": {do: syncing(two, timed), script: []run{{args: "-S", stdout: builtin + "-N KNOCK\n-A KNOCK" + lateSpec + "\n-A KNOCK" + dropSpec + "\n-A KNOCK" + unknown + "\n"},
			{args: "-I INPUT 1" + jump, code: 4, stderr: "a"}, {args: "-D KNOCK" + dropSpec, code: 4, stderr: "b"},
			{args: "-D KNOCK" + unknown, code: 2, stderr: "c"}, {args: "-I KNOCK" + otherSpec, code: 4, stderr: "d"}, {args: "-I KNOCK" + timedSpec},
			{args: "-D KNOCK" + lateSpec, code: 4, stderr: "e"}},
			want: failed + "iptables: a (exit status 4)\niptables: b (exit status 4)\niptables: c (exit status 2)\n" +
				"iptables: d (exit status 4)\niptables: e (exit status 4)\ntold: restored 192.0.2.1 22/tcp"},
		"a copy cannot go": {do: syncing(), script: []run{{args: "-S", stdout: inKnock(spec, timedSpec)},
			{args: "-D KNOCK" + spec, code: 4, stderr: "a"}, {args: "-D KNOCK" + timedSpec}},
			want: failed + "iptables: a (exit status 4)"},
		"waits for a lock once": {do: syncing(two), script: []run{{args: "-S", stdout: inKnock(spec, dropSpec)},
			{args: "-D KNOCK" + spec}, {args: "-D KNOCK" + dropSpec, code: 4, stderr: locked}},
			want: failed + lockError + "\ntold: removed 192.0.2.1 22/tcp"},
		"hangs once": {do: syncing(one, two), script: []run{empty, {args: "-I KNOCK" + spec, hangs: true}},
			want: failed + errHangs.Error()},
		"what goes meanwhile": {do: syncing(), script: []run{{args: "-S", stdout: inKnock(spec)},
			{args: "-D KNOCK" + spec, code: 1, stderr: badRule}}, want: "told: removed 192.0.2.1 22/tcp"},
		"the chain goes meanwhile": {do: syncing(one, two), script: []run{{args: "-S", stdout: inKnock(timedSpec)},
			{args: "-I KNOCK" + spec, code: 1, stderr: noChain}, {args: "-I KNOCK" + otherSpec, code: 1, stderr: noChain}},
			want: failed + "iptables: " + noChain + " (exit status 1)\niptables: " + noChain + " (exit status 1)"},
	})
}

func TestErrorsOfASyncAreBounded(t *testing.T) {
	t.Parallel()
	var want []Entry
	for port := range uint16(100) {
		want = append(want, always(rule("192.0.2.1", port)))
	}
	f := newIPTables(Options{Chain: "INPUT"}, func(_ context.Context, args ...string) (string, error) {
		if args[0] == "-S" {
			return "", nil
		}
		return "", &runError{command: "iptables", code: 1, stderr: "no memory"}
	}, nil)
	f.probed = true
	_, err := f.Sync(t.Context(), want)
	text := `failed to reconcile chain "INPUT": ` + strings.Repeat("iptables: no memory (exit status 1)\n", 10) + "and 90 more"
	if diff := cmp.Diff(text, errorText(err)); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}

// The words of iptables 1.8.9 when it lacks xt_time, or the kernel does.
const (
	noModule  = "iptables: No chain/target/match by that name."
	noLibrary = "iptables v1.8.9 (nf_tables): Couldn't load match `time':No such file or directory"
)

func TestProbeRuns(t *testing.T) {
	t.Parallel()
	const (
		plain  = " KNOCK -s 0.0.0.0/32 -m comment --comment knockdaemon"
		probe  = " KNOCK -s 0.0.0.0/32 -m time --datestop 1971-01-01T00:00:00 -m comment --comment knockdaemon"
		failed = `failed to set up chain "KNOCK": `
	)
	empty := run{args: "-S", stdout: ready}
	works := []run{{args: "-A" + plain}, {args: "-D" + plain}}
	refusedBy := func(text string, code int) []run {
		refused := run{args: "-A" + probe, code: code, stderr: text}
		return []run{empty, refused, works[0], works[1], refused}
	}
	warning := func(text string, code int) string {
		return fmt.Sprintf("rules cannot carry their end, because iptables or the kernel lacks xt_time: a port that is open when "+
			"knockdaemon is killed stays open until it runs again (iptables: %s (exit status %d))", text, code)
	}
	timed := until(rule("192.0.2.1", 22), "2026-11-21T12:34:56Z")
	tests := map[string]struct {
		scenario
		warns string
	}{
		"works": {scenario: scenario{do: all(setup, setup, add(timed)), script: []run{
			empty, {args: "-A" + probe}, {args: "-D" + probe}, empty, {args: "-I KNOCK" + timedSpec}, {args: "-S", stdout: inKnock(timedSpec)}}}},
		"works in a sync": {scenario: scenario{do: syncing(), script: []run{empty, {args: "-A" + probe}, {args: "-D" + probe}}}},
		"chain flushed meanwhile": {scenario: scenario{do: setup, script: []run{
			empty, {args: "-A" + probe}, {args: "-D" + probe, code: 1, stderr: badRule}}}},
		"lacks the module": {scenario{do: all(setup, setup, add(timed)), script: append(refusedBy(noModule, 1),
			empty, run{args: "-I KNOCK" + spec}, run{args: "-S", stdout: inKnock(spec)})}, warning(noModule, 1)},
		"lacks the library": {scenario{do: all(setup, syncing(timed)), script: append(refusedBy(noLibrary, 2),
			run{args: "-S", stdout: inKnock(spec)})}, warning(noLibrary, 2)},
		"passing trouble": {scenario: scenario{do: setup, script: []run{
			empty, {args: "-A" + probe, code: 4, stderr: "busy"}, works[0], works[1], {args: "-A" + probe}, {args: "-D" + probe}}}},
		"lacks more than that": {scenario: scenario{do: setup, script: []run{
			empty, {args: "-A" + probe, code: 1, stderr: noModule}, {args: "-A" + plain, code: 1, stderr: noModule}},
			want: failed + "iptables: " + noModule + " (exit status 1)"}},
		"lock": {scenario: scenario{do: all(failing(setup), setup), script: []run{
			empty, {args: "-A" + probe, code: 4, stderr: locked}, empty, {args: "-A" + probe}, {args: "-D" + probe}}}},
		"lock at last": {scenario: scenario{do: setup, script: append(refusedBy(noModule, 1)[:4], run{args: "-A" + probe, code: 4, stderr: locked}),
			want: failed + lockError}},
		"hangs": {scenario: scenario{do: setup, script: []run{empty, {args: "-A" + probe, hangs: true}}, want: failed + errHangs.Error()}},
		"does not go": {scenario: scenario{do: setup, script: []run{
			empty, {args: "-A" + probe}, {args: "-D" + probe, hangs: true}}, want: failed + errHangs.Error()}},
		"fails in a sync": {scenario: scenario{do: syncing(timed), script: []run{
			{args: "-S", stdout: inKnock(otherSpec)}, {args: "-A" + probe, code: 1, stderr: "a"}, {args: "-A" + plain, code: 1, stderr: "b"},
			{args: "-D KNOCK" + otherSpec}, {args: "-I KNOCK" + timedSpec}},
			want: `failed to reconcile chain "KNOCK": iptables: a (exit status 1)` +
				"\ntold: removed 192.0.2.2 80/tcp, restored 192.0.2.1 22/tcp"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, done := scripted(t, "KNOCK", tt.script)
			var warned []string
			f.probed = false
			f.options.Warn = func(m string) { warned = append(warned, m) }
			if diff := cmp.Diff(tt.want, errorText(tt.do(f))); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.warns, strings.Join(warned, "\n")); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			done()
		})
	}
}
