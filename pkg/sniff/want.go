package sniff

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/portknock/knock/pkg/packet"
)

// maxClasses bounds the kinds of packets, but for their ports, that Wants may name.
const maxClasses = 64

// A Want is packets that the kernel is to hand over: those of one protocol, over IPv4 or IPv6, to a range of ports.
type Want struct {
	Proto     packet.Proto // TCP or UDP
	Low, High uint16       // destination ports, both included
	// Of TCP packets, those whose flags under Mask are Set. No Mask: whatever the flags.
	Set, Mask packet.Flags
}

func (w Want) check() error {
	switch {
	case w.Proto != packet.TCP && w.Proto != packet.UDP:
		return fmt.Errorf("protocol %d is neither TCP nor UDP", w.Proto)
	case w.Low > w.High:
		return fmt.Errorf("ports %d-%d are no range", w.Low, w.High)
	case w.Proto == packet.UDP && w.Set|w.Mask != 0:
		return fmt.Errorf("UDP has no flags")
	case w.Set&^w.Mask != 0:
		return fmt.Errorf("flags %#x are not under the mask %#x", w.Set, w.Mask)
	}
	return nil
}

// A class is Wants that differ in their ports only.
type class struct {
	proto     packet.Proto
	set, mask packet.Flags
	spans     []span // ascending, none touching the next
}

// A span is a range of ports, both ends included.
type span struct{ low, high uint16 }

// classesOf sorts Wants into classes.
func classesOf(wants []Want) ([]class, error) {
	for _, w := range wants {
		if err := w.check(); err != nil {
			return nil, fmt.Errorf("failed to want packets: %w", err)
		}
	}
	wants = slices.Clone(wants)
	slices.SortFunc(wants, func(a, b Want) int {
		return cmp.Or(cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.Mask, b.Mask), cmp.Compare(a.Set, b.Set), cmp.Compare(a.Low, b.Low))
	})
	var classes []class
	for _, w := range wants {
		last := len(classes) - 1
		if last < 0 || classes[last].proto != w.Proto || classes[last].set != w.Set || classes[last].mask != w.Mask {
			classes = append(classes, class{proto: w.Proto, set: w.Set, mask: w.Mask})
			last++
		}
		classes[last].add(span{w.Low, w.High})
	}
	if len(classes) > maxClasses {
		return nil, fmt.Errorf("failed to want packets: %d combinations of protocol and flags, can be %d at most", len(classes), maxClasses)
	}
	return classes, nil
}

// add adds a span that begins where the last one does, or above.
func (c *class) add(s span) {
	if n := len(c.spans); n > 0 && int(s.low) <= int(c.spans[n-1].high)+1 {
		c.spans[n-1].high = max(c.spans[n-1].high, s.high)
		return
	}
	c.spans = append(c.spans, s)
}

func (c *class) has(p packet.Packet) bool {
	if p.Proto != c.proto || p.Flags&c.mask != c.set {
		return false
	}
	_, found := slices.BinarySearchFunc(c.spans, p.DstPort, func(s span, port uint16) int {
		switch {
		case s.high < port:
			return -1
		case s.low > port:
			return 1
		}
		return 0
	})
	return found
}

// widened gives classes that have most spans at most, together: the narrowest gaps between them are wanted too.
// There is at least one span for each class.
func widened(classes []class, most int) []class {
	count, gaps := 0, []int{}
	for _, c := range classes {
		count += len(c.spans)
		for i := 1; i < len(c.spans); i++ {
			gaps = append(gaps, gap(c.spans[i-1], c.spans[i]))
		}
	}
	if count <= most || len(gaps) == 0 {
		return classes
	}
	slices.Sort(gaps)
	bridged := gaps[min(count-most, len(gaps))-1]
	var wide []class
	for _, c := range classes {
		w := class{proto: c.proto, set: c.set, mask: c.mask, spans: []span{c.spans[0]}}
		for _, s := range c.spans[1:] {
			if last := &w.spans[len(w.spans)-1]; gap(*last, s) <= bridged {
				last.high = s.high
			} else {
				w.spans = append(w.spans, s)
			}
		}
		wide = append(wide, w)
	}
	return wide
}

// gap is how many ports lie between two spans.
func gap(a, b span) int { return int(b.low) - int(a.high) - 1 }
