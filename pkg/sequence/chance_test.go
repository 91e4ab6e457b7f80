package sequence

import "testing"

// orders calls f with the steps in each order. f does not keep them.
func orders(steps []Step, done int, f func()) {
	if done == len(steps) {
		f()
	}
	for i := done; i < len(steps); i++ {
		steps[done], steps[i] = steps[i], steps[done]
		orders(steps, done+1, f)
		steps[done], steps[i] = steps[i], steps[done]
	}
}

// between calls f with each way to have up to so many strays between steps: their number after each step but the last.
func between(gaps []int, strays int, f func()) {
	if len(gaps) == 0 {
		f()
		return
	}
	for gaps[0] = 0; gaps[0] <= strays; gaps[0]++ {
		between(gaps[1:], strays-gaps[0], f)
	}
}

// chance gives the chance that a scan in random order of all Ports completes a sequence, no port of which comes twice. It
// tries all ways in which its ports can follow upon each other with at most twice as many strays as it has ports, and
// counts the places in the scan at which those that complete it can be. That those with more do not is for
// TestShuffledScan.
func chance(t *testing.T, text string) float64 {
	t.Helper()
	steps := mustParse(text)
	c := &scanner{m: mustNew(t, Options{MaxSources: 1}, plain(text))}
	seen, guards := len(c.m.Ports()), c.m.guards
	places, gaps := 0, make([]int, len(steps)-1)
	orders(steps, 0, func() {
		between(gaps, 2*len(steps), func() {
			if n := c.m.table.stillest(); n != 0 {
				c.m.drop(n) // each is a scan of its own
			}
			length, matches := 0, 0
			for i, step := range steps {
				if i > 0 {
					for range gaps[i-1] {
						c.try(Step{step.Proto, guards[length]})
						length++
					}
				}
				matches += c.try(step)
				length++
			}
			if matches > 0 {
				places += seen - length + 1
			}
		})
	})
	result := float64(places)
	for i := range steps {
		result /= float64(seen - i)
	}
	return result
}

// The README says how often a scan in random order completes a sequence of three. A guard that is drawn
// and is one of the other Ports as well makes it likelier; five of them are less than once in a million runs.
func TestChanceOfShuffledScan(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct{ least, most float64 }{
		"7000,8000,9000":             {12_000, 12_500},
		"7000,8000,9000,10000":       {980_000, 1_050_000},
		"7000,8000,9000,10000,11000": {79e6, 86e6},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got := 1 / chance(t, text)
			t.Logf("one scan in %.0f completes it", got)
			if got < want.least || got > want.most {
				t.Errorf("one scan in %.0f completes it, want %.0f to %.0f", got, want.least, want.most)
			}
		})
	}
}
