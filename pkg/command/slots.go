package command

import "context"

// slots are the processes that can run at once.
type slots struct {
	starts, stops  context.Context // end those that run
	running, start int             // how many run, and how many of them are start commands
	ofSection      map[slot]int
}

// A slot is for the start or the stop commands of a section.
type slot struct {
	name string
	stop bool
}

func newSlots(starts, stops context.Context) slots {
	return slots{starts: starts, stops: stops, ofSection: make(map[slot]int)}
}

// take counts one more process, if there is room for it, and gives what ends it.
func (s *slots) take(name string, stop bool) (context.Context, bool) {
	k := slot{name, stop}
	if s.running >= maxProcesses || !stop && s.start >= maxStarts || s.ofSection[k] >= maxOfSection {
		return nil, false
	}
	s.running++
	s.ofSection[k]++
	if stop {
		return s.stops, true
	}
	s.start++
	return s.starts, true
}

// give counts one less.
func (s *slots) give(name string, stop bool) {
	k := slot{name, stop}
	s.running--
	s.ofSection[k]--
	if s.ofSection[k] == 0 {
		delete(s.ofSection, k)
	}
	if !stop {
		s.start--
	}
}
