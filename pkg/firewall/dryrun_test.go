package firewall

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDryRun(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		options Options
		want    string
	}{
		"own chain": {Options{}, `
iptables -w 5 -N KNOCK
iptables -w 5 -I INPUT 1 -m comment --comment knockdaemon -j KNOCK
iptables -w 5 -I KNOCK -s 142.103.205.1/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
iptables -w 5 -I KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 80 -m comment --comment knockdaemon -j ACCEPT
iptables -w 5 -I KNOCK -s 142.103.205.1/32 -p tcp -m tcp --dport 22 -m time --datestop 2026-11-21T12:34:55 -m comment --comment knockdaemon -j ACCEPT
iptables -w 5 -D KNOCK -s 142.103.205.1/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
iptables -w 5 -D KNOCK -s 142.103.205.1/32 -p tcp -m tcp --dport 22 -m time --datestop 2026-11-21T12:34:55 -m comment --comment knockdaemon -j ACCEPT
iptables -w 5 -D KNOCK -s 142.103.205.1/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
iptables -w 5 -D INPUT -m comment --comment knockdaemon -j KNOCK
iptables -w 5 -F KNOCK
iptables -w 5 -X KNOCK
`},
		"straight": {Options{Chain: "INPUT", Program: "/opt/my tools/iptables"}, `
'/opt/my tools/iptables' -w 5 -I INPUT -s 142.103.205.1/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
'/opt/my tools/iptables' -w 5 -I INPUT -s 192.0.2.7/32 -p tcp -m tcp --dport 80 -m comment --comment knockdaemon -j ACCEPT
'/opt/my tools/iptables' -w 5 -I INPUT -s 142.103.205.1/32 -p tcp -m tcp --dport 22 -m time --datestop 2026-11-21T12:34:55 -m comment --comment knockdaemon -j ACCEPT
'/opt/my tools/iptables' -w 5 -D INPUT -s 142.103.205.1/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
'/opt/my tools/iptables' -w 5 -D INPUT -s 142.103.205.1/32 -p tcp -m tcp --dport 22 -m time --datestop 2026-11-21T12:34:55 -m comment --comment knockdaemon -j ACCEPT
'/opt/my tools/iptables' -w 5 -D INPUT -s 142.103.205.1/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
'/opt/my tools/iptables' -w 5 -D INPUT -s 192.0.2.7/32 -p tcp -m tcp --dport 80 -m comment --comment knockdaemon -j ACCEPT
`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := []string{""}
			d := NewDryRun(tt.options, func(c string) { got = append(got, c) })
			one, two := always(rule("142.103.205.1", 22)), always(rule("192.0.2.7", 80))
			steps := []error{
				d.Teardown(t.Context()), // nothing is there
				d.Setup(t.Context()), d.Setup(t.Context()),
				d.Add(t.Context(), one), d.Add(t.Context(), two), d.Add(t.Context(), one),
				d.Add(t.Context(), until(one.Rule, "2026-11-21T12:34:56Z")), d.Add(t.Context(), until(one.Rule, "2026-11-21T12:34:56.7Z")),
				d.Delete(t.Context(), one.Rule), d.Delete(t.Context(), one.Rule),
			}
			for i, err := range append(steps, d.Teardown(t.Context()), d.Teardown(t.Context())) {
				if err != nil {
					t.Errorf("step %d: %v", i, err)
				}
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, "\n")+"\n"); diff != "" {
				t.Errorf("commands (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDryRunForwards(t *testing.T) {
	t.Parallel()
	const through = "-s 192.0.2.1/32 -d 10.0.0.5/32 -p tcp -m tcp --dport 22 -m conntrack --ctstate DNAT --ctorigdstport 2222"
	const away = "-s 192.0.2.1/32 -p tcp -m tcp --dport 2222 -m addrtype --dst-type LOCAL"
	const end = " -m time --datestop 2026-11-21T12:34:55"
	const chains = `iptables -w 5 -N KNOCK-FORWARD
iptables -w 5 -I FORWARD 1` + throughJump + `
iptables -w 5 -t nat -N KNOCK
iptables -w 5 -t nat -I PREROUTING 1` + jump + "\n"
	const knock = `iptables -w 5 -N KNOCK
iptables -w 5 -I INPUT 1` + jump + "\n"
	rules := func(through, away string) string {
		return "iptables -w 5 -I " + through + end + tail + "\niptables -w 5 -t nat -I " + away + end + awayTail + "\n" +
			"iptables -w 5 -t nat -D " + away + end + awayTail + "\niptables -w 5 -D " + through + end + tail + "\n" +
			"iptables -w 5 -t nat -D " + away + awayTail + "\niptables -w 5 -D " + through + tail + "\n" +
			"iptables -w 5 -I " + through + tail + "\niptables -w 5 -t nat -I " + away + awayTail + "\n"
	}
	own := rules("KNOCK-FORWARD "+through, "KNOCK "+away)
	const gone = `iptables -w 5 -D INPUT` + jump + `
iptables -w 5 -X KNOCK
iptables -w 5 -t nat -D PREROUTING` + jump + `
iptables -w 5 -t nat -F KNOCK
iptables -w 5 -t nat -X KNOCK
iptables -w 5 -D FORWARD` + throughJump + `
iptables -w 5 -F KNOCK-FORWARD
iptables -w 5 -X KNOCK-FORWARD
`
	tests := map[string]struct {
		options Options
		want    string
	}{
		"as the configuration says": {Options{Forwards: true}, knock + chains + own + gone},
		"as the first needs":        {Options{}, knock + chains + own + gone},
		"straight": {Options{Chain: "INPUT", Forwards: true}, rules("FORWARD "+through, "PREROUTING "+away) +
			"iptables -w 5 -t nat -D PREROUTING " + away + awayTail + "\niptables -w 5 -D FORWARD " + through + tail + "\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			d := NewDryRun(tt.options, func(c string) { got += c + "\n" })
			r := forward("192.0.2.1", 2222, "10.0.0.5:22")
			err := errors.Join(d.Setup(t.Context()), d.Add(t.Context(), until(r, "2026-11-21T12:34:56Z")), d.Add(t.Context(), until(r, "2026-11-21T12:34:56Z")),
				d.Delete(t.Context(), r), d.Delete(t.Context(), r))
			c, serr := d.Sync(t.Context(), []Entry{always(r)})
			if err := errors.Join(err, serr, d.Teardown(t.Context()), d.Teardown(t.Context())); err != nil || c.Healed {
				t.Errorf("got error %v, healed %v; want none", err, c.Healed)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("commands (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDryRunTellsTheTruth runs what a DryRun prints in a shell, and compares the
// outcome with that of an IPTables.
func TestDryRunTellsTheTruth(t *testing.T) {
	t.Parallel()
	one, two, three := rule("192.0.2.7", 22), rule("192.0.2.8", 22), rule("192.0.2.9", 80)
	inner := forward("192.0.2.8", 2222, "10.0.0.5:22")
	soon, late := "2037-11-21T12:34:56Z", "2037-11-21T13:34:56Z"
	life := func(b Backend) (told string, err error) {
		steps := []error{
			b.Setup(t.Context()),
			b.Add(t.Context(), until(one, soon)),
			b.Add(t.Context(), until(two, soon)),
			b.Add(t.Context(), always(drop("192.0.2.7"))),
			b.Add(t.Context(), until(one, late)),
			b.Add(t.Context(), until(drop("192.0.2.8"), soon)),
			b.Delete(t.Context(), two),
			b.Add(t.Context(), until(inner, soon)),
			b.Add(t.Context(), always(inner)),
			b.Add(t.Context(), until(udp(two), soon)),
		}
		for range 2 {
			c, err := b.Sync(t.Context(), []Entry{always(one), until(two, late), until(drop("192.0.2.8"), soon), until(drop("192.0.2.9"), late), always(three), until(inner, late), always(udp(inner))})
			told += changesText(c) + "\n"
			steps = append(steps, err)
		}
		return told, errors.Join(steps...)
	}
	dumps := map[string]string{}
	for _, how := range []string{"dry", "real"} {
		t.Run(how, func(t *testing.T) {
			k := newKernel(t, "iptables-nft")
			var backend Backend = k.firewall("KNOCK")
			if how == "dry" {
				backend = NewDryRun(Options{}, func(c string) { k.admin(strings.TrimPrefix(c, "iptables -w 5 ")) })
			}
			told, err := life(backend)
			k.must(err)
			want := "removed drop 192.0.2.7, removed 192.0.2.8 22/udp, restored 192.0.2.7 22/tcp, restored 192.0.2.8 22/tcp, " +
				"restored 192.0.2.8 2222/tcp to 10.0.0.5:22, restored 192.0.2.8 2222/udp to 10.0.0.5:22, restored drop 192.0.2.9, restored 192.0.2.9 80/tcp\n\n"
			if diff := cmp.Diff(want, told); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			dumps[how] = k.save("-t", "filter") + k.save("-t", "nat")
			k.must(backend.Teardown(t.Context()))
			k.want(":INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT")
		})
	}
	if diff := cmp.Diff(dumps["real"], dumps["dry"]); diff != "" || !strings.Contains(dumps["dry"], "192.0.2.8/32") || !strings.Contains(dumps["dry"], "DNAT --to-destination") {
		t.Errorf("filter and nat (-real +dry), want 192.0.2.8/32 in both:\n%s%s", diff, dumps["dry"])
	}
}

func TestDryRunRefuses(t *testing.T) {
	t.Parallel()
	d := NewDryRun(Options{Chain: "OUTPUT"}, func(c string) { t.Errorf("unexpected command: %s", c) })
	want := `chain "OUTPUT" is built into the firewall: use INPUT or a name of your own`
	if got := errorText(d.Setup(t.Context())); got != want {
		t.Errorf("setup: got %q, want %q", got, want)
	}
	want = `failed to add rule "::1 22/tcp": address "::1" is not an IPv4 address`
	if got := errorText(d.Add(t.Context(), always(rule("::1", 22)))); got != want {
		t.Errorf("add: got %q, want %q", got, want)
	}
	want = `failed to delete rule "::1 22/tcp": address "::1" is not an IPv4 address`
	if got := errorText(d.Delete(t.Context(), rule("::1", 22))); got != want {
		t.Errorf("delete: got %q, want %q", got, want)
	}
	want = `chain "OUTPUT" is built into the firewall: use INPUT or a name of your own`
	if c, err := d.Sync(t.Context(), []Entry{always(rule("192.0.2.1", 22))}); errorText(err) != want || changesText(c) != "" {
		t.Errorf("sync: got %q and changes %q, want %q", errorText(err), changesText(c), want)
	}
	straight := NewDryRun(Options{Chain: "INPUT"}, func(c string) { t.Errorf("unexpected command: %s", c) })
	want = `failed to add rule "drop 192.0.2.1": dropping needs a chain of our own, not INPUT`
	if got := errorText(straight.Add(t.Context(), always(drop("192.0.2.1")))); got != want {
		t.Errorf("add: got %q, want %q", got, want)
	}
	if c, err := straight.Sync(t.Context(), []Entry{always(drop("192.0.2.1"))}); errorText(err) != want || changesText(c) != "" {
		t.Errorf("sync: got %q and changes %q, want %q", errorText(err), changesText(c), want)
	}
}
