package command

import "context"

// slots are the processes that can run at once.
type slots struct {
	starts, stops context.Context // end those that run
	running       int             // how many run
	inLane        [lanes]int      // and how many of them in each lane
	ofSection     map[slot]int
}

// A slot is for the commands of a section in one lane.
type slot struct {
	name string
	lane lane
}

// A lane is a kind of commands that leaves room for others.
type lane int

const (
	startLane lane = iota
	stopLane
	lateLane // stop commands that have failed too often; any one section's leave room for those of others
	lanes
)

func newSlots(starts, stops context.Context) slots {
	return slots{starts: starts, stops: stops, ofSection: make(map[slot]int)}
}

// take counts one more process, if there is room for it, and gives what ends it.
func (s *slots) take(k slot) (context.Context, bool) {
	room := [lanes]int{startLane: maxStarts, stopLane: maxProcesses, lateLane: maxLateRuns}
	share := [lanes]int{startLane: maxOfSection, stopLane: maxOfSection, lateLane: maxLateOfSection}
	if s.running >= maxProcesses || s.inLane[k.lane] >= room[k.lane] || s.ofSection[k] >= share[k.lane] {
		return nil, false
	}
	s.running++
	s.inLane[k.lane]++
	s.ofSection[k]++
	if k.lane == startLane {
		return s.starts, true
	}
	return s.stops, true
}

// give counts one less.
func (s *slots) give(k slot) {
	s.running--
	s.inLane[k.lane]--
	s.ofSection[k]--
	if s.ofSection[k] == 0 {
		delete(s.ofSection, k)
	}
}
