package client

import (
	"context"
	"net/netip"
	"time"

	"github.com/portknock/knock/pkg/sequence"
)

// lifetime is how long a socket waits for its answer: for a port that refuses, Windows sends a second SYN after half a
// second, for one that drops, after one second, and a knock is one SYN.
const lifetime = 450 * time.Millisecond

func sendPackets(ctx context.Context, host netip.Addr, steps []sequence.Step, delay time.Duration) (accepted []uint16, err error) {
	return dialPackets(ctx, host, steps, delay)
}
