package sequence

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/portknock/knock/pkg/packet"
)

// Dynamic gives the packets that ask a dynamic section with these steps and this port of digit 0 for a port, 1..65535.
// Some ports cannot be asked for, where steps are also ports of digits: what is sent could then be read as another port,
// and that is an error.
func Dynamic(steps []Step, digits, port uint16) ([]Step, error) {
	s := Section{Steps: steps, Digits: digits, Timeout: 1}
	switch err := s.check(); {
	case err != nil:
		return nil, err
	case len(steps) == 0 || digits == 0:
		return nil, fmt.Errorf("a dynamic port needs a sequence and a port of digit 0")
	case port == 0:
		return nil, fmt.Errorf("0 is no port to ask for: want 1..65535")
	}
	all := slices.Clone(steps)
	for _, digit := range strconv.Itoa(int(port)) {
		all = append(all, Step{packet.TCP, digits + uint16(digit-'0')})
	}
	all = append(all, steps...)
	backward := slices.Clone(all)
	slices.Reverse(backward)
	for i := len(all) - 1; i >= 0; i-- {
		read, _ := s.read(backward[i:])
		if read != 0 && (read != port || i != 0) {
			return nil, fmt.Errorf("port %d cannot be asked for with %s and digit 0 at %d: it would be read as %d",
				port, Format(steps), digits, read)
		}
	}
	return all, nil
}

// read gives the port that the last packets, the newest first, ask a dynamic section for, and how many of them do; or 0.
// Each is a step or a digit. Of several readings it is the shortest.
func (s Section) read(backward []Step) (port uint16, length int) {
	if !endsWith(backward, s.Steps) {
		return 0, 0
	}
	rest := backward[len(s.Steps):]
	for n, value, place := 1, 0, 1; n <= maxDigits && n <= len(rest) && s.isDigit(rest[n-1]); n++ {
		digit := int(rest[n-1].Port - s.Digits)
		value += digit * place
		place *= 10
		if digit != 0 && value <= 65535 && endsWith(rest[n:], s.Steps) {
			return uint16(value), 2*len(s.Steps) + n
		}
	}
	return 0, 0
}

// endsWith tells whether the packets, the newest first, end with steps.
func endsWith(backward, steps []Step) bool {
	if len(backward) < len(steps) {
		return false
	}
	for i, step := range steps {
		if backward[len(steps)-1-i] != step {
			return false
		}
	}
	return true
}

// symbols are the last packets of a source that are steps or digits of a dynamic section, the newest first.
type symbols struct {
	steps  []Step
	places []uint32
	strays []int // how many others have come after each
}

func (y *symbols) add(step Step, place uint32, strays int) {
	y.steps = append(y.steps, step)
	y.places = append(y.places, place)
	y.strays = append(y.strays, strays)
}

func (y *symbols) clear() { y.steps, y.places, y.strays = y.steps[:0], y.places[:0], y.strays[:0] }

func (m *Matcher) findDynamic(id int, place uint32) (port uint16, ok bool) {
	s, y := &m.sections[id], &m.read
	y.clear()
	newest := &m.table.tries[place]
	for strays := 0; place != 0 && len(y.steps) < s.size(); {
		t := &m.table.tries[place]
		if !m.counts(t, newest, s) {
			break
		}
		switch standing := m.standing(t, id); {
		case standing == usable && (s.isDigit(t.to) || slices.Contains(s.Steps, t.to)):
			y.add(t.to, place, strays)
		case standing != gone:
			strays++
		}
		place = t.older
	}
	port, length := s.read(y.steps)
	if port == 0 || y.strays[length-1] >= length {
		return 0, false
	}
	for _, place := range y.places[:length] {
		m.picks = append(m.picks, pick{place, id})
	}
	return port, true
}
