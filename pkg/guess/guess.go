// Package guess stub.
package guess
import ("net/netip";"time")
type Options struct { Limit int; Within time.Duration }
type Counter struct { o Options; n map[netip.Addr]int }
func New(o Options) *Counter { return &Counter{o, map[netip.Addr]int{}} }
func (c *Counter) Failed(s netip.Addr, _ time.Time) bool { c.n[s]++; return c.n[s]==c.o.Limit }
