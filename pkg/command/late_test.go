package command

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// makeLate lets door n be opened whose stop command fails six times, and forgets what was said.
func (g *rig) makeLate(n int, stop string) {
	g.t.Helper()
	name, seconds, _ := strings.Cut(stop, " ")
	each, err := time.ParseDuration(seconds + "s")
	check(g.t, err)
	g.update(func() { g.fails[name] += 1 + maxRetries })
	g.do(n, "start 0", stop, 10*time.Second)
	g.sleep(42*time.Second + 6*each)
	g.update(func() { g.log = nil })
}

// What fails longer than the quick tries take is owed all the same, and tried now and then.
func TestLate(t *testing.T) {
	bubble(t, journaled, func(g *rig) {
		g.fails["stop"] = 8
		g.start()
		g.do(1, "start 0", "stop 0", 10*time.Second)
		g.sleep(2 * time.Minute)
		g.owed("10m41s stop 0 %IP% 192.0.0.1")
		if got := g.journal().Stops[0].Rest; got < owedFor-2*time.Minute || got > owedFor-90*time.Second {
			t.Errorf("in the journal it is given up after %v", got)
		}
		g.sleep(time.Hour)
		g.owed()
		check(t, g.end())
		g.want(`
			0s run start 0 192.0.0.1
			0s started start 0 192.0.0.1
			10s run stop 0 192.0.0.1
			10s stop failed stop 0 192.0.0.1: exit status 1
			11s run stop 0 192.0.0.1
			13s run stop 0 192.0.0.1
			17s run stop 0 192.0.0.1
			25s run stop 0 192.0.0.1
			41s run stop 0 192.0.0.1
			41s left stop 0 192.0.0.1: exit status 1
			10m41s run stop 0 192.0.0.1
			20m41s run stop 0 192.0.0.1
			30m41s run stop 0 192.0.0.1
			30m41s stopped stop 0 192.0.0.1`)
	})
}

// A day after it was due it is given up, and that is told.
func TestGivenUp(t *testing.T) {
	bubble(t, journaled, func(g *rig) {
		g.start()
		g.makeLate(1, "stop 0")
		g.update(func() { g.fails["stop"] = 1000 })
		g.sleep(owedFor - time.Minute)
		g.update(func() {
			if n := 1000 - g.fails["stop"]; n != 143 { // each ten minutes of a day but the last
				t.Errorf("it was tried %d times", n)
			}
			g.log = nil
		})
		g.owed("24h0m41s stop 0 %IP% 192.0.0.1")
		g.sleep(time.Minute)
		g.owed()
		g.sleep(24 * time.Hour)
		check(t, g.end())
		g.want(`24h0m10s given up stop 0 192.0.0.1: it has failed for 24h0m0s`)
	})
}

// Who knocks while his stop command is late waits for one try of it at most. Whatever becomes of it, one is owed.
func TestLateAgain(t *testing.T) {
	bubble(t, journaled, func(g *rig) {
		g.start()
		g.makeLate(1, "stop 3")
		g.update(func() { g.fails["stop"] = 1 })
		g.do(1, "again 0", "stop2 0", time.Minute)
		g.do(1, "again 0", "stop2 0", 2*time.Minute) // in the place of the one before
		g.sleep(10 * time.Second)
		g.owed("3m3s stop2 0 %IP% 192.0.0.1")
		g.sleep(time.Hour)
		g.owed()
		g.want(`
			1m0s run stop 3 192.0.0.1
			1m3s run again 0 192.0.0.1
			1m3s started again 0 192.0.0.1
			3m3s run stop2 0 192.0.0.1
			3m3s stopped stop2 0 192.0.0.1`)
		g.makeLate(2, "bad 0")
		g.do(2, "again 0", "good 0", time.Minute)
		g.sleep(time.Hour)
		check(t, g.end())
		g.want(`
			1h1m52s run bad 0 192.0.0.2
			1h1m52s stopped bad 0 192.0.0.2
			1h1m52s run again 0 192.0.0.2
			1h1m52s started again 0 192.0.0.2
			1h2m52s run good 0 192.0.0.2
			1h2m52s stopped good 0 192.0.0.2`)
	})
}

// What cannot be written down does not begin, and what was owed before still is.
func TestLateRefused(t *testing.T) {
	bubble(t, journaled, func(g *rig) {
		g.start()
		g.makeLate(1, "stop 0")
		g.update(func() { g.full, g.fails["stop"] = true, 1 })
		g.do(1, "again 0", "stop2 0", time.Minute)
		g.sleep(time.Second)
		g.update(func() { g.full = false })
		g.sleep(10 * time.Second)
		g.owed("10m42s stop 0 %IP% 192.0.0.1")
		g.sleep(10 * time.Minute)
		g.owed()
		check(t, g.end())
		g.want(`
			42s run stop 0 192.0.0.1
			42s note: the journal of commands cannot be written
			42s refused again 0 192.0.0.1: no space
			47s note: the journal of commands can be written again
			10m42s run stop 0 192.0.0.1
			10m42s stopped stop 0 192.0.0.1`)
	})
}

// At the end it is tried once more, and by the next Run at once; the day does not begin anew.
func TestLateRestart(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprint("keep ", keep), func(t *testing.T) {
			bubble(t, Options{Journal: "/nowhere/commands", Keep: keep}, func(g *rig) {
				g.start()
				g.makeLate(1, "stop 0")
				g.update(func() { g.fails["stop"] = 1000 })
				g.do(1, "again 0", "stop 0", 0) // which begins a day of its own
				g.sleep(time.Minute)
				g.update(func() { g.log = nil })
				if err := g.end(); err == nil {
					t.Error("Run says that nothing is left")
				}
				g.owed("11m42s stop 0 %IP% 192.0.0.1")
				g.want(`
					1m42s run stop 0 192.0.0.1
					1m42s left stop 0 192.0.0.1: the daemon ends`)

				again := func() *rig {
					next := newRig(t, journaled)
					next.began, next.boot, next.fails["stop"] = g.began, g.boot, 1000
					next.restore(g.journal())
					next.start()
					return next
				}
				if err := again().end(); err == nil || time.Since(g.began) != 102*time.Second {
					t.Errorf("after %v: Run = %v", time.Since(g.began), err)
				}
				g.sleep(20*time.Hour - 102*time.Second)
				next := again()
				next.sleep(time.Second)
				next.want(`
					20h0m0s note: stop commands owed
					20h0m0s run stop 0 192.0.0.1`)
				next.sleep(5 * time.Hour)
				next.owed()
				check(t, next.end())
				if last := next.log[len(next.log)-1]; last != "24h0m42s given up stop 0 192.0.0.1: it has failed for 24h0m0s" {
					t.Errorf("at last: %s", last)
				}
			})
		})
	}
}

// However many fail, they are bounded, and nobody is refused for them.
func TestLateMany(t *testing.T) {
	bubble(t, journaled, func(g *rig) {
		g.start()
		g.fails["stop"] = 1 << 30
		for n := range maxHeld {
			check(t, g.Do(Job{Name: "door", Src: addr(n), Start: parse(t, "start 0"), Stop: parse(t, "stop 0 %IP%")}))
		}
		g.sleep(time.Minute)
		if n := len(g.journal().Stops); n != maxHeld {
			t.Errorf("%d are owed, want %d", n, maxHeld)
		}
		g.update(func() { g.log = nil })
		for n := range 3 {
			g.do(maxHeld+n, "start 0", "stop 0", 0)
			g.sleep(time.Minute)
		}
		if n := len(g.journal().Stops); n != maxLate {
			t.Errorf("%d are owed, want %d", n, maxLate)
		}
		var got []string
		g.update(func() {
			for _, l := range g.log {
				if strings.Contains(l, "given up") {
					got = append(got, l)
				}
			}
		})
		want := []string{
			"1m31s given up stop 0 192.0.0.0: 1024 others that fail are younger",
			"2m31s given up stop 0 192.0.0.1: 1024 others that fail are younger",
			"3m31s given up stop 0 192.0.0.2: 1024 others that fail are younger",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("given up (-want +got)\n%s", diff)
		}
		g.update(func() { g.fails["stop"] = 0 })
		g.sleep(time.Hour)
		g.owed()
		check(t, g.end())
	})
}

// Late ones that hang leave room for the others of their section.
func TestLateHanging(t *testing.T) {
	bubble(t, Options{Journal: "/nowhere/commands", Limit: 30 * time.Second}, func(g *rig) {
		running, most := 0, 0
		pretend := g.run
		g.run = func(ctx context.Context, c Command, src netip.Addr, limit time.Duration) (string, error) {
			g.update(func() { running++; most = max(most, running) })
			defer g.update(func() { running-- })
			return pretend(ctx, c, src, limit)
		}
		g.start()
		for n := range 2 * maxOfSection {
			g.do(n+1, "start 0", "hang 3600", 0)
		}
		g.sleep(time.Hour)
		g.update(func() { most = 0 })
		g.sleep(20 * time.Minute)
		is := func(n *int) (now int) {
			g.update(func() { now = *n })
			return now
		}
		for is(&running) == 0 {
			g.sleep(time.Second)
		}
		if n := is(&most); n != maxLateOfSection {
			t.Errorf("%d run at once, want %d", n, maxLateOfSection)
		}
		g.update(func() { g.log = nil })
		began := time.Since(g.began).Round(time.Second)
		g.do(0, "start 0", "stop 0", 0)
		g.want(strings.ReplaceAll(`
			NOW run start 0 192.0.0.0
			NOW started start 0 192.0.0.0
			NOW run stop 0 192.0.0.0
			NOW stopped stop 0 192.0.0.0`, "NOW", began.String()))
		if err := g.end(); err == nil {
			t.Error("commands that hang have ended well")
		}
	})
}

// After a restart too, those of one section that hang hold up no other section's, and at the end nothing of their own.
func TestLateHangingOfOthers(t *testing.T) {
	bubble(t, journaled, func(g *rig) {
		late := func(name, stop string, n int) owed {
			return owed{Name: name, IP: addr(n), Command: stop + " %IP%", Until: time.Now(), Rest: time.Hour}
		}
		j := record{Stops: []owed{late("z", "stop 0", 0)}}
		for n := range 2 * maxOfSection {
			for _, name := range []string{"a", "b", "c"} {
				j.Stops = append(j.Stops, late(name, "hang 3600", n))
			}
		}
		j.Stops = append(j.Stops, owed{
			Name: "a", IP: addr(100), Command: "stop 0 %IP%", Until: time.Now().Add(time.Hour), Left: time.Hour,
		})
		g.restore(j)
		g.start()
		g.sleep(time.Minute)
		g.endSays(6*maxOfSection, `
			0s note: stop commands owed
			0s run stop 0 192.0.0.0
			0s stopped stop 0 192.0.0.0
			1m0s run stop 0 192.0.0.100
			1m0s stopped stop 0 192.0.0.100`)
	})
}

// With real processes: what was left is tried when the daemon starts; its owner gets in meanwhile, and out at last.
func TestLateProcesses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	said, path, lock := filepath.Join(dir, "said"), filepath.Join(dir, "commands"), filepath.Join(dir, "lock")
	check(t, os.WriteFile(lock, nil, 0o600))
	j := door(t, 1, said, time.Second)
	j.Stop = parse(t, "test ! -e "+lock+" || { echo locked >>"+said+"; exit 4; }; echo stop %IP% >>"+said)
	check(t, fileOf(path).Write(record{Boot: "b", Stops: []owed{{
		Name: "door", IP: j.Src, Command: j.Stop.String(), Until: time.Now().Add(5 * time.Minute), Left: 5 * time.Minute, Rest: time.Hour,
	}}}))
	r, end := begin(t, Options{Journal: path})
	waitFor(t, "a try at the start", func() bool { return len(lines(t, said)) > 0 })
	if err := end(); err == nil || !strings.HasSuffix(err.Error(), "the journal keeps them for the next start") {
		t.Errorf("Run = %v", err)
	}
	if err := r.Do(j); !errors.Is(err, ErrStopped) {
		t.Errorf("Do = %v", err)
	}
	check(t, os.Remove(said))
	r, end = begin(t, Options{Journal: path})
	waitFor(t, "a try at the next start", func() bool { return len(lines(t, said)) > 0 })
	check(t, r.Do(j))
	others := func() []string { // how often it is tried in vain is a matter of time
		return slices.DeleteFunc(lines(t, said), func(l string) bool { return l == "locked" })
	}
	waitFor(t, "the start command", func() bool { return len(others()) == 1 })
	check(t, os.Remove(lock))
	waitFor(t, "the stop command", func() bool { return len(others()) == 2 })
	check(t, end())
	if diff := cmp.Diff([]string{"start 192.0.0.1", "stop 192.0.0.1"}, others()); diff != "" {
		t.Errorf("said (-want +got)\n%s", diff)
	}
	left, _, err := fileOf(path).Load()
	if err != nil || len(left.Stops) > 0 {
		t.Errorf("the journal holds %v, %v", left.Stops, err)
	}
}
