package check

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/config"
)

// inner is a forward to a host on the inner network.
var inner = config.Forward{Port: tcp(2222), To: netip.MustParseAddrPort("10.0.0.5:22")}

func TestForwarding(t *testing.T) {
	t.Parallel()
	const (
		accepts = "-P FORWARD ACCEPT\n"
		drops   = "-P FORWARD DROP\n"
		fix     = "  fix: iptables -I FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n"
		good    = "ok: established connections that are forwarded from TCP 2222 are let through\n"
	)
	tests := map[string]struct{ listing, want string }{
		"all is let through":             {accepts, good},
		"a rule for what is established": {drops + "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n", good},
		"a rule for what is led away":    {drops + "-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT\n", good},
		"no rule":                        {drops, "problem: answers to what is forwarded from TCP 2222 are stopped by the policy of FORWARD: forwarding does not work\n" + fix},
		"the daemon's own rules do not count": {
			drops + "-N KNOCK-FORWARD\n-A FORWARD -m comment --comment knockdaemon -j KNOCK-FORWARD\n" +
				"-A KNOCK-FORWARD -d 10.0.0.5/32 -p tcp -m tcp --dport 22 -m comment --comment knockdaemon -j ACCEPT\n" +
				"-A FORWARD -i eth1 -o eth0 -j ACCEPT\n",
			"problem: established connections that are forwarded from TCP 2222 are cut off by the policy of FORWARD when the port closes again\n" + fix,
		},
		"answers alone": {
			drops + "-A FORWARD -s 10.0.0.0/24 -i eth1 -o eth0 -p tcp -m tcp --sport 22 -m conntrack --ctstate ESTABLISHED -j ACCEPT\n",
			"problem: established connections that are forwarded from TCP 2222 are cut off by the policy of FORWARD when the port closes again\n" + fix,
		},
		"both ways by address": {
			drops + "-A FORWARD -s 10.0.0.5/32 -p tcp -m tcp --sport 22 -j ACCEPT\n-A FORWARD -d 10.0.0.5/32 -p tcp -m tcp --dport 22 -j ACCEPT\n", good,
		},
		"for another host": {
			drops + "-A FORWARD -s 10.0.0.6/32 -j ACCEPT\n-A FORWARD -d 10.0.0.6/32 -j ACCEPT\n",
			"problem: answers to what is forwarded from TCP 2222 are stopped by the policy of FORWARD: forwarding does not work\n" + fix,
		},
		"Docker's rules alone": {
			drops + "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\n",
			"problem: answers to what is forwarded from TCP 2222 are stopped by the policy of FORWARD: forwarding does not work\n" + fix,
		},
		"a rule that drops": {
			accepts + "-A FORWARD -i eth1 -j REJECT\n",
			"problem: answers to what is forwarded from TCP 2222 are stopped by FORWARD rule 1 (-i eth1 -j REJECT): forwarding does not work\n" + fix,
		},
		"a mark that may drop": {
			accepts + "-A FORWARD -m mark --mark 0x1 -j DROP\n",
			"note: perhaps answers to what is forwarded from TCP 2222 are stopped by FORWARD rule 1 (-m mark --mark 0x1 -j DROP): what it depends on cannot be told from here\n",
		},
		"a mark that may let through": {
			drops + "-A FORWARD -m mark --mark 0x1 -j ACCEPT\n",
			"note: perhaps answers to what is forwarded from TCP 2222 are let through, by FORWARD rule 1 (-m mark --mark 0x1 -j ACCEPT): what it depends on cannot be told from here\n",
		},
		"a loop": {drops + "-N a\n-A a -j a\n-A FORWARD -j a\n", "note: whether answers to what is forwarded from TCP 2222 get through cannot be told\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := siteOf("-P INPUT DROP\n" + tt.listing)
			s.forwards = []config.Forward{inner}
			s.forward.towards = func(netip.Addr) []string { return []string{"eth1"} }
			if diff := cmp.Diff(tt.want, dump(s.forwarded())); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A host that is on no network of ours is behind a router, nobody knows by which interface.
func TestForwardingFarAway(t *testing.T) {
	t.Parallel()
	s := siteOf("-P FORWARD DROP\n-A FORWARD -i eth1 -j ACCEPT\n-A FORWARD -o eth1 -j ACCEPT\n")
	s.forward.towards = func(netip.Addr) []string { return nil }
	s.forwards = []config.Forward{inner, {Port: tcp(2223), To: inner.To}, {Port: udp(53), To: netip.MustParseAddrPort("10.0.0.5:53")}}
	const perhaps = " are let through, by FORWARD rule 1 (-i eth1 -j ACCEPT): what it depends on cannot be told from here\n"
	want := "note: perhaps answers to what is forwarded from TCP 2222..2223" + perhaps + "note: perhaps answers to what is forwarded from UDP 53" + perhaps
	if diff := cmp.Diff(want, dump(s.forwarded())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A container of Docker's is reached and answers by Docker's own rules.
func TestForwardingToContainer(t *testing.T) {
	t.Parallel()
	s := siteOf("-P FORWARD DROP\n-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n" +
		"-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\n-A FORWARD -i docker0 -o docker0 -j ACCEPT\n")
	s.forwards = []config.Forward{{Port: tcp(80), To: netip.MustParseAddrPort("172.17.0.2:80")}}
	s.forward.towards = func(netip.Addr) []string { return []string{"docker0"} }
	if diff := cmp.Diff("ok: established connections that are forwarded from TCP 80 are let through\n", dump(s.forwarded())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What leads to this host itself does not go through FORWARD.
func TestForwardingToSelf(t *testing.T) {
	t.Parallel()
	self := config.Forward{Port: tcp(80), To: netip.MustParseAddrPort("192.0.2.1:8080")}
	findings, others := toOthers([]config.Forward{self, inner}, func(a netip.Addr) bool { return a == self.To.Addr() })
	const want = "note: port 80/tcp is forwarded to 192.0.2.1:8080, which is this host: what is forwarded there INPUT must let in by itself\n" +
		"  fix: use open in place of forward\n"
	if diff := cmp.Diff(want, dump(findings)); diff != "" || len(others) != 1 || others[0] != inner {
		t.Errorf("others %v; findings (-want +got)\n%s", others, diff)
	}
}

// What one variant of iptables lets through the other may drop.
func TestSecondForwards(t *testing.T) {
	t.Parallel()
	const want = "problem: iptables-legacy has rules too, and does not let through what is forwarded from TCP 2222: the policy of FORWARD\n" +
		"  fix: flush the rules of one of them, or name the one that is meant with iptables = iptables-legacy\n"
	for listing, want := range map[string]string{
		"-P FORWARD DROP\n": want,
		"-P FORWARD DROP\n-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\n": "",
		"-P FORWARD DROP\n-A FORWARD -m mark --mark 0x1 -j ACCEPT\n":                 "",
		"-P FORWARD ACCEPT\n": "",
	} {
		s := siteOf("-P FORWARD ACCEPT\n")
		s.forwards = []config.Forward{inner}
		if diff := cmp.Diff(want, dump(s.secondForwards("iptables-legacy", parseTable(listing)))); diff != "" {
			t.Errorf("%q (-want +got)\n%s", listing, diff)
		}
	}
}

func TestKernelForwards(t *testing.T) {
	t.Parallel()
	for enabled, want := range map[string]string{
		"1": "ok: the kernel forwards (net.ipv4.ip_forward)\n",
		"":  "note: whether the kernel forwards (net.ipv4.ip_forward) cannot be told\n",
		"0": "problem: the kernel forwards nothing (net.ipv4.ip_forward is 0): what a knock forwards gets nowhere\n" +
			"  fix: sysctl -w net.ipv4.ip_forward=1, and the same in a file of /etc/sysctl.d\n",
	} {
		s := &site{forward: forwarding{enabled: enabled}}
		if diff := cmp.Diff(want, dump(s.kernelForwards())); diff != "" {
			t.Errorf("%q (-want +got)\n%s", enabled, diff)
		}
	}
	s := &site{forward: forwarding{enabled: "1", others: parseNFT("table inet x {\n\tchain y {\n\t\ttype filter hook forward priority 0; policy drop;\n")}}
	const want = "ok: the kernel forwards (net.ipv4.ip_forward)\nnote: nft's own table inet x looks at what is forwarded too: " +
		"what iptables lets through it may drop. Its rules are not followed here: knock, and see\n"
	if diff := cmp.Diff(want, dump(s.kernelForwards())); diff != "" || !s.forward.others[0].forward || s.forward.others[0].input {
		t.Errorf("a table of nft's (-want +got)\n%s", diff)
	}
}
