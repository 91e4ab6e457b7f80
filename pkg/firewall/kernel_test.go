package firewall

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestKernel changes the real packet filter, with both variants of iptables.
func TestKernel(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*testing.T, kernel){
		"whole life":                 testWholeLife,
		"straight in INPUT":          testStraight,
		"jump of the administrator":  testForeignJump,
		"go to of the administrator": testForeignGoto,
		"rules of the administrator": testForeignRules,
		"left by a killed daemon":    testLeftBehind,
		"flushed by somebody":        testFlushed,
		"restored by somebody":       testRestored,
		"other ends":                 testEnds,
		"any address, port and end":  testExtremes,
		"thousands of rules":         testMany,
		"restore program fails":      testFallback,
		"changed meanwhile":          testChanges,
	}
	for _, variant := range variants {
		for name, test := range cases {
			t.Run(variant+"/"+name, func(t *testing.T) {
				t.Parallel()
				test(t, newKernel(t, variant))
			})
		}
	}
}

func testWholeLife(t *testing.T, k kernel) {
	k.admin(`
		-P INPUT DROP
		-A INPUT -i lo -j ACCEPT`)
	before := k.dump()
	f := k.firewall("")
	one, two, shut := rule("142.103.205.1", 22), rule("192.0.2.7", 255), drop("192.0.2.7")

	k.must(f.Setup(t.Context()))
	k.must(f.Setup(t.Context()))
	k.must(f.Add(t.Context(), always(one)))
	k.must(f.Add(t.Context(), until(shut, "2037-11-21T12:34:56Z")))
	k.must(f.Add(t.Context(), until(two, "2037-11-21T12:34:56Z")))
	k.must(f.Add(t.Context(), always(one)))
	k.want(`:INPUT DROP
		:FORWARD ACCEPT
		:OUTPUT ACCEPT
		:KNOCK -
		-A INPUT -m comment --comment knockdaemon -j KNOCK
		-A INPUT -i lo -j ACCEPT
		-A KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 255 -m time --datestop 2037-11-21T12:34:55 -m comment --comment knockdaemon -j ACCEPT
		-A KNOCK -s 142.103.205.1/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
		-A KNOCK -s 192.0.2.7/32 -m conntrack --ctstate NEW -m time --datestop 2037-11-21T12:34:55 -m comment --comment knockdaemon -j DROP
	`)

	k.must(f.Delete(t.Context(), one))
	k.must(f.Delete(t.Context(), one))
	k.must(f.Delete(t.Context(), rule("192.0.2.7", 22)))
	k.must(f.Delete(t.Context(), shut))
	k.want(`:INPUT DROP
		:FORWARD ACCEPT
		:OUTPUT ACCEPT
		:KNOCK -
		-A INPUT -m comment --comment knockdaemon -j KNOCK
		-A INPUT -i lo -j ACCEPT
		-A KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 255 -m time --datestop 2037-11-21T12:34:55 -m comment --comment knockdaemon -j ACCEPT
	`)

	k.must(f.Teardown(t.Context()))
	k.must(f.Teardown(t.Context()))
	k.must(f.Delete(t.Context(), two))
	if diff := cmp.Diff(before, k.dump()); diff != "" {
		t.Errorf("filter table after Teardown (-before +after):\n%s", diff)
	}
}

func testStraight(t *testing.T, k kernel) {
	k.admin(`
		-A INPUT -p tcp -m tcp --dport 22 -j DROP
		-A INPUT -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -j ACCEPT`)
	before := k.dump()
	f := k.firewall("INPUT")
	k.must(f.Setup(t.Context()))
	k.must(f.Setup(t.Context()))
	k.must(f.Add(t.Context(), always(rule("192.0.2.7", 22))))
	k.must(f.Add(t.Context(), always(rule("192.0.2.7", 22))))
	k.want(`:INPUT ACCEPT
		:FORWARD ACCEPT
		:OUTPUT ACCEPT
		-A INPUT -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
		-A INPUT -p tcp -m tcp --dport 22 -j DROP
		-A INPUT -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -j ACCEPT
	`)
	k.must(f.Delete(t.Context(), rule("192.0.2.7", 22)))
	k.must(f.Delete(t.Context(), rule("192.0.2.7", 22)))
	k.must(f.Add(t.Context(), until(rule("192.0.2.8", 22), "2037-11-21T12:34:56Z")))
	if err := f.Add(t.Context(), always(drop("192.0.2.7"))); !errors.Is(err, errDropInInput) {
		t.Errorf("drop: got %v, want %v", err, errDropInInput)
	}
	// A copy above a rule that drops and one below: the upper one counts.
	k.admin("-A INPUT -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT")
	k.sync(f, "removed 192.0.2.8 22/tcp, restored 192.0.2.7 22/tcp", until(rule("192.0.2.7", 22), "2037-11-21T12:34:56Z"))
	k.want(`:INPUT ACCEPT
		:FORWARD ACCEPT
		:OUTPUT ACCEPT
		-A INPUT -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -m time --datestop 2037-11-21T12:34:55 -m comment --comment knockdaemon -j ACCEPT
		-A INPUT -p tcp -m tcp --dport 22 -j DROP
		-A INPUT -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -j ACCEPT
	`)
	k.must(f.Teardown(t.Context()))
	if diff := cmp.Diff(before, k.dump()); diff != "" {
		t.Errorf("filter table after Teardown (-before +after):\n%s", diff)
	}
}

func testForeignJump(t *testing.T, k kernel) {
	k.admin(`
		-N KNOCK
		-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT
		-A INPUT -p tcp -j KNOCK`)
	before := k.dump()
	f := k.firewall("KNOCK")
	k.must(f.Setup(t.Context()))
	if diff := cmp.Diff(before, k.dump()); diff != "" {
		t.Errorf("filter table after Setup (-before +after):\n%s", diff)
	}
	k.must(f.Add(t.Context(), always(rule("192.0.2.7", 22))))
	k.must(f.Teardown(t.Context()))
	if diff := cmp.Diff(before, k.dump()); diff != "" {
		t.Errorf("filter table after Teardown (-before +after):\n%s", diff)
	}
}

func testForeignGoto(t *testing.T, k kernel) {
	k.admin(`
		-N doors
		-N KNOCK
		-A INPUT -j doors
		-A doors -g KNOCK`)
	before := k.dump()
	f := k.firewall("KNOCK")
	k.must(f.Setup(t.Context()))
	k.must(f.Add(t.Context(), always(rule("192.0.2.7", 22))))
	k.want(`:INPUT ACCEPT
		:FORWARD ACCEPT
		:OUTPUT ACCEPT
		:KNOCK -
		:doors -
		-A INPUT -j doors
		-A KNOCK -s 192.0.2.7/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT
		-A doors -g KNOCK
	`)
	k.must(f.Teardown(t.Context()))
	if diff := cmp.Diff(before, k.dump()); diff != "" {
		t.Errorf("filter table after Teardown (-before +after):\n%s", diff)
	}
}
