package firewall

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wantForwards compares what is forwarded with what should be: that each is once
// in both its places, in whatever order.
func (k kernel) wantForwards(after, chain string, want ...Entry) {
	k.t.Helper()
	s := newPlaces(chain)
	wants := texts(want)
	for _, p := range []*place{s.forward, s.nat} {
		var got []Entry
		for _, h := range p.held(parseListing(k.save("-t", p.name()))) {
			got = append(got, h.Entry)
			if !h.known {
				k.t.Errorf("a rule of another form after %s: %q", after, h.line)
			}
		}
		if diff := cmp.Diff(wants, texts(got)); diff != "" {
			k.t.Errorf("rules in %s after %s (-want +got):\n%s", p.base, after, diff)
		}
	}
}

func texts(list []Entry) []string {
	var texts []string
	for _, e := range list {
		texts = append(texts, entryText(e))
	}
	slices.Sort(texts)
	return texts
}

// copies has each rule that forwards there twice, beside one that is not known.
func (k kernel) copies(chain string, e Entry) {
	s := newPlaces(chain)
	for _, p := range s.of(e.Rule) {
		copied := line(p.command(append([]string{"-A", p.chain}, p.ruleArgs(e, true)...)...))
		k.admin(printed(copied))
	}
	k.admin(fmt.Sprintf("-A %s -i lo -m comment --comment knockdaemon -j ACCEPT", s.forward.chain))
	k.admin(fmt.Sprintf("-t nat -A %s -p tcp -m tcp --dport 1 -m comment --comment knockdaemon -j REDIRECT --to-ports 2", s.nat.chain))
}

// TestKernelForwards has what is forwarded live and die in the real packet filter,
// beside rules of somebody else's.
func TestKernelForwards(t *testing.T) {
	t.Parallel()
	for _, variant := range variants {
		for _, chain := range []string{"KNOCK", "INPUT"} {
			t.Run(variant+"/"+chain, func(t *testing.T) {
				t.Parallel()
				testForwards(t, newKernel(t, variant), chain)
			})
		}
	}
}

func testForwards(t *testing.T, k kernel, chain string) {
	k.settle()
	if chain == "INPUT" { // where all with our comment is ours
		k.admin("-t nat -D PREROUTING -p tcp -m tcp --dport 2222 -m comment --comment knockdaemon -j REDIRECT --to-ports 22")
	}
	before, all := k.foreign(), k.save()
	f, err := NewIPTables(Options{Program: k.variant, Chain: chain, Forwards: true})
	k.must(err)
	const soon, late = "2037-11-21T12:34:56Z", "2037-11-21T13:34:56Z"
	ctx := t.Context()
	one, two := forward("192.0.2.7", 2222, "10.0.0.5:22"), udp(forward("192.0.2.8", 65535, "10.0.0.5:53"))
	accept := udp(rule("192.0.2.7", 53))
	steps := []struct {
		name string
		do   func()
		want []Entry
	}{
		{"setup", func() { k.must(f.Setup(ctx)) }, nil},
		{"add", func() { k.must(f.Add(ctx, until(one, soon))) }, []Entry{until(one, soon)}},
		{"add again", func() { k.must(f.Add(ctx, until(one, soon))) }, []Entry{until(one, soon)}},
		{"add another end", func() { k.must(f.Add(ctx, always(one))) }, []Entry{always(one)}},
		{"add UDP", func() { k.must(errors.Join(f.Add(ctx, until(two, late)), f.Add(ctx, always(accept)))) }, []Entry{always(one), until(two, late)}},
		{"sync of what is there", func() { k.sync(f, "", always(one), until(two, late), always(accept)) }, []Entry{always(one), until(two, late)}},
		{"sync of other ends", func() {
			k.sync(f, "removed 192.0.2.7 53/udp, restored "+one.String()+", restored "+two.String(), until(one, soon), always(two))
		}, []Entry{until(one, soon), always(two)}},
		{"delete", func() { k.must(f.Delete(ctx, one)) }, []Entry{always(two)}},
		{"delete again", func() { k.must(f.Delete(ctx, one)) }, []Entry{always(two)}},
		{"sync of the other", func() { k.sync(f, "removed "+two.String()+", restored "+one.String(), always(one)) }, []Entry{always(one)}},
		{"sync of copies", func() { k.copies(chain, always(one)); k.sync(f, "2 unknown", always(one)) }, []Entry{always(one)}},
		{"sync of none", func() { k.sync(f, "removed "+one.String()) }, nil},
		{"add at last", func() { k.must(f.Add(ctx, until(one, soon))) }, []Entry{until(one, soon)}},
		{"teardown", func() { k.must(f.Teardown(ctx)) }, nil},
		{"teardown again", func() { k.must(f.Teardown(ctx)) }, nil},
	}
	for _, s := range steps {
		s.do()
		k.wantForwards(s.name, chain, s.want...)
		if got := k.foreign(); chain == "KNOCK" && got != before {
			t.Errorf("all tables without what is ours, after %s (-before +after):\n%s", s.name, cmp.Diff(before, got))
		}
	}
	if chain == "KNOCK" { // of which the rules of somebody else's keep the one in the filter
		k.admin("-N KNOCK-FORWARD\n-t nat -N KNOCK") // which fails if one was left
		return
	}
	if diff := cmp.Diff(all, k.save()); diff != "" {
		t.Errorf("all tables after teardown (-before +after):\n%s", diff)
	}
}

// errKilled is what a daemon gets of iptables after its death: nothing.
var errKilled = errors.New("killed")

// killedAt gives an IPTables of a daemon that is killed before its n-th run.
func (k kernel) killedAt(chain string, n int) (f *IPTables, killed func() bool) {
	k.t.Helper()
	f = k.firewall(chain)
	run, restore := f.run, f.restore
	runs := 0
	die := func(do func() error) error {
		if runs++; runs >= n {
			return errKilled
		}
		return do()
	}
	f.run = func(ctx context.Context, args ...string) (out string, err error) {
		err = die(func() (err error) { out, err = run(ctx, args...); return err })
		return out, err
	}
	f.restore = func(ctx context.Context, table, changes string) error {
		return die(func() error { return restore(ctx, table, changes) })
	}
	return f, func() bool { return runs >= n }
}

// TestKilledForwards kills a daemon before each run of iptables in its life in turn. The
// next one makes what it wants of what it finds, also if it forwards nothing.
func TestKilledForwards(t *testing.T) {
	t.Parallel()
	for _, variant := range variants {
		for _, chain := range []string{"KNOCK", "INPUT"} {
			t.Run(variant+"/"+chain, func(t *testing.T) {
				t.Parallel()
				k := newKernel(t, variant)
				k.admin("-A FORWARD -i lo -j ACCEPT\n-t nat -A PREROUTING -i lo -p tcp -m tcp --dport 1 -j REDIRECT --to-ports 2")
				before := k.save()
				n := 1
				for ; testKilled(k, chain, n, before); n++ {
				}
				if n < 30 {
					t.Errorf("the life took %d runs, want more", n)
				}
			})
		}
	}
}

// testKilled reports whether the daemon was killed before its end.
func testKilled(k kernel, chain string, n int, before string) bool {
	k.t.Helper()
	ctx := k.t.Context()
	const soon, late = "2037-11-21T12:34:56Z", "2037-11-21T13:34:56Z"
	one, two := forward("192.0.2.7", 2222, "10.0.0.5:22"), udp(forward("192.0.2.8", 53, "10.0.0.5:53"))
	var next []Entry
	if n%3 == 0 {
		next = []Entry{until(one, late)}
	}
	f, killed := k.killedAt(chain, n)
	_ = f.Setup(ctx) // of errors there are as many as are to be
	_ = f.Add(ctx, until(one, soon))
	_, _ = f.Sync(ctx, []Entry{until(one, late), always(two)})
	_, _ = f.Sync(ctx, []Entry{until(two, soon), always(rule("192.0.2.7", 22))})
	_ = f.Delete(ctx, two)
	_ = f.Add(ctx, always(one))
	_ = f.Teardown(ctx)
	dead := killed()

	name := fmt.Sprintf("death before run %d, and the next start with %q", n, texts(next))
	f = k.firewall(chain)
	k.must(f.Setup(ctx))
	_, err := f.Sync(ctx, next)
	k.must(err)
	k.wantForwards(name, chain, next...)
	c, err := f.Sync(ctx, next)
	k.must(err)
	if got := changesText(c); got != "" {
		k.t.Errorf("another sync after %s: %s", name, got)
	}
	k.must(f.Teardown(ctx))
	if diff := cmp.Diff(before, k.save()); diff != "" {
		k.t.Errorf("all tables after %s and a teardown (-before +after):\n%s", name, diff)
	}
	return dead
}
