package client

import (
	"slices"

	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/sequence"
)

func countTCP(steps []sequence.Step) (n int) {
	for _, step := range steps {
		if step.Proto != packet.UDP {
			n++
		}
	}
	return n
}

// sorted gives each port once.
func sorted(ports []uint16) []uint16 {
	slices.Sort(ports)
	return slices.Compact(ports)
}
