package lease

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestClockSteps sets the wall clock by an hour in the middle of a lease of 600 s
// with the Manager alive. The lease is as long as ever; the firewall and the
// journal get its end by the new clock.
func TestClockSteps(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]time.Duration{"forwards": time.Hour, "backwards": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tests := map[string]func(*house){
				"alive":           func(*house) {},
				"then killed":     func(h *house) { h.kill(); h.start() },
				"then killed off": func(h *house) { h.kill(); h.at(300); h.start() },
			}
			for name, then := range tests {
				t.Run(name, func(t *testing.T) {
					inHouse(t, func(h *house) {
						h.open(ip1, 600)
						h.at(100)
						h.set.Store(int64(set))
						h.at(110) // noticed at the next tick
						if got := h.told(); !strings.Contains(got, "note the clock was set: ") {
							t.Errorf("got events %q, want the step told", got)
						}
						shown := map[bool]string{true: "4200", false: "-3000"}[set > 0]
						h.rules("chain\naccept 192.0.2.1 22/tcp until " + shown + "\n")
						then(h)
						h.at(599)
						h.rules("chain\naccept 192.0.2.1 22/tcp until " + shown + "\n")
						h.at(600)
						h.rules("chain\n")
					})
				})
			}
		})
	}
}

// TestClockStepsWithNobodyThere: in the same boot the time since it began tells
// how long is left, and a wall clock that says less is believed.
func TestClockStepsWithNobodyThere(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		set time.Duration
		end float64
	}{
		"backwards": {-time.Hour, 600},
		"forwards":  {5 * time.Minute, 300},
		"far":       {time.Hour, 200},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				h.start()
				h.open(ip1, 600)
				h.at(100)
				h.kill()
				h.at(200)
				h.set.Store(int64(tt.set))
				h.start()
				if tt.end > 200 {
					h.at(tt.end - 1)
					h.leases("192.0.2.1 22/tcp " + map[float64]string{600: "-3000s", 300: "600s"}[tt.end])
				}
				h.at(tt.end)
				h.rules("chain\n")
				h.kill()
			})
		})
	}
}

// A suspend moves both clocks, but not the timers.
func TestSuspend(t *testing.T) {
	inHouse(t, func(h *house) {
		h.open(ip1, 600)
		h.at(100)
		h.boot.Add(int64(time.Hour))
		h.set.Add(int64(time.Hour))
		h.at(110)
		h.rules("chain\n")
		h.leases()
		h.reported("0s opened 192.0.2.1 22/tcp until 600s", "101s expired 192.0.2.1 22/tcp")
	})
}

// Drift is no step.
func TestDrift(t *testing.T) {
	inHouse(t, func(h *house) {
		h.open(ip1, 6000)
		for at := 100.0; at < 1000; at += 100 {
			h.at(at)
			h.set.Add(int64(100 * time.Millisecond))
			if at == 500 {
				h.set.Add(-int64(450 * time.Millisecond)) // somebody's NTP
			}
		}
		h.rules("chain\naccept 192.0.2.1 22/tcp until 6000\n")
		h.reported("0s opened 192.0.2.1 22/tcp until 6000s")
	})
}
