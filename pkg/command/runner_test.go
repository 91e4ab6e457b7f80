package command

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/journal"
)

var errCommand = errors.New("exit status 1")

// A rig is a Runner in a synctest bubble that starts no process: a command takes the seconds that its text says, and
// fails as often as it is told. What happens is written down with its second.
type rig struct {
	*Runner
	t     *testing.T
	began time.Time
	log   []string
	disk  record // what the journal holds
	full  bool
	fails map[string]int // how often a command fails, by its text
	end   func() error
}

// newRig gives a rig that runs nothing yet.
func newRig(t *testing.T, o Options) *rig {
	g := &rig{t: t, began: time.Now(), fails: make(map[string]int)}
	o.Report = func(e Event) {
		line := fmt.Sprintf("%s %s", e.Kind, e.Command)
		if e.Err != nil {
			line += ": " + e.Err.Error()
		}
		g.say(line)
	}
	o.Note = func(msg string, err error) { g.say("note: " + strings.SplitN(msg, ":", 2)[0]) }
	g.Runner = New(o)
	g.clock = func() journal.Instant { return journal.Instant{Wall: time.Now(), Boot: time.Since(g.began)} }
	g.write = func(r record) (err error) {
		g.update(func() {
			if g.full {
				err = errors.New("no space")
				return
			}
			g.disk = r
		})
		return err
	}
	g.run = g.pretend
	return g
}

func (g *rig) say(line string) {
	g.update(func() { g.log = append(g.log, fmt.Sprintf("%v %s", time.Since(g.began).Round(time.Second), line)) })
}

// pretend runs a command like "NAME SECONDS ADDRESS".
func (g *rig) pretend(ctx context.Context, c Command, src netip.Addr, limit time.Duration) (string, error) {
	text := c.For(src)
	var name string
	var seconds int
	_, _ = fmt.Sscan(text, &name, &seconds)
	g.say("run " + text)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errors.New("no end"))
	defer cancel()
	if seconds > 0 { // a timer of none has the race detector of Go 1.26 crash now and then
		select {
		case <-time.After(time.Duration(seconds) * time.Second):
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	var err error
	g.update(func() {
		if g.fails[name] > 0 {
			g.fails[name]--
			err = errCommand
		}
	})
	return "", err
}

// start starts Run; it ends with g.end.
func (g *rig) start() {
	check(g.t, g.Start(g.t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	g.end = func() error {
		cancel()
		return <-done
	}
	synctest.Wait()
}

// do asks for a job whose commands take as many seconds as their texts say.
func (g *rig) do(n int, start, stop string, wait time.Duration) {
	g.t.Helper()
	j := Job{Name: "door", Src: addr(n), Start: parse(g.t, start+" %IP%"), Wait: wait}
	if stop != "" {
		j.Stop = parse(g.t, stop+" %IP%")
	}
	check(g.t, g.Do(j))
	synctest.Wait()
}

// sleep lets time pass.
func (g *rig) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// want compares what has happened with lines.
func (g *rig) want(lines string) {
	g.t.Helper()
	var want []string
	for l := range strings.Lines(strings.TrimSpace(lines)) {
		want = append(want, strings.TrimSpace(l))
	}
	g.update(func() {
		if diff := cmp.Diff(want, g.log); diff != "" {
			g.t.Errorf("what has happened (-want +got)\n%s", diff)
		}
		g.log = nil
	})
}

// journal gives what the journal holds.
func (g *rig) journal() (r record) {
	g.update(func() { r = g.disk })
	return r
}

// owed compares the journal with lines like "62 stop 0 %IP% 192.0.0.1": the second when it is due comes first.
func (g *rig) owed(want ...string) {
	g.t.Helper()
	var got []string
	for _, s := range g.journal().Stops {
		got = append(got, fmt.Sprintf("%v %s %s", s.End, s.Command, s.IP))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		g.t.Errorf("journal (-want +got)\n%s", diff)
	}
}

// bubble runs a test with a rig in a bubble.
func bubble(t *testing.T, o Options, test func(g *rig)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(newRig(t, o)) })
}

var journaled = Options{Journal: "/nowhere/commands"}

func TestStartThenStop(t *testing.T) {
	bubble(t, journaled, func(g *rig) {
		g.start()
		g.do(1, "start 2", "stop 1", time.Minute)
		g.owed("1m0s stop 1 %IP% 192.0.0.1") // before start has ended
		g.do(2, "only 3", "", time.Minute)
		g.sleep(4 * time.Second)
		g.owed("1m2s stop 1 %IP% 192.0.0.1")
		g.sleep(2 * time.Minute)
		g.owed()
		check(t, g.end())
		g.want(`
			0s run start 2 192.0.0.1
			0s run only 3 192.0.0.2
			2s started start 2 192.0.0.1
			3s started only 3 192.0.0.2
			1m2s run stop 1 192.0.0.1
			1m3s stopped stop 1 192.0.0.1`)
	})
}

// A start command that fails, or does not end, is undone all the same.
func TestStartFails(t *testing.T) {
	bubble(t, Options{Journal: "/nowhere/commands", Limit: time.Minute}, func(g *rig) {
		g.fails["bad"] = 1
		g.start()
		g.do(1, "bad 1", "stop 0", 10*time.Second)
		g.do(2, "hang 3600", "stop 0", 10*time.Second)
		g.sleep(2 * time.Minute)
		check(t, g.end())
		g.want(`
			0s run bad 1 192.0.0.1
			0s run hang 3600 192.0.0.2
			1s start failed bad 1 192.0.0.1: exit status 1
			11s run stop 0 192.0.0.1
			11s stopped stop 0 192.0.0.1
			1m0s start failed hang 3600 192.0.0.2: no end
			1m10s run stop 0 192.0.0.2
			1m10s stopped stop 0 192.0.0.2`)
	})
}

// Who knocks again gets a new time, and never two of what the start command makes.
func TestAgain(t *testing.T) {
	bubble(t, journaled, func(g *rig) {
		g.start()
		g.do(1, "start 2", "stop 1", time.Minute)
		g.sleep(time.Second)
		g.do(1, "lost 0", "lost 0", time.Minute)
		g.do(1, "second 0", "stop2 1", time.Minute) // waits, in the place of the one before
		g.sleep(10 * time.Second)
		g.do(1, "third 0", "stop3 1", 5*time.Second)
		g.sleep(time.Minute)
		g.owed()
		check(t, g.end())
		g.want(`
			0s run start 2 192.0.0.1
			2s started start 2 192.0.0.1
			2s run stop 1 192.0.0.1
			3s stopped stop 1 192.0.0.1
			3s run second 0 192.0.0.1
			3s started second 0 192.0.0.1
			11s run stop2 1 192.0.0.1
			12s stopped stop2 1 192.0.0.1
			12s run third 0 192.0.0.1
			12s started third 0 192.0.0.1
			17s run stop3 1 192.0.0.1
			18s stopped stop3 1 192.0.0.1`)
	})
}

// Without a stop command the jobs of one address follow each other too.
func TestAgainWithoutStop(t *testing.T) {
	bubble(t, journaled, func(g *rig) {
		g.start()
		g.do(1, "a 5", "", 0)
		g.do(1, "b 1", "", 0)
		g.sleep(10 * time.Second)
		check(t, g.end())
		g.want(`
			0s run a 5 192.0.0.1
			5s started a 5 192.0.0.1
			5s run b 1 192.0.0.1
			6s started b 1 192.0.0.1`)
	})
}

func TestStopFails(t *testing.T) {
	bubble(t, journaled, func(g *rig) {
		g.fails["some"], g.fails["all"] = 2, 6
		g.start()
		g.do(1, "start 0", "some 0", time.Second)
		g.do(2, "start 0", "all 0", 10*time.Second)
		g.sleep(20 * time.Second)
		g.owed("25s all 0 %IP% 192.0.0.2")
		g.do(2, "again 0", "", 0) // waits for it all the same, and does not do away with it
		g.sleep(time.Minute)
		g.owed("10m41s all 0 %IP% 192.0.0.2")
		g.sleep(10 * time.Minute)
		g.owed()
		check(t, g.end())
		g.want(`
			0s run start 0 192.0.0.1
			0s started start 0 192.0.0.1
			0s run start 0 192.0.0.2
			0s started start 0 192.0.0.2
			1s run some 0 192.0.0.1
			1s stop failed some 0 192.0.0.1: exit status 1
			2s run some 0 192.0.0.1
			4s run some 0 192.0.0.1
			4s stopped some 0 192.0.0.1
			10s run all 0 192.0.0.2
			10s stop failed all 0 192.0.0.2: exit status 1
			11s run all 0 192.0.0.2
			13s run all 0 192.0.0.2
			17s run all 0 192.0.0.2
			25s run all 0 192.0.0.2
			41s run all 0 192.0.0.2
			41s left all 0 192.0.0.2: exit status 1
			41s run again 0 192.0.0.2
			41s started again 0 192.0.0.2
			10m41s run all 0 192.0.0.2
			10m41s stopped all 0 192.0.0.2`)
	})
}

// What cannot be written down is not begun; what owes nothing is, and what was begun is undone.
func TestJournalFails(t *testing.T) {
	bubble(t, journaled, func(g *rig) {
		g.start()
		g.do(1, "start 0", "stop 0", time.Minute)
		g.update(func() { g.full = true })
		g.do(2, "start 0", "stop 0", time.Minute)
		g.do(3, "only 0", "", 0)
		g.sleep(2 * time.Minute)
		g.owed("1m0s stop 0 %IP% 192.0.0.1")
		g.update(func() { g.full = false })
		g.do(4, "start 0", "stop 0", time.Minute)
		g.owed("3m0s stop 0 %IP% 192.0.0.4")
		g.sleep(2 * time.Minute)
		check(t, g.end())
		g.want(`
			0s run start 0 192.0.0.1
			0s started start 0 192.0.0.1
			0s note: the journal of commands cannot be written
			0s refused start 0 192.0.0.2: no space
			0s run only 0 192.0.0.3
			0s started only 0 192.0.0.3
			1m0s run stop 0 192.0.0.1
			1m0s stopped stop 0 192.0.0.1
			2m0s note: the journal of commands can be written again
			2m0s run start 0 192.0.0.4
			2m0s started start 0 192.0.0.4
			3m0s run stop 0 192.0.0.4
			3m0s stopped stop 0 192.0.0.4`)
	})
}

// At the end all that is owed runs, and what does not end by itself is ended.
func TestEnd(t *testing.T) {
	bubble(t, journaled, func(g *rig) {
		g.fails["bad"] = 100
		g.start()
		g.do(1, "start 0", "stop 2", time.Hour)
		g.do(2, "slow 3600", "stop 0", time.Hour)
		g.do(3, "start 0", "hang 3600", time.Hour)
		g.do(4, "start 0", "bad 0", time.Hour)
		g.do(2, "waits 0", "", time.Hour)
		g.sleep(time.Second)
		err := g.end()
		if err == nil || err.Error() != "failed to run 2 stop commands: the journal keeps them for the next start" {
			t.Errorf("Run = %v", err)
		}
		var got []string
		for _, s := range g.journal().Stops {
			got = append(got, s.Command)
		}
		slices.Sort(got)
		if diff := cmp.Diff([]string{"bad 0 %IP%", "hang 3600 %IP%"}, got); diff != "" {
			t.Errorf("journal (-want +got)\n%s", diff)
		}
		if err := g.Do(Job{Name: "door", Src: addr(1), Start: parse(t, "x")}); !errors.Is(err, ErrStopped) {
			t.Errorf("Do = %v", err)
		}
		slices.Sort(g.log)
		g.want(`
			0s run slow 3600 192.0.0.2
			0s run start 0 192.0.0.1
			0s run start 0 192.0.0.3
			0s run start 0 192.0.0.4
			0s started start 0 192.0.0.1
			0s started start 0 192.0.0.3
			0s started start 0 192.0.0.4
			15s left bad 0 192.0.0.4: the daemon ends
			15s left hang 3600 192.0.0.3: the daemon ends
			15s stop failed hang 3600 192.0.0.3: the daemon ends
			1s refused waits 0 192.0.0.2: the runner of commands has stopped
			1s run bad 0 192.0.0.4
			1s run hang 3600 192.0.0.3
			1s run stop 2 192.0.0.1
			1s stop failed bad 0 192.0.0.4: exit status 1
			2s run bad 0 192.0.0.4
			3s stopped stop 2 192.0.0.1
			4s run bad 0 192.0.0.4
			6s run stop 0 192.0.0.2
			6s start failed slow 3600 192.0.0.2: the daemon ends
			6s stopped stop 0 192.0.0.2
			8s run bad 0 192.0.0.4`)
	})
}

// With Keep they stay in the journal, and the next Run goes on where this one was.
func TestKeep(t *testing.T) {
	bubble(t, Options{Journal: "/nowhere/commands", Keep: true}, func(g *rig) {
		g.start()
		g.do(1, "start 0", "stop 0", time.Minute)
		g.do(2, "start 2", "stop 0", time.Second)
		g.sleep(time.Second)
		check(t, g.end())
		g.owed("3s stop 0 %IP% 192.0.0.2", "1m0s stop 0 %IP% 192.0.0.1")
		g.want(`
			0s run start 0 192.0.0.1
			0s started start 0 192.0.0.1
			0s run start 2 192.0.0.2
			2s started start 2 192.0.0.2
			2s note: stop commands kept in the journal for the next start`)

		next := newRig(t, journaled)
		next.began, next.boot = g.began, g.boot
		g.sleep(8 * time.Second)
		next.restore(g.journal())
		next.start()
		next.sleep(time.Minute)
		check(t, next.end())
		next.owed()
		next.want(`
			10s note: stop commands owed
			10s run stop 0 192.0.0.2
			10s stopped stop 0 192.0.0.2
			1m0s run stop 0 192.0.0.1
			1m0s stopped stop 0 192.0.0.1`)
	})
}

// The journal knows how long is left, whatever the clocks will say after another boot.
func TestRefresh(t *testing.T) {
	bubble(t, journaled, func(g *rig) {
		g.start()
		g.do(1, "start 0", "stop 0", time.Hour)
		for range 100 {
			g.sleep(10 * time.Second)
			left := time.Hour - time.Since(g.began)
			if s := g.journal().Stops[0]; s.Left < left || s.Left > left+refresh+tick {
				t.Fatalf("%v left in the journal, want %v", s.Left, left)
			}
		}
		check(t, g.end())
	})
}

// Memory is bounded: for each section, apart from what others hold, and whoever is held already is not refused.
func TestFull(t *testing.T) {
	bubble(t, Options{}, func(g *rig) {
		count := make(map[string]int)
		g.options.Report = func(e Event) { g.update(func() { count[e.Kind+" "+e.Name]++ }) }
		g.start()
		door := Job{Name: "door", Start: parse(t, "start 0"), Stop: parse(t, "stop 0"), Wait: time.Hour}
		only := Job{Name: "door", Start: parse(t, "hang 60")}
		other := Job{Name: "other", Start: parse(t, "start 0"), Stop: parse(t, "stop 0"), Wait: time.Hour}
		ask := func(j Job, n int) error {
			j.Src = addr(n)
			return g.Do(j)
		}
		for n := range maxHeld {
			check(t, ask(door, n))
			if n%100 == 0 {
				synctest.Wait() // in several goes
			}
		}
		for n := range maxHeld {
			check(t, ask(only, maxHeld+n))
		}
		for _, when := range []string{"at once", "a second later"} {
			for name, j := range map[string]Job{"with a stop command": door, "without": only} {
				if err := ask(j, 2*maxHeld); !errors.Is(err, ErrFull) || err.Error() != `too many commands are held: 1024 of "door"` {
					t.Errorf("one more %s, %s: %v", name, when, err)
				}
			}
			check(t, ask(door, 5))
			check(t, ask(other, 5))
			g.sleep(time.Second)
		}
		// Door 5's next start command waits for those of its section that hang.
		want := map[string]int{"started door": maxHeld, "stopped door": 1, "started other": 2, "stopped other": 1}
		g.update(func() {
			if diff := cmp.Diff(want, count); diff != "" {
				t.Errorf("events (-want +got)\n%s", diff)
			}
		})
		g.sleep(2 * time.Hour)
		check(t, ask(door, 2*maxHeld))
		check(t, ask(only, 2*maxHeld+1))
		check(t, g.end())
		if len(g.entries)+len(g.slots.ofSection)+g.slots.running+len(g.queue) > 0 || g.slots.inLane != [lanes]int{} {
			t.Errorf("%d entries, %v, %d queued are left", len(g.entries), g.slots, len(g.queue))
		}
	})
}

// Even all sections together are bounded, those that owe nothing apart.
func TestFullOfSections(t *testing.T) {
	t.Parallel()
	r := New(Options{})
	j := Job{Start: parse(t, "start"), Stop: parse(t, "stop")}
	for n := range maxTotal {
		j.Name, j.Src = fmt.Sprint(n/maxHeld), addr(n)
		check(t, r.Do(j))
	}
	j.Name = "one more"
	if err := r.Do(j); !errors.Is(err, ErrFull) || err.Error() != "too many commands are held: 16384" {
		t.Errorf("Do = %v", err)
	}
	j.Stop = Command{}
	check(t, r.Do(j))
}

// What hangs holds nobody else's: not other sections', and not the stop commands of its own.
func TestHanging(t *testing.T) {
	bubble(t, Options{}, func(g *rig) {
		g.start()
		g.do(0, "start 0", "stop 0", time.Minute)
		for n := range 1000 {
			g.do(n+1, "hang 3600", "hang 3600", 0)
		}
		if g.slots.running != maxOfSection {
			t.Errorf("%d of one section run, want %d", g.slots.running, maxOfSection)
		}
		for n := range 10 {
			for i := range 30 {
				check(t, g.Do(Job{Name: fmt.Sprint("other", n), Src: addr(i), Start: parse(t, "hang 3600")}))
			}
		}
		synctest.Wait()
		if g.slots.running != maxStarts {
			t.Errorf("%d start commands run, want %d", g.slots.running, maxStarts)
		}
		g.update(func() { g.log = nil })
		g.sleep(2 * time.Minute)
		g.want(`
			1m0s run stop 0 192.0.0.0
			1m0s stopped stop 0 192.0.0.0`)
		if err := g.end(); err == nil {
			t.Error("commands that hang have ended well")
		}
	})
}

func TestDoRefuses(t *testing.T) {
	t.Parallel()
	good := Job{Name: "door", Src: addr(1), Start: parse(t, "x")}
	check(t, New(Options{}).Do(good))
	for name, change := range map[string]func(*Job){
		"no address":       func(j *Job) { j.Src = netip.Addr{} },
		"a zone":           func(j *Job) { j.Src = netip.MustParseAddr("fe80::1%eth0") },
		"no name":          func(j *Job) { j.Name = "" },
		"a long name":      func(j *Job) { j.Name = strings.Repeat("x", maxName+1) },
		"a name not UTF-8": func(j *Job) { j.Name = "\xff" },
		"no start":         func(j *Job) { j.Start = Command{} },
		"a negative time":  func(j *Job) { j.Wait = -1 },
		"a long time":      func(j *Job) { j.Wait = maxWait + 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := good
			change(&j)
			if err := New(Options{}).Do(j); err == nil {
				t.Error("it is not refused")
			}
		})
	}
}
