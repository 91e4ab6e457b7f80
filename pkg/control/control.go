// Package control stands in.
package control

import "net/netip"

// Target stands in.
type Target struct {
	Address netip.Addr
	Port    uint16
}

// ParseTarget stands in.
func ParseTarget(string) (Target, error) { return Target{}, nil }

// CheckMetrics stands in.
func CheckMetrics(string) error { return nil }
