package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/portknock/knock/pkg/outside"
	"github.com/portknock/knock/pkg/ui"
)

// A way leads from an address of ours to the host, which is to open its ports to an address that may be another one.
type way struct{ src, host, open netip.Addr }

// findWay looks up the host and the address that the kernel would send from. There may be no host if nothing is to be
// sent and the knock names its address.
func (c *Client) findWay(ctx context.Context) (way, error) {
	if c.Config.Host == "" {
		return way{open: c.Config.IP}, nil
	}
	host, err := lookUp(ctx, c.Config.Host, c.Config.Sequence != nil)
	if err != nil {
		return way{}, err
	}
	src, err := sourceTowards(host)
	if err != nil && c.Config.LogToFile != "" && c.Config.IP.IsValid() && host.Is4() {
		src, err = c.Config.IP, nil // nothing leaves this machine
	}
	w := way{src: src, host: host}
	if err == nil && c.Config.Sequence == nil {
		w.open, err = c.address(ctx, w)
	}
	return w, err
}

// address gives the address that the ports are to be opened to.
func (c *Client) address(ctx context.Context, w way) (netip.Addr, error) {
	if c.Config.IP.IsValid() {
		return c.Config.IP, nil
	}
	if c.Config.IPService != "" {
		return c.askOutside(ctx, w)
	}
	if isPrivate(w.src) && !isPrivate(w.host) {
		c.Warn("%s is a private address: if it is translated on the way, give the one that the host sees with -ip", w.src)
	}
	return w.src, nil
}

// askOutside asks the service of the user's choice, and tells where address translation makes a difference.
func (c *Client) askOutside(ctx context.Context, w way) (netip.Addr, error) {
	seen, err := outside.Ask(ctx, c.Config.IPService)
	switch {
	case err != nil:
		return seen, ui.Hint(err, "say -ip ADDRESS, or -ip auto for this machine's own")
	case seen == w.src:
		c.Debug("%s is this machine's own address, and what the outside sees", seen)
	case isPrivate(w.host):
		c.Warn("the outside sees %s, but %s is inside, and sees %s or another: -ip auto is right there", seen, w.host, w.src)
	default:
		c.Warn("this machine sends from %s, and the outside sees %s: the port opens to that, and to all who share it", w.src, seen)
	}
	return seen, nil
}

// lookUp gives an IPv4 address of host, or else, if six says that it will do, one of IPv6: an encrypted knock says to what
// IPv4 address a port is opened, and a sequence does not.
func lookUp(ctx context.Context, host string, six bool) (netip.Addr, error) {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if addr, perr := netip.ParseAddr(host); perr == nil {
		addrs, err = []netip.Addr{addr}, nil // LookupNetIP forgets the zone
	}
	if err != nil {
		var dns *net.DNSError
		if errors.As(err, &dns) && dns.IsNotFound {
			return netip.Addr{}, fmt.Errorf("unknown host %q", host)
		}
		return netip.Addr{}, fmt.Errorf("failed to look up %q: %w", host, err)
	}
	for _, addr := range addrs {
		if addr = addr.Unmap(); addr.Is4() {
			return addr, checkHost(addr)
		}
	}
	if six && len(addrs) > 0 {
		return addrs[0], checkHost(addrs[0])
	}
	return netip.Addr{}, fmt.Errorf("%q has only IPv6 addresses, and a knock goes over IPv4", host)
}

// checkHost refuses addresses that are not one host's.
func checkHost(addr netip.Addr) error {
	if addr.IsUnspecified() || addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return fmt.Errorf("%s is not the address of a host", addr)
	}
	return nil
}

// sourceTowards gives the address that the kernel would send from, and so tells whether there is a route at all. To
// connect a UDP socket sends nothing.
func sourceTowards(host netip.Addr) (netip.Addr, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(host, 9)))
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return netip.Addr{}, ui.Hint(fmt.Errorf("no way to %s: %w", host, err), "see ip route get %s", host)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// carrierNAT is the address space between a provider's customers and its address translation (RFC 6598).
var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

func isPrivate(addr netip.Addr) bool {
	return addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || carrierNAT.Contains(addr)
}
