package lease

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portknock/knock/pkg/firewall"
)

// TestFailingAdd: what is to be open is tried until it is, or until its end.
func TestFailingAdd(t *testing.T) {
	inHouse(t, func(h *house) {
		h.fake.Fail(firewall.OpAdd, errBroken)
		h.open(ip1, 20)
		h.open(ip2, 25)
		h.at(0.9)
		h.fake.Calls()
		h.at(1) // then after 1, 2, 4, 8 s, each in its turn
		h.calls("add 192.0.2.1 22/tcp", "add 192.0.2.2 22/tcp")
		h.at(2.9)
		h.calls()
		h.at(3)
		h.calls("add 192.0.2.1 22/tcp", "add 192.0.2.2 22/tcp")
		h.at(7)
		h.at(15)
		h.leases("192.0.2.1 22/tcp 20s waiting", "192.0.2.2 22/tcp 25s waiting")
		h.at(20)
		h.leases("192.0.2.2 22/tcp 25s waiting")
		h.fake.Fail(firewall.OpAdd, nil)
		h.at(24)
		h.rules("chain\n")
		h.at(25)
		h.leases()
		h.reported("0s open failed 192.0.2.1 22/tcp: broken", "0s open failed 192.0.2.2 22/tcp: broken",
			"20s expired 192.0.2.1 22/tcp", "25s expired 192.0.2.2 22/tcp")
	})
}

func TestFailingOnce(t *testing.T) {
	inHouse(t, func(h *house) {
		h.fake.Fail(firewall.OpAdd, errBroken)
		h.open(ip1, 60)
		h.fake.Fail(firewall.OpAdd, nil)
		h.at(1)
		h.rules("chain\naccept 192.0.2.1 22/tcp until 60\n")
		h.fake.Fail(firewall.OpDelete, errBroken)
		h.close(ip1)
		h.leases("192.0.2.1 22/tcp closing")
		h.fake.Fail(firewall.OpDelete, nil)
		h.at(3)
		h.rules("chain\n")
		h.leases()
		h.reported("0s open failed 192.0.2.1 22/tcp: broken", "1s opened 192.0.2.1 22/tcp until 60s",
			"1s close failed 192.0.2.1 22/tcp: broken", "2s closed 192.0.2.1 22/tcp")
	})
}

func TestFailingDeleteBacksOff(t *testing.T) {
	inHouse(t, func(h *house) {
		h.fake.Fail(firewall.OpSync, errBroken) // or it would do the work
		h.open(ip1, 60)
		h.at(59)
		h.fake.Fail(firewall.OpDelete, errBroken)
		// 60 s, then after 1, 2, 4, 8, 16, 30, 30 s.
		for _, at := range []float64{60, 61, 63, 67, 75, 91, 121, 151} {
			h.at(at - 0.5)
			h.fake.Calls()
			h.at(at)
			if got := strings.Join(h.fake.Calls(), ","); !strings.Contains(got, "delete 192.0.2.1 22/tcp") {
				t.Errorf("at %v s: got calls %q, want a try to delete", at, got)
			}
			h.leases("192.0.2.1 22/tcp 60s closing")
		}
		h.fake.Fail(firewall.OpDelete, nil)
		h.at(181)
		h.rules("chain\n")
		h.leases()
		h.reported("0s opened 192.0.2.1 22/tcp until 60s",
			"0s note failed to compare the firewall with the open ports, trying again: broken",
			"60s close failed 192.0.2.1 22/tcp: broken", "181s expired 192.0.2.1 22/tcp")
	})
}

// TestOpenWinsOverPendingDelete knocks again while a deletion waits for its next
// try.
func TestOpenWinsOverPendingDelete(t *testing.T) {
	inHouse(t, func(h *house) {
		h.open(ip1, 60)
		h.at(10)
		h.fake.Fail(firewall.OpDelete, errBroken)
		h.close(ip1)
		h.fake.Fail(firewall.OpDelete, nil)
		h.at(10.8)
		h.open(ip1, 120)
		h.at(60)
		h.leases("192.0.2.1 22/tcp 131s")
		if got := h.fake.Dump(); !strings.Contains(got, "accept 192.0.2.1 22/tcp until ") {
			t.Errorf("got firewall %q, want the port open", got)
		}
		h.at(131)
		h.rules("chain\n")
	})
}

// TestReconcile: whatever somebody does to the firewall is put right within 30 s.
func TestReconcile(t *testing.T) {
	t.Parallel()
	const want = "chain\naccept 192.0.2.2 22/tcp\naccept 192.0.2.1 22/tcp until 600\n"
	stale := firewall.Rule{Src: ip2, Port: 80}
	tests := map[string]struct {
		fault  func(*house)
		repair string
	}{
		"nothing": {func(*house) {}, ""},
		"flushed and deleted": {func(h *house) { h.fake.Flush() },
			"repaired removed [] restored [192.0.2.1 22/tcp 192.0.2.2 22/tcp] unknown 0 healed true"},
		"an old save restored": {func(h *house) { h.fake.Plant(firewall.Entry{Rule: stale}) },
			"repaired removed [192.0.2.2 80/tcp] restored [] unknown 0 healed false"},
		"a rule deleted": {func(h *house) { h.must(h.fake.Delete(h.t.Context(), one)) },
			"repaired removed [] restored [192.0.2.1 22/tcp] unknown 0 healed false"},
		"without its end": {func(h *house) {
			h.must(h.fake.Delete(h.t.Context(), one))
			h.fake.Plant(firewall.Entry{Rule: one})
		}, "repaired removed [] restored [192.0.2.1 22/tcp] unknown 0 healed false"},
		"duplicates": {func(h *house) {
			h.fake.Plant(firewall.Entry{Rule: two})
			h.fake.Plant(firewall.Entry{Rule: two})
		}, "duplicates"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.open(ip1, 600)
				h.open(ip2, 0)
				h.at(31) // the first look has been
				h.told()
				tt.fault(h)
				h.at(61)
				got := strings.Split(h.fake.Dump(), "\n")
				if len(got) != 4 || got[0] != "chain" || !strings.Contains(h.fake.Dump(), "accept 192.0.2.1 22/tcp until ") ||
					!strings.Contains(h.fake.Dump(), "accept 192.0.2.2 22/tcp\n") {
					t.Errorf("got firewall %q, want, in any order, %q", got, want)
				}
				switch tt.repair {
				case "":
					h.reported()
				case "duplicates": // how they are told is the firewall's affair
				default:
					h.reported("60s " + tt.repair)
				}
			})
		})
	}
}

// TestBrokenForALongTime: what was due while the firewall was
// broken is done once it works.
func TestBrokenForALongTime(t *testing.T) {
	inHouse(t, func(h *house) {
		h.open(ip1, 60)
		h.at(10)
		for _, op := range []firewall.Op{firewall.OpAdd, firewall.OpDelete, firewall.OpSync} {
			h.fake.Fail(op, errBroken)
		}
		h.open(ip2, 600)
		h.at(100)
		h.rules("chain\naccept 192.0.2.1 22/tcp until 60\n") // which the kernel no longer heeds
		for _, op := range []firewall.Op{firewall.OpAdd, firewall.OpDelete, firewall.OpSync} {
			h.fake.Fail(op, nil)
		}
		h.at(131)
		h.rules("chain\naccept 192.0.2.2 22/tcp until 610\n")
		h.leases("192.0.2.2 22/tcp 610s")
		if got := h.told(); !strings.Contains(got, " opened 192.0.2.2 22/tcp until 610s\n") ||
			!strings.Contains(got, " expired 192.0.2.1 22/tcp\n") || !strings.Contains(got, " note the firewall works again\n") {
			t.Errorf("got events %q, want all of them told", got)
		}
	})
}

// hanging is a firewall of which every change takes as long as one that is killed.
type hanging struct{ *firewall.Fake }

const hang = 10 * time.Second

func (f hanging) Add(ctx context.Context, e firewall.Entry) error {
	time.Sleep(hang)
	return f.Fake.Add(ctx, e)
}

func (f hanging) Delete(ctx context.Context, r firewall.Rule) error {
	time.Sleep(hang)
	return f.Fake.Delete(ctx, r)
}

func (f hanging) Teardown(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// TestNobodyWaits asks for changes while the firewall hangs: each comes back at
// once, and the last word on each rule is what counts in the end.
func TestNobodyWaits(t *testing.T) {
	inHouse(t, func(h *house) {
		h.Manager.backend = hanging{h.fake}
		began := time.Now()
		for range 100 {
			h.must(h.Open(one, time.Hour, By{}))
			h.must(h.Open(two, time.Hour, By{}))
			h.must(h.Close(two, By{}))
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("asking took %v", took)
		}
		h.at(25)
		h.rules("chain\naccept 192.0.2.1 22/tcp until 3600\n")
		h.leases("192.0.2.1 22/tcp 3600s")
		began = time.Now()
		h.cancel()
		if err := <-h.done; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v, want %v", err, context.DeadlineExceeded)
		}
		if took := time.Since(began); took > stopLimit+hang {
			t.Errorf("the end took %v, want at most %v", took, stopLimit+hang)
		}
		if err := h.Open(one, 0, By{}); !errors.Is(err, ErrStopped) {
			t.Errorf("open after the end: got error %v, want ErrStopped", err)
		}
		h.done <- nil
	})
}

// TestWaiting has a firewall that hangs: what was asked for meanwhile is told, as what is
// not there yet, and so can be closed before it ever is.
func TestWaiting(t *testing.T) {
	inHouse(t, func(h *house) {
		h.Manager.backend = hanging{h.fake}
		h.open(ip1, 600) // which Run is busy with
		h.must(h.Open(two, time.Hour, alice))
		h.leases("192.0.2.1 22/tcp 600s waiting", "192.0.2.2 22/tcp 3600s waiting")
		h.must(h.Close(two, By{}))
		h.leases("192.0.2.1 22/tcp 600s waiting")
		if h.Gone(one) || h.Gone(two) {
			t.Error("what has not been looked at yet is gone")
		}
		h.at(hang.Seconds() + 1)
		h.leases("192.0.2.1 22/tcp 600s")
		if h.Gone(one) || !h.Gone(two) {
			t.Errorf("%q is gone: %t, %q is gone: %t; want the second", one, h.Gone(one), two, h.Gone(two))
		}
		h.rules("chain\naccept 192.0.2.1 22/tcp until 600\n")
		h.open(ip1, 1200)
		h.leases("192.0.2.1 22/tcp 1211s") // refreshed, it is there all the time
		h.at(25)
	})
}

func TestStartTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.fake.Fail(firewall.OpSetup, errBroken)
		time.AfterFunc(20*time.Second, func() { h.fake.Fail(firewall.OpSetup, nil) })
		h.start()
		h.rules("chain\n")
		h.reported("0s note the firewall does not work yet, trying again: broken")
		h.kill()
	})
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		op   firewall.Op
		err  error
		took time.Duration
	}{
		"setup":         {firewall.OpSetup, errBroken, startLimit},
		"sync":          {firewall.OpSync, errBroken, startLimit},
		"not permitted": {firewall.OpSetup, firewall.ErrNotPermitted, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				h.fake.Fail(tt.op, tt.err)
				err := New(h.fake, h.options).Start(t.Context())
				if !errors.Is(err, tt.err) || !strings.HasPrefix(err.Error(), "failed to start with the firewall: ") {
					t.Errorf("got error %v, want the firewall's", err)
				}
				if took := time.Since(h.begin); took != tt.took {
					t.Errorf("it took %v, want %v", took, tt.took)
				}
				h.rules("")
			})
		})
	}
}

// TestStopWaitsForTheFirewall has one that is held by another program for a while.
func TestStopWaitsForTheFirewall(t *testing.T) {
	inHouse(t, func(h *house) {
		h.open(ip1, 60)
		h.fake.Fail(firewall.OpTeardown, errBroken)
		h.fake.Calls()
		h.cancel()
		time.AfterFunc(2500*time.Millisecond, func() { h.fake.Fail(firewall.OpTeardown, nil) })
		h.must(<-h.done)
		h.rules("")
		h.calls("teardown", "teardown", "teardown", "teardown")
		h.reported("0s opened 192.0.2.1 22/tcp until 60s", "3s note rules removed, leases kept for the next start: 1")
		h.done <- nil
	})
}

func TestStopTriesEachRule(t *testing.T) {
	inHouse(t, func(h *house) {
		h.open(ip1, 60)
		h.open(ip2, 0)
		h.fake.Fail(firewall.OpTeardown, errBroken)
		h.cancel()
		if err := <-h.done; !errors.Is(err, errBroken) || err.Error() != "failed to leave the firewall as it was: broken" {
			t.Errorf("got error %v, want the teardown's", err)
		}
		h.rules("chain\n")
		h.done <- nil
	})
}

func TestStopFails(t *testing.T) {
	inHouse(t, func(h *house) {
		h.open(ip1, 60)
		h.fake.Fail(firewall.OpTeardown, errBroken)
		h.fake.Fail(firewall.OpDelete, errors.New("stuck"))
		h.cancel()
		if err := <-h.done; err == nil || err.Error() != "failed to leave the firewall as it was: broken\nstuck" {
			t.Errorf("got error %v, want both", err)
		}
		h.reported("0s opened 192.0.2.1 22/tcp until 60s", "15s left 192.0.2.1 22/tcp: stuck")
		h.done <- nil
	})
}

// TestUnwritableJournal has a journal that cannot be written: nothing opens, and closing
// works. A directory in the place of the journal makes the rename fail for root too.
func TestUnwritableJournal(t *testing.T) {
	inHouse(t, func(h *house) {
		path := h.options.Journal
		h.open(ip1, 600)
		h.open(ip2, 0)
		h.at(1)
		h.told()
		h.must(os.Remove(path))
		h.must(os.MkdirAll(filepath.Join(path, "in the way"), 0o700))
		h.open(ip1, 900) // refused: it keeps its end
		h.close(ip2)
		h.must(h.Open(firewall.Rule{Src: ip2, Port: 80}, 0, By{}))
		h.at(29)
		h.rules("chain\naccept 192.0.2.1 22/tcp until 600\n")
		h.leases("192.0.2.1 22/tcp 600s")
		got := h.told()
		for _, want := range []string{
			"note the journal cannot be written: no port is opened until it can: ",
			"refused 192.0.2.1 22/tcp: ", "refused 192.0.2.2 80/tcp: ", "closed 192.0.2.2 22/tcp\n",
			"note a port that is to be closed is still in the journal: if the daemon is killed now, it opens again at the next start: ",
		} {
			if strings.Count(got, want) != 1 {
				t.Errorf("got events %q, want one %q", got, want)
			}
		}
		h.must(os.RemoveAll(path))
		h.at(31) // the next look
		h.kill()
		h.start()
		h.rules("chain\naccept 192.0.2.1 22/tcp until 600\n")
		if got := h.told(); !strings.Contains(got, "30s note the journal can be written again\n") {
			t.Errorf("got events %q, want it told", got)
		}
	})
}

// TestRefusedStaysRefused has a disk that fails when the journal is in place: what
// was refused must not be in it for the next start to open.
func TestRefusedStaysRefused(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	inHouseOf(t, func(h *house) {
		h.write = func(r record) error {
			err := fileOf(h.options.Journal).Write(r)
			if broken.Load() {
				err = errors.Join(err, errBroken)
			}
			return err
		}
	}, func(h *house) {
		broken.Store(true)
		h.open(ip1, 0)
		broken.Store(false)
		h.at(31)
		h.kill()
		h.start()
		h.rules("chain\n")
		h.leases()
		if got := h.told(); !strings.Contains(got, "0s refused 192.0.2.1 22/tcp: ") {
			t.Errorf("got events %q, want it refused", got)
		}
	})
}

// TestRefusalsAreFew: who repeats a knock on a full disk does not fill it with the
// news of that.
func TestRefusalsAreFew(t *testing.T) {
	t.Parallel()
	var writes atomic.Int64
	inHouseOf(t, func(h *house) {
		h.write = func(record) error { writes.Add(1); return errBroken }
	}, func(h *house) {
		for range 1000 { // in 10 s
			time.Sleep(10 * time.Millisecond)
			h.open(ip1, 60)
		}
		if told := strings.Count(h.told(), "refused"); told > 54 || writes.Load() > 3*54 {
			t.Errorf("it was told %d times, and the disk tried %d times; want 2 a second", told, writes.Load())
		}
	})
}

// TestManyAtOnce: whatever is due together is done at one stroke, and a knock does
// not wait for each of it.
func TestManyAtOnce(t *testing.T) {
	inHouse(t, func(h *house) {
		const many = 1000
		for i := range many {
			h.must(h.Ban(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), time.Minute, true))
		}
		h.open(ip1, 600)
		if calls := h.fake.Calls(); len(calls) > 10 {
			t.Errorf("got %d calls for %d bans and a knock, want a few", len(calls), many)
		}
		h.at(59)
		h.fake.Calls()
		h.at(61)
		if calls := h.fake.Calls(); len(calls) > 10 {
			t.Errorf("got %d calls for the end of %d bans, want a few", len(calls), many)
		}
		h.rules("chain\naccept 192.0.2.1 22/tcp until 600\n")
		if got := h.told(); strings.Count(got, " opened drop ") != many || strings.Count(got, " expired drop ") != many || strings.Contains(got, "repaired") {
			t.Errorf("of %d bans %d were opened and %d expired", many, strings.Count(got, " opened drop "), strings.Count(got, " expired drop "))
		}
	})
}

// A mortal firewall ends the goroutine that calls it, as kill -9 ends the daemon:
// at the call numbered left, before or after its work.
type mortal struct {
	*firewall.Fake
	left  *int
	after bool
	died  func()
}

func (m mortal) call(change func() error) error {
	*m.left--
	if *m.left != 0 {
		return change()
	}
	if m.after {
		_ = change()
	}
	m.died()
	runtime.Goexit()
	return nil
}

func (m mortal) Add(ctx context.Context, e firewall.Entry) error {
	return m.call(func() error { return m.Fake.Add(ctx, e) })
}

func (m mortal) Delete(ctx context.Context, r firewall.Rule) error {
	return m.call(func() error { return m.Fake.Delete(ctx, r) })
}

func (m mortal) Sync(ctx context.Context, want []firewall.Entry) (c firewall.Changes, err error) {
	err = m.call(func() error { c, err = m.Fake.Sync(ctx, want); return err })
	return c, err
}

// TestDeathAtEachStep kills the Manager at each of its steps in turn. After the
// next start the firewall holds what was asked for last, and never what has ended
// or was closed before.
func TestDeathAtEachStep(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		var died atomic.Bool
		died.Store(true)
		for n := 2; died.Load(); n++ { // the first call is Start's
			if n == 100 {
				t.Fatal("it never comes to an end")
			}
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				died.Store(false)
				left := n
				h.backend = mortal{h.fake, &left, after, func() { died.Store(true) }}
				h.start()
				h.backend = nil
				steps := []func(){
					func() { h.open(ip1, 20) },
					func() { h.open(ip2, 0) },
					func() { h.close(ip1) },
					func() { h.open(ip1, 10) },
					func() { h.must(h.Ban(ip2, time.Minute, true)); synctest.Wait() },
					func() { h.close(ip2) },
				}
				want := []string{
					"", "one until 20", "one until 20,two", "two", "two,one until 13", "two,one until 13,drop", "one until 13,drop",
				}
				done := 0
				for _, step := range steps {
					step()
					if died.Load() {
						break
					}
					done++
					h.at(float64(done))
				}
				for !died.Load() && time.Since(h.begin) < 20*time.Second {
					h.at(time.Since(h.begin).Seconds() + 1)
				}
				if !died.Load() {
					h.kill()
				}
				now := time.Since(h.begin)
				h.start()
				allowed := []string{want[done]} // before the step that it died in, or after
				if done < len(steps) {
					allowed = append(allowed, want[done+1])
				}
				got := held(h.fake.Dump())
				if now >= 13*time.Second {
					allowed = []string{"drop"}
				}
				if !slices.ContainsFunc(allowed, func(s string) bool { return sameSet(s, got) }) {
					t.Errorf("died in call %d (its work done: %t), after %d steps: got %q, want one of %q", n, after, done, got, allowed)
				}
				h.kill()
			})
		}
	}
}

// held gives the rules in a dump by the names of the test.
func held(dump string) string {
	var names []string
	for line := range strings.Lines(dump) {
		switch {
		case strings.Contains(line, "accept 192.0.2.1 22/tcp until 2000-01-01T00:00:20Z"):
			names = append(names, "one until 20")
		case strings.Contains(line, "accept 192.0.2.1 22/tcp until 2000-01-01T00:00:13Z"):
			names = append(names, "one until 13")
		case strings.Contains(line, "accept 192.0.2.2 22/tcp\n"):
			names = append(names, "two")
		case strings.Contains(line, "drop 192.0.2.2 until"):
			names = append(names, "drop")
		case line != "chain\n":
			names = append(names, line)
		}
	}
	return strings.Join(names, ",")
}

func sameSet(a, b string) bool {
	return slices.Equal(slices.Sorted(strings.SplitSeq(a, ",")), slices.Sorted(strings.SplitSeq(b, ",")))
}
