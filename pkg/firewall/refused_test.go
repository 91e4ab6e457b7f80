package firewall

import (
	"errors"
	"fmt"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNotPermitted runs both variants without root, and as root without the
// capability, as in a container.
func TestNotPermitted(t *testing.T) {
	t.Parallel()
	wrappers := map[string]string{
		"other user":    "setpriv --reuid=65534 --regid=65534 --clear-groups",
		"no capability": "setpriv --bounding-set=-net_admin --inh-caps=-net_admin",
	}
	denied := regexp.MustCompile(`Permission denied|Operation not permitted`)
	for _, variant := range variants {
		for name, wrapper := range wrappers {
			t.Run(variant+"/"+name, func(t *testing.T) {
				t.Parallel()
				k := newKernel(t, variant)
				program := script(t, fmt.Sprintf("exec %s %s \"$@\"", wrapper, variant))
				f, err := NewIPTables(Options{Program: program})
				if err != nil {
					t.Fatal(err)
				}
				before := k.dump()
				for op, err := range map[string]error{
					"setup":    f.Setup(t.Context()),
					"add":      f.Add(t.Context(), always(rule("192.0.2.7", 22))),
					"delete":   f.Delete(t.Context(), rule("192.0.2.7", 22)),
					"sync":     syncing(always(rule("192.0.2.7", 22)))(f),
					"teardown": f.Teardown(t.Context()),
				} {
					if !errors.Is(err, ErrNotPermitted) || !denied.MatchString(err.Error()) {
						t.Errorf("%s: got %v, want ErrNotPermitted and iptables' own words", op, err)
					}
				}
				if diff := cmp.Diff(before, k.dump()); diff != "" {
					t.Errorf("filter table (-before +after):\n%s", diff)
				}
			})
		}
	}
}

// TestWithoutTime runs both variants in a wrapper that knows no xt_time, in the
// words of either a missing library or a missing module of the kernel.
func TestWithoutTime(t *testing.T) {
	t.Parallel()
	refusals := map[string]string{
		"library": "echo " + quote(noLibrary) + " >&2; exit 2",
		"module":  "echo " + quote(noModule) + " >&2; exit 1",
	}
	one, shut := until(rule("192.0.2.7", 22), "2037-11-21T12:34:56Z"), until(drop("192.0.2.7"), "2037-11-21T12:34:56Z")
	for _, variant := range variants {
		for name, refusal := range refusals {
			t.Run(variant+"/"+name, func(t *testing.T) {
				t.Parallel()
				k := newKernel(t, variant)
				program := script(t, fmt.Sprintf(`for a; do if [ "$a" = time ]; then %s; fi; done; exec %s "$@"`, refusal, variant))
				var warned []string
				f, err := NewIPTables(Options{Program: program, Warn: func(m string) { warned = append(warned, m) }})
				k.must(err)
				k.must(f.Setup(t.Context()))
				k.holds("-A INPUT" + jump)
				k.must(f.Setup(t.Context()))
				k.must(f.Add(t.Context(), one))
				k.must(f.Add(t.Context(), until(one.Rule, "2037-11-21T13:34:56Z")))
				k.must(f.Add(t.Context(), shut))
				k.sync(f, "", one, shut)
				k.holds("-A INPUT"+jump, "-A KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 22"+tail,
					"-A KNOCK -s 192.0.2.7/32 -m conntrack --ctstate NEW -m comment --comment knockdaemon -j DROP")
				if len(warned) != 1 || !regexp.MustCompile(`lacks xt_time.*(Couldn't load match .time'|No chain/target/match)`).MatchString(warned[0]) {
					t.Errorf("warnings: got %q, want one, with iptables' own words", warned)
				}
				k.must(f.Teardown(t.Context()))
				k.want(":INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT")
			})
		}
	}
}

// TestWithTime has the probe leave nothing behind, straight in INPUT too.
func TestWithTime(t *testing.T) {
	t.Parallel()
	for _, variant := range variants {
		for _, chain := range []string{"KNOCK", "INPUT"} {
			t.Run(variant+"/"+chain, func(t *testing.T) {
				t.Parallel()
				k := newKernel(t, variant)
				f, err := NewIPTables(Options{Program: variant, Chain: chain, Warn: func(m string) { t.Errorf("unexpected warning: %s", m) }})
				k.must(err)
				k.must(f.Setup(t.Context()))
				want := map[string][]string{"KNOCK": {"-A INPUT" + jump}}
				k.holds(want[chain]...)
			})
		}
	}
}
