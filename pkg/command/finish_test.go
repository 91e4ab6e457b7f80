package command

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// hang opens doors of section name whose stop commands hang, as many as can run at once.
func (g *rig) hang(name string) {
	g.t.Helper()
	for n := range maxOfSection {
		check(g.t, g.Do(Job{Name: name, Src: addr(n + 1), Start: parse(g.t, "start 0"), Stop: parse(g.t, "hang 3600 %IP%")}))
	}
}

// endSays ends Run, which leaves so many stop commands, and compares what has happened, sorted, but for those
// that hang.
func (g *rig) endSays(left int, lines string) {
	g.t.Helper()
	err := g.end()
	if want := fmt.Sprintf("failed to run %d stop commands: the journal keeps them for the next start", left); left > 0 {
		if err == nil || err.Error() != want {
			g.t.Errorf("Run = %v, want %s", err, want)
		}
	} else {
		check(g.t, err)
	}
	g.update(func() {
		g.log = slices.DeleteFunc(g.log, func(l string) bool { return strings.Contains(l, "hang") })
		slices.Sort(g.log)
	})
	g.want(lines)
}

// What hangs and is late keeps no stop command from its one time at the end, in no section.
func TestEndBesideLate(t *testing.T) {
	for name, sections := range map[string][]string{
		"of its section": {"door"},
		"of others":      {"a", "b", "c", "d"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Options{Journal: "/nowhere/commands", Limit: 30 * time.Second}, func(g *rig) {
				g.start()
				for _, s := range sections {
					g.hang(s)
				}
				g.sleep(5 * time.Minute)
				g.fails["bad"] = 1
				g.do(0, "start 0", "stop 0", time.Hour)
				g.do(100, "start 0", "bad 0", time.Hour)
				g.do(101, "start 2", "stop 0", time.Hour) // its start command is under way at the end
				g.update(func() { g.log = nil })
				g.endSays(maxOfSection*len(sections), `
					5m0s run bad 0 192.0.0.100
					5m0s run stop 0 192.0.0.0
					5m0s stop failed bad 0 192.0.0.100: exit status 1
					5m0s stopped stop 0 192.0.0.0
					5m1s run bad 0 192.0.0.100
					5m1s stopped bad 0 192.0.0.100
					5m2s run stop 0 192.0.0.101
					5m2s started start 2 192.0.0.101
					5m2s stopped stop 0 192.0.0.101`)
			})
		})
	}
}

// Neither does what hangs and is on the way to being late.
func TestEndBesideFailed(t *testing.T) {
	bubble(t, Options{Journal: "/nowhere/commands", Limit: 20 * time.Second}, func(g *rig) {
		g.start()
		g.hang("door")
		g.sleep(64 * time.Second) // they have failed at 20, 41 and 63 s
		g.update(func() { g.log = nil })
		g.do(0, "start 2", "stop 0", time.Hour)
		g.sleep(time.Second)
		g.endSays(maxOfSection, `
			1m4s run start 2 192.0.0.0
			1m6s run stop 0 192.0.0.0
			1m6s started start 2 192.0.0.0
			1m6s stopped stop 0 192.0.0.0`)
	})
}

// However often a stop command has failed before the end, it is tried then.
func TestEndAfterFailures(t *testing.T) {
	for _, keep := range []bool{false, true} {
		for _, c := range []struct {
			fails int
			end   time.Duration
			want  string
		}{
			{1, 10500 * time.Millisecond, "11s"}, // at its time
			{2, 12 * time.Second, "13s"},
			{3, 14 * time.Second, "14s"}, // at once
			{4, 18 * time.Second, "18s"},
			{5, 26 * time.Second, "26s"},
			{6, 42 * time.Second, "42s"},
		} {
			t.Run(fmt.Sprintf("%d, keep %v", c.fails, keep), func(t *testing.T) {
				bubble(t, Options{Journal: "/nowhere/commands", Keep: keep}, func(g *rig) {
					g.start()
					g.fails["stop"] = c.fails
					g.do(1, "start 0", "stop 0", 10*time.Second)
					g.sleep(c.end)
					if n := g.fails["stop"]; n != 0 {
						t.Fatalf("%d failures are still to come", n)
					}
					g.update(func() { g.log = nil })
					g.endSays(0, fmt.Sprintf("%[1]s run stop 0 192.0.0.1\n%[1]s stopped stop 0 192.0.0.1", c.want))
					g.owed()
				})
			})
		}
	}
}

// One that fails once more is tried no more, and the end does not wait for it.
func TestEndFailsAgain(t *testing.T) {
	bubble(t, journaled, func(g *rig) {
		g.start()
		g.fails["stop"] = 1000
		g.do(1, "start 0", "stop 0", 10*time.Second)
		g.sleep(14 * time.Second)
		g.update(func() { g.log = nil })
		g.endSays(1, `
			14s left stop 0 192.0.0.1: the daemon ends
			14s run stop 0 192.0.0.1`)
		g.owed("22s stop 0 %IP% 192.0.0.1")
	})
}
