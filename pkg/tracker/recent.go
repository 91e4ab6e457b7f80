package tracker

import (
	"math/bits"
	"slices"
)

// seenMax is how many tries of one source are compared with a new one, to know it again: those of two of the longest
// knocks and then some, which is longer than a client's kernel goes on sending their SYNs again. A power of two.
const seenMax = 64

// A recent is what counts of one source's tries, copied out of the ring into one place. It tells nothing that a walk
// through the ring would not tell, but ten times sooner.
type recent struct {
	newest uint32 // the number of the last one pushed
	pushed uint32 // how many there were; the last seenMax are kept, each at its place in this count
	window uint32 // how many there were since the last knock
	pairs  [seenMax]pair
	number [seenMax]uint32
}

// forget makes v empty.
func (v *recent) forget() { v.pushed, v.window = 0, 0 }

// push adds a try and its number in the ring.
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

// seen tells whether one of the last seenMax has the pair p.
func (v *recent) seen(r *ring, p pair) bool {
	for i, other := range v.pairs[:min(v.pushed, seenMax)] {
		if other == p && r.live(v.number[i]) {
			return true
		}
	}
	return false
}

// fill puts the last ports since the last knock into ports, in the order they came, and tells whether there are enough.
func (v *recent) fill(r *ring, ports []uint16) bool {
	length := uint32(len(ports))
	if v.window < length || !r.live(v.number[(v.pushed-length)%seenMax]) {
		return false
	}
	for i := range ports {
		ports[i] = uint16(v.pairs[(v.pushed-length+uint32(i))%seenMax])
	}
	return true
}

// order puts the ports of the tries that fill took into the order of their source ports, and tells whether it could: only
// if these are consecutive numbers, none is 0, and they came in another order. What it asks first is what noise fails.
func (v *recent) order(ports []uint16) bool {
	step := v.source(v.pushed-1) - v.source(v.pushed-2)
	return step != 0 && step+seenMax < 2*seenMax && v.sort(ports) // no knock is longer than seenMax
}

// source gives the source port of the try that was pushed as number n.
func (v *recent) source(n uint32) uint16 { return uint16(v.pairs[n%seenMax] >> 16) }

func (v *recent) sort(ports []uint16) bool {
	length := uint32(len(ports))
	begin := v.pushed - length
	low, high := uint16(1<<16-1), uint16(0)
	for i := range length {
		source := v.source(begin + i)
		low, high = min(low, source), max(high, source)
	}
	if low == 0 || uint32(high-low) != length-1 {
		return false
	}
	var taken uint64 // a bit for each source port from low on
	ascending := true
	for i := range length {
		p := v.pairs[(begin+i)%seenMax]
		place := uint32(uint16(p>>16) - low)
		taken |= 1 << place
		ascending = ascending && place == i
		ports[place] = uint16(p)
	}
	return !ascending && bits.OnesCount64(taken) == len(ports)
}

// A busy keeps sources that send one packet after another at hand: 8192 of them, or twice as many as there are tries,
// in 4.5 MB. The hash of a source says where its place can be.
type busy []struct {
	source [ways]uint64
	recent [ways]recent
}

// ways is how many sources with the same place can be at hand.
const ways = 4

func newBusy(tries int) busy { return make(busy, min(tries/2, 8192/ways)) }

// of gives what counts of source, whose hash is given and whose newest try in r is numbered newest. If it is not at
// hand, it takes the place of the one that has stood still longest.
func (b busy) of(r *ring, source, hash uint64, newest uint32) *recent {
	place := &b[int(hash>>32)&(len(b)-1)]
	way := slices.Index(place.source[:], source)
	if way < 0 {
		way = 0
		for i := range place.recent {
			if r.last-place.recent[i].newest > r.last-place.recent[way].newest {
				way = i
			}
		}
		place.source[way] = source
	} else if place.recent[way].newest == newest {
		return &place.recent[way]
	}
	place.recent[way].copyOut(r, newest)
	return &place.recent[way]
}
