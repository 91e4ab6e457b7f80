package firewall

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFake(t *testing.T) {
	t.Parallel()
	f := NewFake()
	one, two, shut := rule("192.0.2.1", 22), rule("192.0.2.2", 80), drop("192.0.2.1")
	const soon, late = "2026-01-02T03:04:05Z", "2026-01-02T04:04:05Z"
	broken := errors.New("broken")
	ctx := t.Context()
	var told string
	sync := func(want ...Entry) error {
		c, err := f.Sync(ctx, want)
		told = changesText(c)
		return err
	}
	steps := []struct {
		name string
		do   func() error
		err  error
		told string
		dump string
	}{
		{"setup", func() error { return f.Setup(ctx) }, nil, "", "chain\n"},
		{"add", func() error { return f.Add(ctx, always(one)) }, nil, "", "chain\naccept 192.0.2.1 22/tcp\n"},
		{"add again", func() error { return f.Add(ctx, always(one)) }, nil, "", "chain\naccept 192.0.2.1 22/tcp\n"},
		{"add with an end", func() error { return f.Add(ctx, until(one, "2026-01-02T03:04:05.9Z")) }, nil, "",
			"chain\naccept 192.0.2.1 22/tcp until 2026-01-02T03:04:05Z\n"},
		{"add without an end", func() error { return f.Add(ctx, always(one)) }, nil, "", "chain\naccept 192.0.2.1 22/tcp\n"},
		{"add fails", func() error { f.Fail(OpAdd, broken); return f.Add(ctx, always(two)) }, broken, "", "chain\naccept 192.0.2.1 22/tcp\n"},
		{"add fails late", func() error { f.Fail(OpAdd, nil); f.FailLate(OpAdd, broken); return f.Add(ctx, always(two)) }, broken, "",
			"chain\naccept 192.0.2.2 80/tcp\naccept 192.0.2.1 22/tcp\n"},
		{"add a drop", func() error { f.FailLate(OpAdd, nil); return f.Add(ctx, until(shut, soon)) }, nil, "",
			"chain\naccept 192.0.2.2 80/tcp\naccept 192.0.2.1 22/tcp\ndrop 192.0.2.1 until 2026-01-02T03:04:05Z\n"},
		{"delete", func() error { return f.Delete(ctx, one) }, nil, "", "chain\naccept 192.0.2.2 80/tcp\ndrop 192.0.2.1 until 2026-01-02T03:04:05Z\n"},
		{"delete again", func() error { return f.Delete(ctx, one) }, nil, "", "chain\naccept 192.0.2.2 80/tcp\ndrop 192.0.2.1 until 2026-01-02T03:04:05Z\n"},
		{"plant", func() error {
			f.Plant(always(two))
			f.Plant(until(one, soon))
			f.Plant(until(one, late))
			f.Plant(always(shut))
			return nil
		}, nil, "",
			"chain\naccept 192.0.2.1 22/tcp until 2026-01-02T04:04:05Z\naccept 192.0.2.1 22/tcp until 2026-01-02T03:04:05Z\n" +
				"accept 192.0.2.2 80/tcp\naccept 192.0.2.2 80/tcp\ndrop 192.0.2.1 until 2026-01-02T03:04:05Z\ndrop 192.0.2.1\n"},
		{"sync fails", func() error { f.Fail(OpSync, broken); return sync() }, broken, "",
			"chain\naccept 192.0.2.1 22/tcp until 2026-01-02T04:04:05Z\naccept 192.0.2.1 22/tcp until 2026-01-02T03:04:05Z\n" +
				"accept 192.0.2.2 80/tcp\naccept 192.0.2.2 80/tcp\ndrop 192.0.2.1 until 2026-01-02T03:04:05Z\ndrop 192.0.2.1\n"},
		{"sync", func() error { f.Fail(OpSync, nil); return sync(always(two), always(one)) }, nil,
			"removed drop 192.0.2.1, restored 192.0.2.1 22/tcp", "chain\naccept 192.0.2.1 22/tcp\naccept 192.0.2.2 80/tcp\n"},
		{"sync again", func() error { return sync(always(two), always(one)) }, nil, "", "chain\naccept 192.0.2.1 22/tcp\naccept 192.0.2.2 80/tcp\n"},
		{"sync fails late", func() error { f.FailLate(OpSync, broken); return sync(always(one)) }, broken, "removed 192.0.2.2 80/tcp",
			"chain\naccept 192.0.2.1 22/tcp\n"},
		{"flush", func() error { f.Flush(); return nil }, nil, "", ""},
		{"sync after a flush", func() error { f.FailLate(OpSync, nil); return sync(until(one, soon), always(shut)) }, nil,
			"restored drop 192.0.2.1, restored 192.0.2.1 22/tcp, healed", "chain\naccept 192.0.2.1 22/tcp until 2026-01-02T03:04:05Z\ndrop 192.0.2.1\n"},
		{"teardown", func() error { return f.Teardown(ctx) }, nil, "", ""},
		{"plant without a chain", func() error { f.Plant(until(one, soon)); return nil }, nil, "", "chain\naccept 192.0.2.1 22/tcp until 2026-01-02T03:04:05Z\n"},
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Setup(ended); !errors.Is(err, context.Canceled) || f.Dump() != "" {
		t.Errorf("setup in a context that has ended: got error %v and dump %q, want context.Canceled and none", err, f.Dump())
	}
	f.Calls()
	for _, s := range steps {
		told = ""
		if err := s.do(); !errors.Is(err, s.err) || told != s.told {
			t.Errorf("%s: got error %v and changes %q, want %v and %q", s.name, err, told, s.err, s.told)
		}
		if diff := cmp.Diff(s.dump, f.Dump()); diff != "" {
			t.Errorf("dump after %s (-want +got):\n%s", s.name, diff)
		}
	}
	calls := []string{"setup", "add 192.0.2.1 22/tcp", "add 192.0.2.1 22/tcp", "add 192.0.2.1 22/tcp", "add 192.0.2.1 22/tcp",
		"add 192.0.2.2 80/tcp", "add 192.0.2.2 80/tcp", "add drop 192.0.2.1", "delete 192.0.2.1 22/tcp", "delete 192.0.2.1 22/tcp",
		"sync", "sync", "sync", "sync", "sync", "teardown"}
	if diff := cmp.Diff(calls, f.Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if again := f.Calls(); len(again) != 0 {
		t.Errorf("calls after Calls: got %q, want none", again)
	}
}

func TestFakeRefuses(t *testing.T) {
	t.Parallel()
	f := NewFake()
	bad := always(rule("::1", 22))
	if err := f.Add(t.Context(), bad); err == nil {
		t.Error("add of an IPv6 address: got no error")
	}
	c, err := f.Sync(t.Context(), []Entry{bad, always(rule("192.0.2.1", 22))})
	if got, want := errorText(err), `failed to add rule "::1 22/tcp": address "::1" is not an IPv4 address`; got != want {
		t.Errorf("sync: got error %q, want %q", got, want)
	}
	if got, want := changesText(c), "restored 192.0.2.1 22/tcp, healed"; got != want {
		t.Errorf("sync: got changes %q, want %q", got, want)
	}
}

// TestFakeStraight has no chain of our own.
func TestFakeStraight(t *testing.T) {
	t.Parallel()
	f := NewFakeIn("INPUT")
	want := `failed to add rule "drop 192.0.2.1": dropping needs a chain of our own, not INPUT`
	if err := errors.Join(f.Setup(t.Context()), f.Add(t.Context(), always(rule("192.0.2.2", 80)))); err != nil {
		t.Error(err)
	}
	if got := errorText(f.Add(t.Context(), always(drop("192.0.2.1")))); got != want {
		t.Errorf("add: got %q, want %q", got, want)
	}
	c, err := f.Sync(t.Context(), []Entry{always(drop("192.0.2.1")), always(rule("192.0.2.1", 22))})
	if told := "removed 192.0.2.2 80/tcp, restored 192.0.2.1 22/tcp"; errorText(err) != want || changesText(c) != told {
		t.Errorf("sync: got error %q, told %q; want %q, %q", errorText(err), changesText(c), want, told)
	}
	if got, want := f.Dump(), "accept 192.0.2.1 22/tcp\n"; got != want {
		t.Errorf("dump: got %q, want %q", got, want)
	}
}

// TestFakeForwards has chains of their own for what is forwarded.
func TestFakeForwards(t *testing.T) {
	t.Parallel()
	f := NewFake()
	ctx := t.Context()
	r := forward("192.0.2.1", 2222, "10.0.0.5:22")
	told := ""
	sync := func(want ...Entry) error {
		c, err := f.Sync(ctx, want)
		told += changesText(c) + "\n"
		return err
	}
	err := errors.Join(f.Setup(ctx), sync(), sync(always(r)), f.Add(ctx, until(r, "2026-01-02T03:04:05Z")), f.Add(ctx, always(udp(rule("192.0.2.1", 53)))))
	f.Flush()
	err = errors.Join(err, sync(until(r, "2026-01-02T03:04:05Z"), always(udp(rule("192.0.2.1", 53)))))
	if err != nil {
		t.Error(err)
	}
	want := "\nrestored 192.0.2.1 2222/tcp to 10.0.0.5:22\nrestored 192.0.2.1 53/udp, restored 192.0.2.1 2222/tcp to 10.0.0.5:22, healed\n"
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	want = "chain\nforward chain\naccept 192.0.2.1 53/udp\nforward 192.0.2.1 2222/tcp to 10.0.0.5:22 until 2026-01-02T03:04:05Z\n"
	if diff := cmp.Diff(want, f.Dump()); diff != "" {
		t.Errorf("dump (-want +got):\n%s", diff)
	}
	if err := errors.Join(f.Delete(ctx, r), sync()); err != nil || f.Dump() != "chain\nforward chain\n" {
		t.Errorf("got error %v and dump %q, want the chains alone", err, f.Dump())
	}
	if err := f.Teardown(ctx); err != nil || f.Dump() != "" {
		t.Errorf("got error %v and dump %q, want nothing", err, f.Dump())
	}
	straight := NewFakeIn("INPUT")
	if err := straight.Add(ctx, always(r)); err != nil || straight.Dump() != "forward 192.0.2.1 2222/tcp to 10.0.0.5:22\n" {
		t.Errorf("straight: got error %v and dump %q, want the rule alone", err, straight.Dump())
	}
}
