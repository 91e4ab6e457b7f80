// Package outside stands in.
package outside

import (
	"context"
	"net/netip"
)

// CheckService stands in.
func CheckService(string) error { return nil }

// Ask stands in.
func Ask(context.Context, string) (netip.Addr, error) { return netip.Addr{}, nil }
