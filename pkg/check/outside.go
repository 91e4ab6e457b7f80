package check

import (
	"net"
	"net/netip"
	"os"
	"strings"
)

// world finds out by which interfaces packets from outside come in, and to which addresses: those of the default
// routes in a file of /proc, or without one all but lo.
func (m *machine) world(routes string, interfaces func(string) []string, family func(netip.Addr) bool) world {
	w := world{interfaces: interfaces(read(routes)), knock: m.knockLength()}
	if len(w.interfaces) == 0 {
		all, _ := net.Interfaces() // of nothing it cannot be told
		for _, i := range all {
			if i.Flags&net.FlagUp != 0 && i.Flags&net.FlagLoopback == 0 {
				w.interfaces = append(w.interfaces, i.Name)
			}
		}
	}
	for _, name := range w.interfaces {
		w.addrs = append(w.addrs, addrsOf(name, family)...)
	}
	return w
}

func addrsOf(name string, family func(netip.Addr) bool) (addrs []netip.Addr) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil
	}
	all, _ := i.Addrs()
	for _, a := range all {
		network, err := netip.ParsePrefix(a.String())
		if err == nil && family(network.Addr()) && !network.Addr().IsLinkLocalUnicast() {
			addrs = append(addrs, network.Addr())
		}
	}
	return addrs
}

// services tells of programs that listen where knocks go.
func (m *machine) services() {
	var taken []int
	low := m.portMin()
	for _, port := range listeners(read("/proc/net/tcp") + read("/proc/net/tcp6")) {
		if port >= low && port < low+256 {
			taken = append(taken, port)
		}
	}
	if len(taken) == 0 {
		m.report.add(okf("no program listens on a knock port"))
		return
	}
	m.report.add(problemf("a program listens on TCP %s, among the knock ports %d..%d: nobody can reach it, or knocks there are answered",
		portList(taken), low, low+255).fixed("move it, or set another port-min at both ends and in the firewall (ss -tlnp names the program)"))
}

// read gives a file of /proc; "" if there is none, as where the kernel lacks what it tells of.
func read(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b)
}

// hasLine tells whether a file has a line.
func hasLine(file, line string) bool {
	for l := range strings.Lines(file) {
		if strings.TrimSpace(l) == line {
			return true
		}
	}
	return false
}
