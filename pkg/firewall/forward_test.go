package firewall

import (
	"net/netip"
	"testing"
)

// What a rule that forwards 192.0.2.1 2222/tcp to 10.0.0.5:22 is in the filter and
// in nat.
const (
	throughHead  = " -s 192.0.2.1/32 -d 10.0.0.5/32 -p tcp -m tcp --dport 22 -m conntrack --ctstate DNAT --ctorigdstport 2222"
	throughSpec  = throughHead + tail
	timedThrough = throughHead + " -m time --datestop 2026-11-21T12:34:55" + tail
	awayHead     = " -s 192.0.2.1/32 -p tcp -m tcp --dport 2222 -m addrtype --dst-type LOCAL"
	awayTail     = " -m comment --comment knockdaemon -j DNAT --to-destination 10.0.0.5:22"
	awaySpec     = awayHead + awayTail
	timedAway    = awayHead + " -m time --datestop 2026-11-21T12:34:55" + awayTail

	throughJump = " -m comment --comment knockdaemon -j KNOCK-FORWARD"
	throughName = "KNOCK-FORWARD"
	natBuiltin  = "-P PREROUTING ACCEPT\n-P INPUT ACCEPT\n-P OUTPUT ACCEPT\n-P POSTROUTING ACCEPT\n"
	noNAT       = "iptables: can't initialize iptables table `nat': Table does not exist (do you need to insmod?)"
)

// forward gives a rule that forwards TCP.
func forward(src string, port uint16, to string) Rule {
	return Rule{Src: netip.MustParseAddr(src), Port: port, Action: Forward, To: netip.MustParseAddrPort(to)}
}

// udp gives r for UDP.
func udp(r Rule) Rule {
	r.Proto = UDP
	return r
}

// through gives the listing of a filter table that holds rules that let through
// what is forwarded; away that of nat.
func through(specs ...string) string {
	out := ready + "-N KNOCK-FORWARD\n-A FORWARD" + throughJump + "\n"
	for _, s := range specs {
		out += "-A KNOCK-FORWARD" + s + "\n"
	}
	return out
}

func away(specs ...string) string {
	out := natBuiltin + "-N KNOCK\n-A PREROUTING" + jump + "\n"
	for _, s := range specs {
		out += "-A KNOCK" + s + "\n"
	}
	return out
}

// forwards has an IPTables whose configuration forwards do something.
func forwarding(do func(*IPTables) error) func(*IPTables) error {
	return func(f *IPTables) error {
		f.options.Forwards = true
		return do(f)
	}
}

// filter and nat are looks at a table.
func filter(stdout string) run { return run{args: "-S", stdout: stdout} }
func nat(stdout string) run    { return run{args: "-t nat -S", stdout: stdout} }

// tryingForwards are the runs of Setup that see whether rules that forward work.
func tryingForwards(chain string) []run {
	through := " -s 0.0.0.0/32 -d 192.0.2.1/32 -p tcp -m tcp --dport 9 -m conntrack --ctstate DNAT --ctorigdstport 9 -m time --datestop 1970-01-01T00:00:01" + tail
	away := " -s 0.0.0.0/32 -p tcp -m tcp --dport 9 -m addrtype --dst-type LOCAL -m time --datestop 1970-01-01T00:00:01 -m comment --comment knockdaemon -j DNAT --to-destination 192.0.2.1:9"
	return []run{{args: "-I " + chain + through}, {args: "-D " + chain + through}, {args: "-t nat -I KNOCK" + away}, {args: "-t nat -D KNOCK" + away}}
}

func TestForwardSetupRuns(t *testing.T) {
	t.Parallel()
	failed := `failed to set up chain "KNOCK": forwarding does not work: `
	try := tryingForwards(throughName)
	play(t, map[string]scenario{
		"of an empty firewall": {do: forwarding(setup), script: append([]run{
			filter(builtin), {args: "-N KNOCK"}, {args: "-I INPUT 1" + jump},
			filter(ready), {args: "-N KNOCK-FORWARD"}, {args: "-I FORWARD 1" + throughJump},
			nat(natBuiltin), {args: "-t nat -N KNOCK"}, {args: "-t nat -I PREROUTING 1" + jump}}, try...)},
		"of what is there, twice": {do: forwarding(all(setup, setup)), script: append(append([]run{
			filter(through()), filter(through()), nat(away())}, try...), filter(through()), filter(through()), nat(away()))},
		"what is there if nothing is forwarded": {do: setup, script: []run{filter(through())}},
		"straight": {chain: "INPUT", do: forwarding(setup), script: []run{
			{args: "-S INPUT", stdout: "-P INPUT DROP\n"}, {args: "-S FORWARD", stdout: "-P FORWARD DROP\n"}, {args: "-t nat -S PREROUTING", code: 3, stderr: noNAT}},
			want: `failed to set up chain "INPUT": forwarding does not work: iptables: ` + noNAT + ` (exit status 3)`},
		"without nat": {do: forwarding(setup), script: []run{
			filter(through()), filter(through()), {args: "-t nat -S", code: 3, stderr: noNAT}},
			want: failed + "iptables: " + noNAT + " (exit status 3)"},
		"without DNAT": {do: forwarding(setup), script: append([]run{filter(through()), filter(through()), nat(away()), try[0], try[1]},
			run{args: try[2].args, code: 1, stderr: noModule}), want: failed + "iptables: " + noModule + " (exit status 1)"},
	})
}

func TestForwardAddRuns(t *testing.T) {
	t.Parallel()
	r := forward("192.0.2.1", 2222, "10.0.0.5:22")
	one, timed := always(r), until(r, "2026-11-21T12:34:56Z")
	accept := always(rule("192.0.2.1", 22))
	try := tryingForwards(throughName)
	made := append([]run{filter(through()), filter(through()), nat(away())}, try...)
	failed := `failed to add rule "192.0.2.1 2222/tcp to 10.0.0.5:22": `
	play(t, map[string]scenario{
		"the first makes all": {do: all(setup, add(one)), script: []run{
			filter(ready),
			filter(ready), {args: "-N KNOCK-FORWARD"}, {args: "-I FORWARD 1" + throughJump}, {args: "-I KNOCK-FORWARD" + throughSpec},
			nat(natBuiltin), {args: "-t nat -N KNOCK"}, {args: "-t nat -I PREROUTING 1" + jump}, {args: "-t nat -I KNOCK" + awaySpec}}},
		"after setup two runs till it is open": {do: forwarding(all(setup, add(timed))), script: append(made[:len(made):len(made)],
			run{args: "-I KNOCK-FORWARD" + timedThrough}, filter(through(timedThrough)),
			run{args: "-t nat -I KNOCK" + timedAway}, nat(away(timedAway)))},
		"an accept takes one as before": {do: forwarding(all(setup, add(accept))), script: append(made[:len(made):len(made)],
			run{args: "-I KNOCK" + spec}, filter(inKnock(spec)))},
		"another end": {do: add(one), script: []run{
			filter(through(timedThrough)), {args: "-I KNOCK-FORWARD" + throughSpec}, {args: "-D KNOCK-FORWARD" + timedThrough},
			nat(away(timedAway)), {args: "-t nat -I KNOCK" + awaySpec}, {args: "-t nat -D KNOCK" + timedAway}}},
		"what is there":        {do: add(one), script: []run{filter(through(throughSpec)), nat(away(awaySpec))}},
		"what is half there":   {do: add(one), script: []run{filter(through(throughSpec)), nat(away()), {args: "-t nat -I KNOCK" + awaySpec}}},
		"what was half, again": {do: all(failing(add(one)), add(one)), script: []run{filter(through()), {args: "-I KNOCK-FORWARD" + throughSpec}, {args: "-t nat -S", code: 4, stderr: locked}, filter(through(throughSpec)), nat(away()), {args: "-t nat -I KNOCK" + awaySpec}}},
		"nothing leads away what is not let through": {do: add(one), script: []run{
			filter(through()), {args: "-I KNOCK-FORWARD" + throughSpec, code: 1, stderr: "no memory"}},
			want: failed + "iptables: no memory (exit status 1)"},
		"straight": {chain: "INPUT", do: all(add(one), add(timed)), script: []run{
			{args: "-S FORWARD", stdout: "-P FORWARD DROP\n"}, {args: "-I FORWARD" + throughSpec},
			{args: "-t nat -S PREROUTING", stdout: "-P PREROUTING ACCEPT\n"}, {args: "-t nat -I PREROUTING" + awaySpec},
			{args: "-S FORWARD", stdout: "-A FORWARD" + throughSpec + "\n"}, {args: "-I FORWARD" + timedThrough}, {args: "-D FORWARD" + throughSpec},
			{args: "-t nat -S PREROUTING", stdout: "-A PREROUTING" + awaySpec + "\n"}, {args: "-t nat -I PREROUTING" + timedAway}, {args: "-t nat -D PREROUTING" + awaySpec}}},
		"nowhere": {do: add(always(Rule{Src: r.Src, Port: 22, Action: Forward})),
			want: `failed to add rule "192.0.2.1 22/tcp to invalid AddrPort": "invalid AddrPort" is not an IPv4 address with a port`},
	})
}

func TestForwardDeleteRuns(t *testing.T) {
	t.Parallel()
	r := forward("192.0.2.1", 2222, "10.0.0.5:22")
	failed := `failed to delete rule "192.0.2.1 2222/tcp to 10.0.0.5:22": `
	play(t, map[string]scenario{
		"what leads away first": {do: del(r), script: []run{filter(through(throughSpec, timedThrough)), nat(away(timedAway, awaySpec)),
			{args: "-t nat -D KNOCK" + timedAway}, {args: "-t nat -D KNOCK" + awaySpec}, {args: "-D KNOCK-FORWARD" + throughSpec}, {args: "-D KNOCK-FORWARD" + timedThrough}}},
		"where nothing was forwarded": {do: del(r), script: []run{filter(ready)}},
		"what is half there":          {do: del(r), script: []run{filter(through(throughSpec)), nat(away()), {args: "-D KNOCK-FORWARD" + throughSpec}}},
		"the other half": {do: all(add(always(r)), del(r)), script: []run{filter(through(throughSpec)), nat(away(awaySpec)),
			filter(ready), nat(away(awaySpec)), {args: "-t nat -D KNOCK" + awaySpec}}},
		"one half cannot go": {do: del(r), script: []run{filter(through(throughSpec)), nat(away(awaySpec)),
			{args: "-t nat -D KNOCK" + awaySpec, code: 1, stderr: "no memory"}, {args: "-D KNOCK-FORWARD" + throughSpec}},
			want: failed + "iptables: no memory (exit status 1)"},
		"nat cannot be read": {do: del(r), script: []run{filter(through(throughSpec)), {args: "-t nat -S", code: 3, stderr: noNAT}, {args: "-D KNOCK-FORWARD" + throughSpec}},
			want: failed + "iptables: " + noNAT + " (exit status 3)"},
		"waits for a lock once": {do: del(r), script: []run{filter(through(throughSpec)), {args: "-t nat -S", code: 4, stderr: locked}}, want: failed + lockError},
		"straight": {chain: "INPUT", do: del(r), script: []run{{args: "-S FORWARD", stdout: "-A FORWARD" + throughSpec + "\n"},
			{args: "-t nat -S PREROUTING", stdout: "-A PREROUTING" + awaySpec + "\n"}, {args: "-t nat -D PREROUTING" + awaySpec}, {args: "-D FORWARD" + throughSpec}}},
	})
}

func TestForwardSyncRuns(t *testing.T) {
	t.Parallel()
	r := forward("192.0.2.1", 2222, "10.0.0.5:22")
	one, timed, accept := always(r), until(r, "2026-11-21T12:34:56Z"), always(rule("192.0.2.1", 22))
	other := " -s 192.0.2.2/32 -p udp -m udp --dport 53 -m addrtype --dst-type LOCAL -m comment --comment knockdaemon -j DNAT --to-destination 10.0.0.5:5353"
	otherThrough := " -s 192.0.2.2/32 -d 10.0.0.5/32 -p udp -m udp --dport 5353 -m conntrack --ctstate DNAT --ctorigdstport 53" + tail
	second := always(udp(forward("192.0.2.2", 53, "10.0.0.5:5353")))
	failed := `failed to reconcile chain "KNOCK": `
	restoringNAT := func(lines ...string) run {
		r := restoring(lines...)
		r.args = "restore nat\n" + r.args[len("restore\n"):]
		return r
	}
	tests := map[string]scenario{
		"nothing to do":           {do: syncing(one, accept), script: []run{filter(through(throughSpec) + "-A KNOCK" + spec + "\n"), nat(away(awaySpec))}},
		"nothing was forwarded":   {do: syncing(), script: []run{filter(ready)}},
		"the configuration may":   {do: forwarding(syncing()), script: []run{filter(through()), nat(away())}},
		"the first makes all":     {do: syncing(one), script: []run{filter(ready), {args: "-N KNOCK-FORWARD"}, {args: "-I FORWARD 1" + throughJump}, nat(natBuiltin), {args: "-t nat -N KNOCK"}, {args: "-t nat -I PREROUTING 1" + jump}, {args: "-I KNOCK-FORWARD" + throughSpec}, {args: "-t nat -I KNOCK" + awaySpec}}, want: "told: restored 192.0.2.1 2222/tcp to 10.0.0.5:22"},
		"what had gone is healed": {do: forwarding(syncing()), script: []run{filter(ready), {args: "-N KNOCK-FORWARD"}, {args: "-I FORWARD 1" + throughJump}, nat(away())}, want: "told: healed"},
		"left by another": {do: syncing(), script: []run{filter(through(throughSpec)), nat(away(awaySpec)), {args: "-t nat -D KNOCK" + awaySpec}, {args: "-D KNOCK-FORWARD" + throughSpec}},
			want: "told: removed 192.0.2.1 2222/tcp to 10.0.0.5:22"},
		"one half": {do: syncing(one), script: []run{filter(through(throughSpec)), nat(away()), {args: "-t nat -I KNOCK" + awaySpec}},
			want: "told: restored 192.0.2.1 2222/tcp to 10.0.0.5:22"},
		"what goes and what comes": {do: syncing(one), script: []run{filter(through(otherThrough)), nat(away(other)),
			{args: "-t nat -D KNOCK" + other}, restoring("-D KNOCK-FORWARD"+otherThrough, "-I KNOCK-FORWARD"+throughSpec), {args: "-t nat -I KNOCK" + awaySpec}},
			want: "told: removed 192.0.2.2 53/udp to 10.0.0.5:5353, restored 192.0.2.1 2222/tcp to 10.0.0.5:22"},
		"another end, and one more": {do: syncing(timed, second), script: []run{filter(through(throughSpec)), nat(away(awaySpec)),
			restoring("-D KNOCK-FORWARD"+throughSpec, "-I KNOCK-FORWARD"+timedThrough, "-I KNOCK-FORWARD"+otherThrough),
			restoringNAT("-D KNOCK"+awaySpec, "-I KNOCK"+timedAway, "-I KNOCK"+other)},
			want: "told: restored 192.0.2.1 2222/tcp to 10.0.0.5:22, restored 192.0.2.2 53/udp to 10.0.0.5:5353"},
		"an unknown form": {do: syncing(), script: []run{filter(through(" -i eth0" + tail)), nat(away(awaySpec + " --random")),
			{args: "-t nat -D KNOCK" + awaySpec + " --random"}, {args: "-D KNOCK-FORWARD -i eth0" + tail}}, want: "told: 2 unknown"},
		"what is not let through is not led away": {do: syncing(one), script: []run{filter(through()), nat(away()), {args: "-I KNOCK-FORWARD" + throughSpec, code: 1, stderr: "no memory"}},
			want: failed + "iptables: no memory (exit status 1)"},
		"without the chain nothing is made in nat": {do: syncing(one, accept), script: []run{filter(inKnock(spec)), {args: "-N KNOCK-FORWARD", code: 1, stderr: "no memory"}, nat(natBuiltin), {args: "-I KNOCK-FORWARD" + throughSpec, code: 1, stderr: noChain}},
			want: failed + "iptables: no memory (exit status 1)\niptables: " + noChain + " (exit status 1)"},
		"without nat accepts are in order": {do: syncing(one, accept), script: []run{filter(through()), {args: "-I KNOCK" + spec}, {args: "-t nat -S", code: 3, stderr: noNAT}, {args: "-I KNOCK-FORWARD" + throughSpec}},
			want: failed + "iptables: " + noNAT + " (exit status 3)\ntold: restored 192.0.2.1 22/tcp, restored 192.0.2.1 2222/tcp to 10.0.0.5:22"},
		"changed meanwhile": {do: syncing(one, second), script: []run{filter(through(throughSpec, otherThrough)), nat(away()),
			restoringNAT("-I KNOCK"+awaySpec, "-I KNOCK"+other).failing(1, noLine), nat(away(awaySpec)), {args: "-t nat -I KNOCK" + other}},
			want: "told: restored 192.0.2.2 53/udp to 10.0.0.5:5353"},
		"straight, nothing": {chain: "INPUT", do: syncing(), script: []run{{args: "-S INPUT", stdout: "-P INPUT DROP\n"}, {args: "-S FORWARD", stdout: "-A FORWARD -m comment --comment knockdaemon -j OTHER-FORWARD\n"}}},
		"straight, left by another": {chain: "INPUT", do: syncing(), script: []run{{args: "-S INPUT", stdout: "-P INPUT DROP\n"},
			{args: "-S FORWARD", stdout: "-A FORWARD" + throughSpec + "\n"}, {args: "-t nat -S PREROUTING", stdout: "-A PREROUTING" + awaySpec + "\n-A PREROUTING -m comment --comment other -j DOCKER\n"},
			{args: "-t nat -D PREROUTING" + awaySpec}, {args: "-D FORWARD" + throughSpec}}, want: "told: removed 192.0.2.1 2222/tcp to 10.0.0.5:22"},
		"straight, what iptables cannot read": {chain: "INPUT", do: syncing(accept), script: []run{{args: "-S INPUT", stdout: "-P INPUT DROP\n"}, {args: "-I INPUT" + spec},
			{args: "-S FORWARD", code: 1, stderr: "table `filter' is incompatible, use 'nft' tool."}}, want: "told: restored 192.0.2.1 22/tcp"},
		"straight, what it cannot read and should": {chain: "INPUT", do: forwarding(syncing()), script: []run{{args: "-S INPUT", stdout: "-P INPUT DROP\n"},
			{args: "-S FORWARD", code: 1, stderr: "no"}}, want: `failed to reconcile chain "INPUT": iptables: no (exit status 1)`},
	}
	for name, tt := range tests {
		tt.restore = true
		tests[name] = tt
	}
	play(t, tests)
}

func TestForwardTeardownRuns(t *testing.T) {
	t.Parallel()
	failed := `failed to tear down chain "KNOCK": `
	play(t, map[string]scenario{
		"all of it": {do: teardown, script: []run{filter(through(throughSpec)), {args: "-D INPUT" + jump}, {args: "-X KNOCK"},
			nat(away(awaySpec, timedAway)), {args: "-t nat -D PREROUTING" + jump}, {args: "-t nat -F KNOCK"}, {args: "-t nat -X KNOCK"},
			{args: "-D FORWARD" + throughJump}, {args: "-F KNOCK-FORWARD"}, {args: "-X KNOCK-FORWARD"}}},
		"the chain stays while nat may hold something": {do: teardown, script: []run{filter(through(throughSpec)), {args: "-D INPUT" + jump}, {args: "-X KNOCK"},
			nat(away(awaySpec)), {args: "-t nat -D PREROUTING" + jump}, {args: "-t nat -F KNOCK", code: 1, stderr: "a"}, {args: "-t nat -X KNOCK", code: 1, stderr: "b"},
			{args: "-D FORWARD" + throughJump}, {args: "-F KNOCK-FORWARD"}}, want: failed + "iptables: a (exit status 1)\niptables: b (exit status 1)"},
		"and while it cannot be read": {do: teardown, script: []run{filter(through(throughSpec)), {args: "-D INPUT" + jump}, {args: "-X KNOCK"},
			{args: "-t nat -S", code: 3, stderr: noNAT}, {args: "-D FORWARD" + throughJump}, {args: "-F KNOCK-FORWARD"}}, want: failed + "iptables: " + noNAT + " (exit status 3)"},
		"beside rules of somebody else's": {do: teardown, script: []run{filter(through(throughSpec, " -j LOG")), {args: "-D INPUT" + jump}, {args: "-X KNOCK"},
			nat(away(awaySpec) + "-A OUTPUT -j KNOCK\n"), {args: "-t nat -D PREROUTING" + jump}, {args: "-t nat -F KNOCK"},
			{args: "-D FORWARD" + throughJump}, {args: "-D KNOCK-FORWARD" + throughSpec}}},
		"straight": {chain: "INPUT", do: teardown, script: []run{{args: "-S INPUT", stdout: "-A INPUT" + spec + "\n"}, {args: "-D INPUT" + spec},
			{args: "-S FORWARD", stdout: "-A FORWARD" + throughSpec + "\n"}, {args: "-t nat -S PREROUTING", stdout: "-A PREROUTING" + awaySpec + "\n-A PREROUTING -j LOG\n"},
			{args: "-t nat -D PREROUTING" + awaySpec}, {args: "-D FORWARD" + throughSpec}}},
		"waits for a lock once": {do: teardown, script: []run{filter(through(throughSpec)), {args: "-D INPUT" + jump}, {args: "-X KNOCK"},
			{args: "-t nat -S", code: 4, stderr: locked}}, want: failed + lockError},
	})
}
