package firewall

import (
	"slices"
	"strings"
)

const (
	// maxStroke is how many lines the restore program is given at once: the
	// nf_tables variant takes about 0.5 s for so many, and the kernel's time for
	// deletes grows with their square.
	maxStroke = 10_000
	// maxSearch is how many rules that variant may come past in looking for the
	// rules that it is to take out, which takes about 1 s. It looks from the top
	// of the chain, for each anew.
	maxSearch = 500_000
)

// way is how the changes of a Sync are made. Each is tried when the one before
// failed.
type way int

const (
	allAtOnce   way = iota
	knownAtOnce     // not those that take out a rule of a form that is not known
	oneByOne
)

// stroke is changes that are made at once, or not at all.
type stroke struct {
	changes []*change
	deletes []int // lines of the listing
	puts    [][]string
	search  int // how many rules are come past in looking for those to delete
}

func (s *stroke) lines() int { return len(s.deletes) + len(s.puts) }

// fits reports whether the restore program can do it in one run.
func (s *stroke) fits() bool {
	return s.lines() <= maxStroke && s.search <= maxSearch
}

// split gives the changes that can be made at once, in as many strokes as it
// takes, and those that are to be made one by one.
func (p *plan) split(w way) (strokes []*stroke, single []*change) {
	if p.t.restore == nil || w == oneByOne {
		return nil, p.changes
	}
	var together []*change
	runs := 0
	for _, c := range p.changes {
		if !p.restorable(c) || w == knownAtOnce && c.unknown {
			single = append(single, c)
			continue
		}
		together = append(together, c)
		runs += c.runs()
	}
	if runs < 2 {
		return nil, p.changes
	}
	if strokes = p.strokes(sorted(together)); len(strokes) > 1 && !p.part {
		if s := p.rewrite(together); s.fits() {
			strokes = []*stroke{s}
		}
	}
	return strokes, single
}

// restorable reports whether the restore program can make a change. What is put
// in, and what is of a known form, has no odd word.
func (p *plan) restorable(c *change) bool {
	return !c.unknown || restorable(p.lines[c.out[0]])
}

// strokes puts changes together until one stroke is too much for the restore
// program. Those of one rule are never parted.
func (p *plan) strokes(changes []*change) []*stroke {
	above := p.above()
	var (
		list []*stroke
		s    *stroke
		gone int // rules that were taken out by then
		come int // rules that earlier strokes have put in, above all others
	)
	for _, c := range changes {
		search := 0
		for _, i := range slices.Concat(c.out, c.later) {
			search += max(0, above[i]-gone) + come
			gone++
		}
		if s == nil || s.lines()+c.runs() > maxStroke || s.search+search > maxSearch {
			if s != nil {
				come += len(s.puts)
			}
			s = &stroke{}
			list = append(list, s)
		}
		s.changes = append(s.changes, c)
		s.add(c)
		s.search += search
	}
	return list
}

// add has c made with the rest.
func (s *stroke) add(c *change) {
	s.deletes = append(append(s.deletes, c.out...), c.later...)
	if c.put != nil {
		s.puts = append(s.puts, c.put)
	}
}

// above tells of each line how many rules of our chain are above it.
func (p *plan) above() []int {
	list := make([]int, len(p.lines))
	n := 0
	for i, l := range p.lines {
		list[i] = n
		if l.in(p.chain) {
			n++
		}
	}
	return list
}

// rewrite makes the changes by taking out every rule of ours, from the top, which
// finds each at once, and putting in all that is wanted.
func (p *plan) rewrite(changes []*change) *stroke {
	s := &stroke{changes: changes, deletes: slices.Clone(p.known)}
	for _, c := range changes {
		if c.jump || c.unknown {
			s.add(c)
		}
	}
	for _, e := range p.want {
		s.puts = append(s.puts, p.putArgs(e, !p.t.untimed))
	}
	slices.Sort(s.deletes)
	above := p.above()
	for n, i := range s.deletes {
		s.search += max(0, above[i]-n)
	}
	return s
}

// text gives a stroke as the restore program takes it. Deletes come first, and in
// the order of the listing: a rule is the sooner found, and what is put in is not
// taken out.
func (p *plan) text(s *stroke) string {
	var b strings.Builder
	slices.Sort(s.deletes)
	for _, i := range s.deletes {
		b.WriteString("-D " + strings.Join(p.lines[i][1:], " ") + "\n")
	}
	for _, args := range s.puts {
		b.WriteString(strings.Join(args, " ") + "\n")
	}
	return b.String()
}
