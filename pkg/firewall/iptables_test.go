package firewall

import (
	"context"
	"errors"
	"fmt"
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
}

// The ends of runs, in the words of iptables 1.8.9.
const (
	badRule = "iptables: Bad rule (does a matching rule exist in that chain?)."
	noChain = "iptables: No chain/target/match by that name."
	locked  = "Another app is currently holding the xtables lock; still 0s 0us time ahead to have a chance to grab the lock..."
)

// scripted gives an IPTables whose runs are those of the script, in that order,
// and a function that tells whether all were made.
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
		if next.code != 0 {
			return "", &runError{command: "iptables", code: next.code, stderr: next.stderr}
		}
		return next.stdout, nil
	}
	return &IPTables{chain: chain, run: run}, func() {
		t.Helper()
		for _, r := range script {
			t.Errorf("missing run: %s", r.args)
		}
	}
}

const (
	spec    = " -s 192.0.2.1/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT"
	jump    = " -m comment --comment knockdaemon -j KNOCK"
	builtin = "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n"
	ready   = builtin + "-N KNOCK\n-A INPUT" + jump + "\n"
)

func TestIPTablesRuns(t *testing.T) {
	t.Parallel()
	r := rule("192.0.2.1", 22)
	look := run{args: "-S", stdout: ready + "-A KNOCK" + spec + "\n"}
	setup := func(f *IPTables) error { return f.Setup(t.Context()) }
	add := func(f *IPTables) error { return f.Add(t.Context(), r) }
	del := func(f *IPTables) error { return f.Delete(t.Context(), r) }
	teardown := func(f *IPTables) error { return f.Teardown(t.Context()) }
	tests := map[string]struct {
		chain  string // KNOCK if empty
		do     func(*IPTables) error
		script []run
		want   string // error
	}{
		"setup of an empty firewall": {do: setup, script: []run{
			{args: "-S", stdout: builtin}, {args: "-N KNOCK"}, {args: "-I INPUT 1" + jump}}},
		"setup of what is there": {do: setup, script: []run{
			{args: "-S", stdout: ready}}},
		"setup with a jump of the administrator's": {do: setup, script: []run{
			{args: "-S", stdout: builtin + "-N KNOCK\n-N a\n-N b\n-A a -j INPUT\n-A INPUT -j a\n-A a -p tcp -g b\n-A b -j KNOCK\n"}}},
		"setup with a jump that no packet for us gets to": {do: setup, script: []run{
			{args: "-S", stdout: builtin + "-N KNOCK\n-N mine\n-A mine -g KNOCK\n-A FORWARD -j KNOCK\n"}, {args: "-I INPUT 1" + jump}}},
		"setup with a chain alone": {do: setup, script: []run{
			{args: "-S", stdout: builtin + "-N KNOCK\n"}, {args: "-I INPUT 1" + jump}}},
		"setup straight": {chain: "INPUT", do: setup, script: []run{{args: "-S INPUT", stdout: "-P INPUT DROP\n"}}},
		"setup fails": {do: setup, script: []run{{args: "-S", code: 4, stderr: locked}},
			want: `failed to set up chain "KNOCK": iptables: ` + locked + ` (exit status 4)`},

		"setup cannot make the chain": {do: setup, script: []run{
			{args: "-S", stdout: builtin}, {args: "-N KNOCK", code: 4, stderr: locked}},
			want: `failed to set up chain "KNOCK": iptables: ` + locked + ` (exit status 4)`},
		"setup cannot jump": {do: setup, script: []run{
			{args: "-S", stdout: builtin + "-N KNOCK\n"}, {args: "-I INPUT 1" + jump, code: 4, stderr: locked}},
			want: `failed to set up chain "KNOCK": iptables: ` + locked + ` (exit status 4)`},

		"add without setup looks first": {do: add, script: []run{
			{args: "-C KNOCK" + spec, code: 1, stderr: badRule}, {args: "-I KNOCK" + spec}, look}},
		"add straight": {chain: "INPUT", do: add, script: []run{
			{args: "-C INPUT" + spec, code: 1, stderr: badRule}, {args: "-I INPUT" + spec}}},
		"add after setup takes one run": {do: all(setup, add), script: []run{
			{args: "-S", stdout: ready}, {args: "-I KNOCK" + spec}, look}},
		"add after setup straight": {chain: "INPUT", do: all(setup, add), script: []run{
			{args: "-S INPUT", stdout: "-P INPUT DROP\n"}, {args: "-I INPUT" + spec}}},
		"add what setup found": {do: all(setup, add), script: []run{look, {args: "-C KNOCK" + spec}, look}},
		"add what setup found straight": {chain: "INPUT", do: all(setup, add), script: []run{
			{args: "-S INPUT", stdout: "-P INPUT DROP\n-A INPUT" + spec + "\n"}, {args: "-C INPUT" + spec}}},
		"add again looks first": {do: all(setup, add, add), script: []run{
			{args: "-S", stdout: ready}, {args: "-I KNOCK" + spec}, look, {args: "-C KNOCK" + spec}, look}},
		"add after a failure looks first": {do: all(setup, failing(add), add), script: []run{
			{args: "-S", stdout: ready}, {args: "-I KNOCK" + spec, code: 4, stderr: locked},
			{args: "-C KNOCK" + spec}, look}},
		"add after a delete takes one run": {do: all(setup, add, del, add), script: []run{
			{args: "-S", stdout: ready}, {args: "-I KNOCK" + spec}, look,
			{args: "-D KNOCK" + spec}, {args: "-D KNOCK" + spec, code: 1, stderr: badRule}, {args: "-I KNOCK" + spec}, look}},
		"add after a failing delete looks first": {do: all(setup, add, failing(del), add), script: []run{
			{args: "-S", stdout: ready}, {args: "-I KNOCK" + spec}, look,
			{args: "-D KNOCK" + spec, code: 4, stderr: locked}, {args: "-C KNOCK" + spec}, look}},
		"add again after the chain was gone looks first": {do: all(setup, add, add), script: []run{
			{args: "-S", stdout: ready},
			{args: "-I KNOCK" + spec, code: 1, stderr: noChain},
			{args: "-S", stdout: builtin}, {args: "-N KNOCK"}, {args: "-I INPUT 1" + jump}, {args: "-I KNOCK" + spec},
			{args: "-C KNOCK" + spec}, look}},
		"add with the jump gone": {do: all(setup, add), script: []run{
			{args: "-S", stdout: ready}, {args: "-I KNOCK" + spec},
			{args: "-S", stdout: builtin + "-N KNOCK\n-A KNOCK" + spec + "\n"}, {args: "-I INPUT 1" + jump}}},
		"add flushed at once": {do: all(setup, add), script: []run{
			{args: "-S", stdout: ready}, {args: "-I KNOCK" + spec}, {args: "-S", stdout: ready}, {args: "-I KNOCK" + spec}}},
		"add that cannot look after it": {do: all(setup, add), script: []run{
			{args: "-S", stdout: ready}, {args: "-I KNOCK" + spec}, {args: "-S", code: 4, stderr: locked}},
			want: `failed to add rule "192.0.2.1 22/tcp": iptables: ` + locked + ` (exit status 4)`},
		"add what is there": {do: add, script: []run{{args: "-C KNOCK" + spec}, look}},
		"add with the chain gone": {do: add, script: []run{
			{args: "-C KNOCK" + spec, code: 1, stderr: badRule},
			{args: "-I KNOCK" + spec, code: 1, stderr: noChain},
			{args: "-S", stdout: builtin}, {args: "-N KNOCK"}, {args: "-I INPUT 1" + jump},
			{args: "-I KNOCK" + spec}}},
		"add with the chain gone for good": {do: add, script: []run{
			{args: "-C KNOCK" + spec, code: 1, stderr: noChain},
			{args: "-I KNOCK" + spec, code: 1, stderr: noChain},
			{args: "-S", code: 3, stderr: "no table"}},
			want: `failed to add rule "192.0.2.1 22/tcp": iptables: no table (exit status 3)`},
		"add without the lock": {do: add, script: []run{{args: "-C KNOCK" + spec, code: 4, stderr: locked}},
			want: `failed to add rule "192.0.2.1 22/tcp": iptables: ` + locked + ` (exit status 4)`},
		"add fails": {do: add, script: []run{
			{args: "-C KNOCK" + spec, code: 1, stderr: badRule}, {args: "-I KNOCK" + spec, code: 4, stderr: locked}},
			want: `failed to add rule "192.0.2.1 22/tcp": iptables: ` + locked + ` (exit status 4)`},
		"add of an IPv6 address": {do: func(f *IPTables) error { return f.Add(t.Context(), rule("2001:db8::1", 22)) },
			want: `failed to add rule "2001:db8::1 22/tcp": address "2001:db8::1" is not an IPv4 address`},
		"add of no address": {do: func(f *IPTables) error { return f.Add(t.Context(), Rule{}) },
			want: `failed to add rule "invalid IP 0/tcp": address "invalid IP" is not an IPv4 address`},

		"delete": {do: del, script: []run{{args: "-D KNOCK" + spec}, {args: "-D KNOCK" + spec, code: 1, stderr: badRule}}},
		"delete what is twice there": {do: del, script: []run{
			{args: "-D KNOCK" + spec}, {args: "-D KNOCK" + spec}, {args: "-D KNOCK" + spec, code: 1, stderr: badRule}}},
		"delete what is not there":   {do: del, script: []run{{args: "-D KNOCK" + spec, code: 1, stderr: badRule}}},
		"delete with the chain gone": {do: del, script: []run{{args: "-D KNOCK" + spec, code: 1, stderr: noChain}}},
		"delete fails with the status of absence": {do: del, script: []run{{args: "-D KNOCK" + spec, code: 1, stderr: "no memory"}},
			want: `failed to delete rule "192.0.2.1 22/tcp": iptables: no memory (exit status 1)`},
		"delete of an IPv6 address": {do: func(f *IPTables) error { return f.Delete(t.Context(), rule("2001:db8::1", 22)) },
			want: `failed to delete rule "2001:db8::1 22/tcp": address "2001:db8::1" is not an IPv4 address`},

		"teardown": {do: teardown, script: []run{
			{args: "-S", stdout: builtin + "-N KNOCK\n-A INPUT" + jump + "\n-A KNOCK" + spec + "\n-A KNOCK" + spec + "\n"},
			{args: "-D INPUT" + jump}, {args: "-F KNOCK"}, {args: "-X KNOCK"}}},
		"teardown goes on": {do: teardown, script: []run{
			{args: "-S", stdout: builtin + "-N KNOCK\n-A INPUT" + jump + "\n-A KNOCK" + spec + "\n"},
			{args: "-D INPUT" + jump, code: 4, stderr: "first"}, {args: "-F KNOCK"}, {args: "-X KNOCK", code: 4, stderr: "second"}},
			want: `failed to tear down chain "KNOCK": iptables: first (exit status 4)` + "\n" + `iptables: second (exit status 4)`},
		"teardown of nothing": {do: teardown, script: []run{{args: "-S", stdout: builtin}}},
		"teardown of what goes meanwhile": {do: teardown, script: []run{
			{args: "-S", stdout: ready},
			{args: "-D INPUT" + jump, code: 1, stderr: badRule}, {args: "-X KNOCK", code: 1, stderr: noChain}}},
		"teardown straight": {chain: "INPUT", do: teardown, script: []run{
			{args: "-S INPUT", stdout: "-P INPUT DROP\n-A INPUT" + spec + "\n-A INPUT -i lo -j ACCEPT\n"},
			{args: "-D INPUT" + spec}}},
		"teardown fails": {do: teardown, script: []run{{args: "-S", code: 4, stderr: locked}},
			want: `failed to tear down chain "KNOCK": iptables: ` + locked + ` (exit status 4)`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chain := tt.chain
			if chain == "" {
				chain = "KNOCK"
			}
			f, done := scripted(t, chain, tt.script)
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

func TestDeleteIsBounded(t *testing.T) {
	t.Parallel()
	runs := 0
	f := &IPTables{chain: "KNOCK", run: func(context.Context, ...string) (string, error) { runs++; return "", nil }}
	err := f.Delete(t.Context(), rule("192.0.2.1", 22))
	if got, want := errorText(err), `failed to delete rule "192.0.2.1 22/tcp": still there after 1000 deletes`; got != want || runs != 1000 {
		t.Errorf("got %d runs and error %q, want 1000 and %q", runs, got, want)
	}
}

func TestIPTablesList(t *testing.T) {
	t.Parallel()
	listing := builtin + "-N KNOCK\n-N KNOCK2\n-A INPUT" + jump + "\n-A INPUT" + spec + "\n-A KNOCK" + spec +
		"\n-A KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 443 -m comment --comment knockdaemon -j ACCEPT" +
		"\n-A KNOCK -s 192.0.2.9/32 -p tcp -m tcp --dport 22 -j ACCEPT\n-A KNOCK2" + spec + "\n"
	tests := map[string]struct {
		chain string
		run   run
		want  []Rule
		err   string
	}{
		"ours, with duplicates": {"KNOCK", run{args: "-S", stdout: listing + "-A KNOCK" + spec + "\n"},
			[]Rule{rule("192.0.2.1", 22), rule("192.0.2.7", 443), rule("192.0.2.1", 22)}, ""},
		"straight": {"INPUT", run{args: "-S INPUT", stdout: listing}, []Rule{rule("192.0.2.1", 22)}, ""},
		"no chain": {"KNOCK", run{args: "-S", stdout: builtin}, nil, ""},
		"fails":    {"KNOCK", run{args: "-S", code: 4, stderr: locked}, nil, fmt.Sprintf("failed to list chain %q: iptables: %s (exit status 4)", "KNOCK", locked)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, done := scripted(t, tt.chain, []run{tt.run})
			got, err := f.List(t.Context())
			if diff := cmp.Diff(tt.err, errorText(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(rulesText(tt.want), rulesText(got)); diff != "" {
				t.Errorf("rules (-want +got):\n%s", diff)
			}
			done()
		})
	}
}

func rulesText(rules []Rule) string {
	var b strings.Builder
	for _, r := range rules {
		fmt.Fprintln(&b, r)
	}
	return b.String()
}
