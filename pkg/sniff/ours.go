package sniff

import (
	"fmt"
	"net"
	"net/netip"
	"time"
)

// refreshAfter is the least time between two readings of the addresses that strangers' packets cause.
const refreshAfter = time.Second

// staleAfter is how long an address is taken for one of ours unseen.
const staleAfter = 10 * time.Second

// Ours knows the addresses of this machine: those of all its interfaces, 127.0.0.0/8, and those it was told. It
// serves one goroutine, whose network namespace it is about.
type Ours struct {
	targets []netip.Addr
	addrs   map[netip.Addr]bool
	read    time.Time // when addrs was read last, or the reading failed
	list    func() ([]net.Addr, error)
}

// NewOurs gives an Ours that counts targets among the addresses. It has not read the machine's own yet.
func NewOurs(targets []netip.Addr) *Ours {
	return &Ours{targets: targets, list: net.InterfaceAddrs}
}

// Refresh reads the addresses. If that fails the old ones stay.
func (o *Ours) Refresh() error {
	o.read = time.Now()
	list, err := o.list()
	if err != nil {
		return fmt.Errorf("failed to read this machine's addresses: %w", err)
	}
	addrs := make(map[netip.Addr]bool, len(list)+len(o.targets))
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				addrs[addr.Unmap()] = true
			}
		}
	}
	for _, addr := range o.targets {
		addrs[addr.Unmap().WithZone("")] = true
	}
	o.addrs = addrs
	return nil
}

// Has tells whether a packet to addr, which has no zone, is one to this machine. An address that is not known is
// looked for anew, at most once a second, and one that is known after ten.
func (o *Ours) Has(addr netip.Addr) bool {
	known, age := o.knows(addr), time.Since(o.read)
	if known && age < staleAfter || age < refreshAfter {
		return known
	}
	_ = o.Refresh() // whoever refreshes in due time hears of it
	return o.knows(addr)
}

func (o *Ours) knows(addr netip.Addr) bool {
	return o.addrs[addr] || addr.Is4() && addr.IsLoopback()
}
