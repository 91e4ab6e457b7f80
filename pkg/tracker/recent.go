package tracker

import "slices"

// seenMax is how many tries of one source are compared with a new one, to know it again: those of two of the longest
// knocks and then some, which is longer than a client's kernel goes on sending their SYNs again. A power of two.
const seenMax = 64

// A recent is what counts of one source's tries, copied out of the ring into one place. It tells nothing that a walk
// through the ring would not, but sooner.
type recent struct {
	newest uint32 // the number of the last one pushed
	pushed uint32 // how many there were; the last seenMax are kept, each at its place in this count
	window uint32 // how many there were since the last knock
	pairs  [seenMax]pair
	number [seenMax]uint32
}

// forget makes v empty.
func (v *recent) forget() { v.pushed, v.window = 0, 0 }

func (v *recent) push(p pair, number uint32) {
	v.pairs[v.pushed%seenMax], v.number[v.pushed%seenMax] = p, number
	v.newest = number
	v.pushed++
	v.window++
}

// copyOut makes v what counts of the source whose newest try in r is numbered n.
func (v *recent) copyOut(r *ring, n uint32) {
	var numbers [seenMax]uint32
	count := 0
	for ok := true; ok && count < seenMax; count++ {
		numbers[count] = n
		n, ok = r.earlier(n)
	}
	v.forget()
	for count--; count >= 0; count-- {
		t := r.at(numbers[count])
		v.push(t.pair, numbers[count])
		if t.endsKnock {
			v.window = 0
		}
	}
}

// seen tells whether one of them has the pair p.
func (v *recent) seen(r *ring, p pair) bool {
	for i, other := range v.pairs[:min(v.pushed, seenMax)] {
		if other == p && r.live(v.number[i]) {
			return true
		}
	}
	return false
}

// fill puts the last ports since the last knock into ports, and tells whether there are enough.
func (v *recent) fill(r *ring, ports []uint16) bool {
	length := uint32(len(ports))
	if v.window < length || !r.live(v.number[(v.pushed-length)%seenMax]) {
		return false
	}
	for i := range length {
		ports[i] = uint16(v.pairs[(v.pushed-length+i)%seenMax])
	}
	return true
}

// ways is how many sources whose hashes lead to the same place can be at hand.
const ways = 4

// A busy keeps sources that send one packet after another at hand.
type busy []struct {
	source [ways]uint64
	recent [ways]recent
}

// of gives what counts of source, whose hash is given and whose newest try in r is numbered newest.
func (b busy) of(r *ring, source, hash uint64, newest uint32) *recent {
	set := &b[int(hash>>32)&(len(b)-1)]
	way := slices.Index(set.source[:], source)
	if way < 0 {
		way = 0
		for i := range set.recent {
			if r.last-set.recent[i].newest > r.last-set.recent[way].newest {
				way = i
			}
		}
		set.source[way] = source
	} else if set.recent[way].newest == newest {
		return &set.recent[way]
	}
	set.recent[way].copyOut(r, newest)
	return &set.recent[way]
}
