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
	one, two := rule("192.0.2.1", 22), rule("192.0.2.2", 80)
	broken := errors.New("broken")
	steps := []struct {
		name string
		do   func() error
		err  error
		dump string
	}{
		{"setup", func() error { return f.Setup(t.Context()) }, nil, "chain\n"},
		{"add", func() error { return f.Add(t.Context(), one) }, nil, "chain\naccept 192.0.2.1 22/tcp\n"},
		{"add again", func() error { return f.Add(t.Context(), one) }, nil, "chain\naccept 192.0.2.1 22/tcp\n"},
		{"add fails", func() error { f.Fail(OpAdd, broken); return f.Add(t.Context(), two) }, broken, "chain\naccept 192.0.2.1 22/tcp\n"},
		{"add fails late", func() error { f.Fail(OpAdd, nil); f.FailLate(OpAdd, broken); return f.Add(t.Context(), two) }, broken,
			"chain\naccept 192.0.2.2 80/tcp\naccept 192.0.2.1 22/tcp\n"},
		{"delete", func() error { return f.Delete(t.Context(), one) }, nil, "chain\naccept 192.0.2.2 80/tcp\n"},
		{"delete again", func() error { return f.Delete(t.Context(), one) }, nil, "chain\naccept 192.0.2.2 80/tcp\n"},
		{"list", func() error {
			rules, err := f.List(t.Context())
			if got := rulesText(rules); got != "192.0.2.2 80/tcp\n" {
				t.Errorf("list: got %q, want the one that is left", got)
			}
			return err
		}, nil, "chain\naccept 192.0.2.2 80/tcp\n"},
		{"flush", func() error { f.Flush(); return nil }, nil, ""},
		{"teardown", func() error { return f.Teardown(t.Context()) }, nil, ""},
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Setup(ended); !errors.Is(err, context.Canceled) || f.Dump() != "" {
		t.Errorf("setup in a context that has ended: got error %v and dump %q, want context.Canceled and none", err, f.Dump())
	}
	f.Calls()
	for _, s := range steps {
		if err := s.do(); !errors.Is(err, s.err) {
			t.Errorf("%s: got error %v, want %v", s.name, err, s.err)
		}
		if diff := cmp.Diff(s.dump, f.Dump()); diff != "" {
			t.Errorf("dump after %s (-want +got):\n%s", s.name, diff)
		}
	}
	calls := []string{"setup", "add 192.0.2.1 22/tcp", "add 192.0.2.1 22/tcp", "add 192.0.2.2 80/tcp", "add 192.0.2.2 80/tcp",
		"delete 192.0.2.1 22/tcp", "delete 192.0.2.1 22/tcp", "list", "teardown"}
	if diff := cmp.Diff(calls, f.Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if again := f.Calls(); len(again) != 0 {
		t.Errorf("calls after Calls: got %q, want none", again)
	}
}
