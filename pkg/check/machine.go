package check

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/packet"
)

// A machine is the one this runs on.
type machine struct {
	config *config.Daemon
	report *report
}

// firewall looks at the rules, and gives those that log knocks as the daemon needs it.
func (m *machine) firewall(ctx context.Context) []*rule {
	program := m.config.Iptables
	listing, err := firewall.Listing(ctx, program, "-w", "5", "-S", "-v")
	if err != nil {
		m.report.add(listingProblem(err))
		return nil
	}
	version := m.version(ctx)
	m.report.add(okf("%s lists the rules", version))
	nft := m.nft(ctx)
	s := &site{
		table: parseTable(listing), world: m.world("/proc/net/route", defaultInterfaces, netip.Addr.Is4),
		program: program, chain: m.config.Chain, portMin: m.portMin(), lines: m.config.Lines, allowed: m.allowed(),
		sealed: len(m.config.Keys) > 0, steps: m.steps(), from: m.config.Source, others: filtering(nft, "ip"),
		forwards: m.forwards(),
	}
	if s.from.Kmsg {
		s.lines.Head = packet.HeadDmesg
	}
	m.report.add(m.strangers(s)...)
	legacy := !strings.Contains(version, "nf_tables")
	m.otherVariant(ctx, s, legacy)
	findings, loggers := s.knocks()
	m.report.add(findings...)
	m.report.add(s.jump()...)
	m.report.add(s.access()...)
	m.forwarding(s, nft)
	m.firewall6(ctx, filtering(nft, "ip6"), legacy)
	return loggers
}

func listingProblem(err error) finding {
	f := problemf("%v", err)
	switch {
	case errors.Is(err, firewall.ErrNotFound):
		return f.fixed("install iptables, or name the program with -iptables")
	case errors.Is(err, firewall.ErrNotPermitted):
		return f.fixed("run as root, or with the capability CAP_NET_ADMIN")
	case strings.Contains(err.Error(), "incompatible"):
		return f.fixed("move nft's own rules out of iptables' table ip filter: iptables must be able to read it")
	}
	return f
}

// version gives "iptables v1.8.9 (nf_tables)".
func (m *machine) version(ctx context.Context) string {
	version, err := firewall.Listing(ctx, m.config.Iptables, "--version")
	if err != nil || strings.TrimSpace(version) == "" {
		return m.config.Iptables
	}
	return strings.TrimSpace(version)
}

// nft gives nft's own tables. Without the program it cannot be told, and most likely nobody made one.
func (m *machine) nft(ctx context.Context) []nftTable {
	ruleset, err := firewall.Listing(ctx, "nft", "-t", "list", "ruleset")
	if err != nil && !errors.Is(err, firewall.ErrNotFound) {
		m.report.add(notef("nft's own tables cannot be listed: %v", err))
	}
	return parseNFT(ruleset)
}

// strangers tells of nft's own tables that see the same packets.
func (m *machine) strangers(s *site) (findings []finding) {
	for _, t := range s.others {
		findings = append(findings, stranger(t))
		switch {
		case s.from.Interface != "" || !s.suits(t):
		case s.from.NFLOG:
			findings = append(findings, okf("nft's own table %s sends to NFLOG group %d", t, s.from.Group))
		case s.lines.Regexp == "":
			findings = append(findings, okf("nft's own table %s logs %s", t, prefixText(s.lines.Prefix)))
		}
	}
	return findings
}

func stranger(t nftTable) finding {
	return notef("nft's own table %s looks at what comes in too: what iptables lets in it may drop. Its rules are not followed here: knock, and see", t)
}

// otherVariant tells of rules in the variant of iptables that is not in use. Asking the legacy one makes its tables, so
// it is asked only if they are there.
func (m *machine) otherVariant(ctx context.Context, s *site, legacy bool) {
	other := "iptables-nft"
	if !legacy {
		other = "iptables-legacy"
		if !hasLine(read("/proc/net/ip_tables_names"), "filter") {
			return
		}
	}
	listing, err := firewall.Listing(ctx, other, "-w", "5", "-S", "-v")
	switch {
	case errors.Is(err, firewall.ErrNotFound) && legacy:
	case err != nil:
		m.report.add(notef("rules of the other variant of iptables, %s, cannot be listed: %v", other, err))
	default:
		m.report.add(s.second(other, parseTable(listing))...)
		m.report.add(s.secondForwards(other, parseTable(listing))...)
	}
}

// firewall6 looks at the rules of IPv6.
func (m *machine) firewall6(ctx context.Context, others []nftTable, legacy bool) {
	if !hasGlobal6(read("/proc/net/if_inet6")) {
		m.report.add(okf("there is no IPv6 address to come in by"))
		return
	}
	program, listing, err := m.listing6(ctx, legacy)
	if err != nil {
		m.report.add(notef("what is open over IPv6 cannot be told: %v", err))
		return
	}
	s := &site{
		table: parseTable(listing), world: m.world("/proc/net/ipv6_route", defaultInterfaces6, netip.Addr.Is6),
		program: program, allowed: m.allowed(), others: others,
	}
	for _, t := range others {
		if t.family == "ip6" { // the others see IPv4 too, and were told of
			m.report.add(stranger(t))
		}
	}
	m.report.add(s.open6()...)
}

// listing6 lists the rules of IPv6. As asking the legacy variant makes its table, it is asked only if that is there.
func (m *machine) listing6(ctx context.Context, legacy bool) (program, listing string, err error) {
	program = program6(m.config.Iptables)
	if !legacy || hasLine(read("/proc/net/ip6_tables_names"), "filter") {
		listing, err = firewall.Listing(ctx, program, "-w", "5", "-S", "-v")
		return program, listing, err
	}
	listing, err = firewall.Listing(ctx, "ip6tables-nft", "-w", "5", "-S", "-v")
	if errors.Is(err, firewall.ErrNotFound) {
		return program, "-P " + input + " ACCEPT\n", nil
	}
	return "ip6tables-nft", listing, err
}

// program6 gives the name of ip6tables for that of iptables.
func program6(program string) string {
	dir, name := filepath.Split(program)
	if rest, ok := strings.CutPrefix(name, "iptables"); ok {
		return dir + "ip6tables" + rest
	}
	return "ip6tables"
}
