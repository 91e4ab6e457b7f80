package firewall

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func quoteGo(s string) string { return strconv.Quote(s) }

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// run is one run of iptables that is expected, and its outcome.
type run struct {
	args   string
	code   int
	stderr string
	stdout string
	hangs  bool // until it is killed
}

var errHangs = errors.New("iptables: no end after 10s")

// The ends of runs, in the words of iptables 1.8.9.
const (
	badRule = "iptables: Bad rule (does a matching rule exist in that chain?)."
	noChain = "iptables: No chain/target/match by that name."
	locked  = "Another app is currently holding the xtables lock; still 0s 0us time ahead to have a chance to grab the lock..."
)

// scripted gives an IPTables whose runs are those of the script, in that order,
// and a function that tells whether all were made. It knows of xt_time.
func scripted(t *testing.T, chain string, script []run) (*IPTables, func()) {
	t.Helper()
	run := func(_ context.Context, args ...string) (string, error) {
		got := strings.Join(args, " ")
		if len(script) == 0 {
			t.Errorf("unexpected run: %s", got)
			return "", errors.New("unexpected run")
		}
		next := script[0]
		script = script[1:]
		if diff := cmp.Diff(next.args, got); diff != "" {
			t.Errorf("run (-want +got):\n%s", diff)
		}
		if next.hangs {
			return "", errHangs
		}
		if next.code != 0 {
			return "", &runError{command: "iptables", code: next.code, stderr: next.stderr}
		}
		return next.stdout, nil
	}
	f := newIPTables(Options{Chain: chain}, run, nil)
	f.probed = true
	return f, func() {
		t.Helper()
		for _, r := range script {
			t.Errorf("missing run: %s", r.args)
		}
	}
}

const (
	head      = " -s 192.0.2.1/32 -p tcp -m tcp --dport 22"
	tail      = " -m comment --comment knockdaemon -j ACCEPT"
	spec      = head + tail
	timedSpec = head + " -m time --datestop 2026-11-21T12:34:55" + tail
	lateSpec  = head + " -m time --datestop 2026-11-21T13:34:55" + tail
	otherSpec = " -s 192.0.2.2/32 -p tcp -m tcp --dport 80" + tail
	dropSpec  = " -s 192.0.2.1/32 -m conntrack --ctstate NEW -m comment --comment knockdaemon -j DROP"
	soonDrop  = " -s 192.0.2.1/32 -m conntrack --ctstate NEW -m time --datestop 2026-11-21T12:34:55 -m comment --comment knockdaemon -j DROP"
	jump      = " -m comment --comment knockdaemon -j KNOCK"
	builtin   = "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n"
	ready     = builtin + "-N KNOCK\n-A INPUT" + jump + "\n"
)

// inKnock gives the listing of a firewall whose KNOCK holds rules.
func inKnock(specs ...string) string {
	out := ready
	for _, s := range specs {
		out += "-A KNOCK" + s + "\n"
	}
	return out
}

// scenario is what is done to a scripted IPTables, and the runs that this takes.
type scenario struct {
	chain   string // KNOCK if empty
	restore bool   // there is a restore program; a run of it is "restore" and its input
	do      func(*IPTables) error
	script  []run
	want    string // error
}

func play(t *testing.T, tests map[string]scenario) {
	t.Helper()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chain := tt.chain
			if chain == "" {
				chain = "KNOCK"
			}
			f, done := scripted(t, chain, tt.script)
			if tt.restore {
				f.restore = func(ctx context.Context, table, changes string) error {
					_, err := f.run(ctx, strings.TrimSuffix("restore "+table, " filter")+"\n"+changes)
					return err
				}
			}
			if diff := cmp.Diff(tt.want, errorText(tt.do(f))); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			done()
		})
	}
}

// all does one thing after another, until one fails.
func all(steps ...func(*IPTables) error) func(*IPTables) error {
	return func(f *IPTables) error {
		for _, do := range steps {
			if err := do(f); err != nil {
				return err
			}
		}
		return nil
	}
}

// failing turns failure into success, and the other way round.
func failing(do func(*IPTables) error) func(*IPTables) error {
	return func(f *IPTables) error {
		if do(f) == nil {
			return errors.New("it did not fail")
		}
		return nil
	}
}

func setup(f *IPTables) error { return f.Setup(context.Background()) }

func teardown(f *IPTables) error { return f.Teardown(context.Background()) }

func add(e Entry) func(*IPTables) error {
	return func(f *IPTables) error { return f.Add(context.Background(), e) }
}

func del(r Rule) func(*IPTables) error {
	return func(f *IPTables) error { return f.Delete(context.Background(), r) }
}

const lockError = "iptables: " + locked + " (exit status 4)"

func TestSetupRuns(t *testing.T) {
	t.Parallel()
	play(t, map[string]scenario{
		"of an empty firewall": {do: setup, script: []run{
			{args: "-S", stdout: builtin}, {args: "-N KNOCK"}, {args: "-I INPUT 1" + jump}}},
		"of what is there": {do: setup, script: []run{
			{args: "-S", stdout: ready}}},
		"with a jump of the administrator's": {do: setup, script: []run{
			{args: "-S", stdout: builtin + "-N KNOCK\n-N a\n-N b\n-A a -j INPUT\n-A INPUT -j a\n-A a -p tcp -g b\n-A b -j KNOCK\n"}}},
		"with a jump that no packet for us gets to": {do: setup, script: []run{
			{args: "-S", stdout: builtin + "-N KNOCK\n-N mine\n-A mine -g KNOCK\n-A FORWARD -j KNOCK\n"}, {args: "-I INPUT 1" + jump}}},
		"with a chain alone": {do: setup, script: []run{
			{args: "-S", stdout: builtin + "-N KNOCK\n"}, {args: "-I INPUT 1" + jump}}},
		"straight": {chain: "INPUT", do: setup, script: []run{{args: "-S INPUT", stdout: "-P INPUT DROP\n"}}},
		"fails": {do: setup, script: []run{{args: "-S", code: 4, stderr: locked}},
			want: `failed to set up chain "KNOCK": ` + lockError},
		"cannot make the chain": {do: setup, script: []run{
			{args: "-S", stdout: builtin}, {args: "-N KNOCK", code: 4, stderr: locked}},
			want: `failed to set up chain "KNOCK": ` + lockError},
		"cannot jump": {do: setup, script: []run{
			{args: "-S", stdout: builtin + "-N KNOCK\n"}, {args: "-I INPUT 1" + jump, code: 4, stderr: locked}},
			want: `failed to set up chain "KNOCK": ` + lockError},
	})
}

func TestAddRuns(t *testing.T) {
	t.Parallel()
	r := rule("192.0.2.1", 22)
	one, timed, late := always(r), until(r, "2026-11-21T12:34:56Z"), until(r, "2026-11-21T13:34:56Z")
	look := run{args: "-S", stdout: inKnock(spec)}
	timedLook := run{args: "-S", stdout: inKnock(timedSpec)}
	empty := run{args: "-S", stdout: ready}
	play(t, map[string]scenario{
		"without setup looks first": {do: add(one), script: []run{empty, {args: "-I KNOCK" + spec}}},
		"without setup straight": {chain: "INPUT", do: add(one), script: []run{
			{args: "-S INPUT", stdout: "-P INPUT DROP\n"}, {args: "-I INPUT" + spec}}},
		"without setup what is there": {do: add(one), script: []run{look}},
		"after setup takes one run":   {do: all(setup, add(one)), script: []run{empty, {args: "-I KNOCK" + spec}, look}},
		"after setup straight": {chain: "INPUT", do: all(setup, add(one)), script: []run{
			{args: "-S INPUT", stdout: "-P INPUT DROP\n"}, {args: "-I INPUT" + spec}}},
		"with an end":            {do: all(setup, add(timed)), script: []run{empty, {args: "-I KNOCK" + timedSpec}, timedLook}},
		"what setup found":       {do: all(setup, add(one)), script: []run{look, look}},
		"what setup found timed": {do: all(setup, add(timed)), script: []run{timedLook, timedLook}},
		"what setup found straight": {chain: "INPUT", do: all(setup, add(one)), script: []run{
			{args: "-S INPUT", stdout: "-P INPUT DROP\n-A INPUT" + spec + "\n"},
			{args: "-S INPUT", stdout: "-P INPUT DROP\n-A INPUT" + spec + "\n"}}},
		"again looks only": {do: all(setup, add(one), add(one)), script: []run{empty, {args: "-I KNOCK" + spec}, look, look}},
		"another end: the new one first": {do: all(setup, add(late)), script: []run{
			timedLook, timedLook, {args: "-I KNOCK" + lateSpec}, {args: "-D KNOCK" + timedSpec}}},
		"another end, thrice": {do: all(setup, add(late)), script: []run{
			empty, {args: "-I KNOCK" + lateSpec}, {args: "-S", stdout: inKnock(lateSpec, timedSpec, spec, timedSpec)},
			{args: "-D KNOCK" + timedSpec}, {args: "-D KNOCK" + spec}, {args: "-D KNOCK" + timedSpec}}},
		"another end that goes meanwhile": {do: all(setup, add(one)), script: []run{
			timedLook, timedLook, {args: "-I KNOCK" + spec}, {args: "-D KNOCK" + timedSpec, code: 1, stderr: badRule}}},
		"another end cannot go": {do: all(setup, add(one)), script: []run{
			timedLook, timedLook, {args: "-I KNOCK" + spec}, {args: "-D KNOCK" + timedSpec, code: 4, stderr: locked}},
			want: `failed to add rule "192.0.2.1 22/tcp": ` + lockError},
		"another end straight": {chain: "INPUT", do: all(setup, add(one)), script: []run{
			{args: "-S INPUT", stdout: "-A INPUT" + timedSpec + "\n"}, {args: "-S INPUT", stdout: "-A INPUT" + timedSpec + "\n"},
			{args: "-I INPUT" + spec}, {args: "-D INPUT" + timedSpec}}},
		"copies are left": {do: add(one), script: []run{{args: "-S", stdout: inKnock(spec, spec)}}},
		"a drop goes to the end": {do: all(setup, add(always(drop("192.0.2.1")))), script: []run{
			look, {args: "-A KNOCK" + dropSpec}, {args: "-S", stdout: inKnock(spec, dropSpec)}}},
		"a drop with another end": {do: add(until(drop("192.0.2.1"), "2026-11-21T12:34:56Z")), script: []run{
			{args: "-S", stdout: inKnock(spec, dropSpec)}, {args: "-A KNOCK" + soonDrop}, {args: "-D KNOCK" + dropSpec}}},
		"a drop straight": {chain: "INPUT", do: add(always(drop("192.0.2.1"))),
			want: `failed to add rule "drop 192.0.2.1": dropping needs a chain of our own, not INPUT`},
		"after a failure looks first": {do: all(setup, failing(add(one)), add(one)), script: []run{
			empty, {args: "-I KNOCK" + spec, code: 4, stderr: locked}, look}},
		"after a run that was killed looks first": {do: all(setup, failing(add(timed)), add(one)), script: []run{
			empty, {args: "-I KNOCK" + timedSpec, hangs: true}, timedLook, {args: "-I KNOCK" + spec}, {args: "-D KNOCK" + timedSpec}}},
		"after a delete takes one run": {do: all(setup, add(one), del(r), add(one)), script: []run{
			empty, {args: "-I KNOCK" + spec}, look, look, {args: "-D KNOCK" + spec}, {args: "-I KNOCK" + spec}, look}},
		"after a failing delete looks first": {do: all(setup, add(one), failing(del(r)), add(one)), script: []run{
			empty, {args: "-I KNOCK" + spec}, look, look, {args: "-D KNOCK" + spec, hangs: true}, look}},
		"after the chain was gone, and again": {do: all(setup, add(one), add(one)), script: []run{
			empty, {args: "-I KNOCK" + spec, code: 1, stderr: noChain},
			{args: "-S", stdout: builtin}, {args: "-N KNOCK"}, {args: "-I INPUT 1" + jump}, {args: "-I KNOCK" + spec}, look}},
		"with the jump gone": {do: all(setup, add(one)), script: []run{
			empty, {args: "-I KNOCK" + spec},
			{args: "-S", stdout: builtin + "-N KNOCK\n-A KNOCK" + spec + "\n"}, {args: "-I INPUT 1" + jump}}},
		"flushed at once": {do: all(setup, add(one)), script: []run{
			empty, {args: "-I KNOCK" + spec}, empty, {args: "-I KNOCK" + spec}}},
		"that cannot look after it": {do: all(setup, add(one)), script: []run{
			empty, {args: "-I KNOCK" + spec}, {args: "-S", code: 4, stderr: locked}},
			want: `failed to add rule "192.0.2.1 22/tcp": ` + lockError},
		"with the chain gone for good": {do: add(one), script: []run{
			empty, {args: "-I KNOCK" + spec, code: 1, stderr: noChain}},
			want: `failed to add rule "192.0.2.1 22/tcp": iptables: ` + noChain + ` (exit status 1)`},
		"without a table": {do: all(setup, add(one)), script: []run{
			empty, {args: "-I KNOCK" + spec, code: 1, stderr: noChain}, {args: "-S", code: 3, stderr: "no table"}},
			want: `failed to add rule "192.0.2.1 22/tcp": iptables: no table (exit status 3)`},
		"fails": {do: add(one), script: []run{empty, {args: "-I KNOCK" + spec, code: 4, stderr: locked}},
			want: `failed to add rule "192.0.2.1 22/tcp": ` + lockError},
		"of an IPv6 address": {do: add(always(rule("2001:db8::1", 22))),
			want: `failed to add rule "2001:db8::1 22/tcp": address "2001:db8::1" is not an IPv4 address`},
	})
}

func TestDeleteRuns(t *testing.T) {
	t.Parallel()
	r := rule("192.0.2.1", 22)
	play(t, map[string]scenario{
		"what is there": {do: del(r), script: []run{{args: "-S", stdout: inKnock(otherSpec, spec)}, {args: "-D KNOCK" + spec}}},
		"every copy, whatever its end": {do: del(r), script: []run{{args: "-S", stdout: inKnock(spec, timedSpec, dropSpec, spec)},
			{args: "-D KNOCK" + spec}, {args: "-D KNOCK" + timedSpec}, {args: "-D KNOCK" + spec}}},
		"a drop": {do: del(drop("192.0.2.1")), script: []run{{args: "-S", stdout: inKnock(spec, dropSpec, soonDrop)},
			{args: "-D KNOCK" + dropSpec}, {args: "-D KNOCK" + soonDrop}}},
		"a drop straight":   {chain: "INPUT", do: del(drop("192.0.2.1")), script: []run{{args: "-S INPUT", stdout: "-P INPUT DROP\n"}}},
		"what is not there": {do: del(r), script: []run{{args: "-S", stdout: ready}}},
		"without a chain":   {do: del(r), script: []run{{args: "-S", stdout: builtin}}},
		"what goes meanwhile": {do: del(r), script: []run{{args: "-S", stdout: inKnock(spec)},
			{args: "-D KNOCK" + spec, code: 1, stderr: badRule}}},
		"with a chain that goes meanwhile": {do: del(r), script: []run{{args: "-S", stdout: inKnock(spec)},
			{args: "-D KNOCK" + spec, code: 1, stderr: noChain}}},
		"cannot look": {do: del(r), script: []run{{args: "-S", code: 4, stderr: locked}},
			want: `failed to delete rule "192.0.2.1 22/tcp": ` + lockError},
		"fails with the status of absence": {do: del(r), script: []run{{args: "-S", stdout: inKnock(spec)},
			{args: "-D KNOCK" + spec, code: 1, stderr: "no memory"}},
			want: `failed to delete rule "192.0.2.1 22/tcp": iptables: no memory (exit status 1)`},
		"of an IPv6 address": {do: del(rule("2001:db8::1", 22)),
			want: `failed to delete rule "2001:db8::1 22/tcp": address "2001:db8::1" is not an IPv4 address`},
	})
}

func TestTeardownRuns(t *testing.T) {
	t.Parallel()
	play(t, map[string]scenario{
		"all at once": {do: teardown, script: []run{
			{args: "-S", stdout: inKnock(spec, timedSpec, dropSpec)},
			{args: "-D INPUT" + jump}, {args: "-F KNOCK"}, {args: "-X KNOCK"}}},
		"beside a rule of somebody else's": {do: teardown, script: []run{
			{args: "-S", stdout: inKnock(timedSpec, " -j LOG", dropSpec)},
			{args: "-D INPUT" + jump}, {args: "-D KNOCK" + timedSpec}, {args: "-D KNOCK" + dropSpec}}},
		"goes on": {do: teardown, script: []run{
			{args: "-S", stdout: inKnock(spec)},
			{args: "-D INPUT" + jump, code: 4, stderr: "first"}, {args: "-F KNOCK"}, {args: "-X KNOCK", code: 4, stderr: "second"}},
			want: `failed to tear down chain "KNOCK": iptables: first (exit status 4)` + "\n" + `iptables: second (exit status 4)`},
		"waits for a lock once": {do: teardown, script: []run{
			{args: "-S", stdout: inKnock(spec)}, {args: "-D INPUT" + jump, code: 4, stderr: locked}},
			want: `failed to tear down chain "KNOCK": ` + lockError},
		"of nothing": {do: teardown, script: []run{{args: "-S", stdout: builtin}}},
		"of what goes meanwhile": {do: teardown, script: []run{
			{args: "-S", stdout: ready},
			{args: "-D INPUT" + jump, code: 1, stderr: badRule}, {args: "-X KNOCK", code: 1, stderr: noChain}}},
		"straight": {chain: "INPUT", do: teardown, script: []run{
			{args: "-S INPUT", stdout: "-P INPUT DROP\n-A INPUT" + jump + "\n-A INPUT" + spec + "\n-A INPUT" + timedSpec + "\n-A INPUT -i lo -j ACCEPT\n"},
			{args: "-D INPUT" + spec}, {args: "-D INPUT" + timedSpec}, {args: "-S FORWARD", stdout: "-P FORWARD ACCEPT\n"}}},
		"fails": {do: teardown, script: []run{{args: "-S", code: 4, stderr: locked}},
			want: `failed to tear down chain "KNOCK": ` + lockError},
	})
}
