package check

import (
	"net/netip"
	"strings"
	"testing"
)

// outside is a host with one interface and one address.
var outside = world{interfaces: []string{"eth0"}, addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, knock: 8}

func TestMatches(t *testing.T) {
	t.Parallel()
	two := outside
	two.interfaces = []string{"eth0", "wlan0"}
	at := func(w world, state string) probe { return probe{world: w, port: tcp(800), state: state} }
	syn, session := at(outside, "NEW"), at(outside, "ESTABLISHED")
	tests := []struct {
		rule   string
		packet probe
		want   degree
		rate   bool
	}{
		{"", syn, always, false},
		{"-p tcp", syn, always, false},
		{"-p udp", syn, never, false},
		{"! -p udp", syn, always, false},
		{"-f", syn, never, false},
		{"! -f", syn, always, false},
		{"-i lo", syn, never, false},
		{"! -i lo", syn, always, false},
		{"-i eth0", syn, always, false},
		{"-i eth+", syn, always, false},
		{"-i +", syn, always, false},
		{"-i eth1", syn, never, false},
		{"-i eth0", at(two, "NEW"), perhaps, false},
		{"-i eth0", at(world{}, "NEW"), perhaps, false},
		{"-s 0.0.0.0/0", syn, always, false},
		{"-s 2000::/3", syn, always, false},
		{"-s 10.0.0.0/8", syn, never, false},
		{"! -s 10.0.0.0/8", syn, always, false},
		{"-s 198.51.100.7", syn, never, false},
		{"-s 0.0.0.0/1", syn, perhaps, false},
		{"-s 0.0.0.1/0.0.0.1", syn, perhaps, false},
		{"-d 192.0.2.1/32", syn, always, false},
		{"-d 192.0.2.0/24", syn, always, false},
		{"-d 224.0.0.0/4", syn, never, false},
		{"-d 192.0.2.1/32", at(world{}, "NEW"), perhaps, false},
		{"-p tcp -m tcp --dport 800", syn, always, false},
		{"-p tcp -m tcp --dport 801", syn, never, false},
		{"-p tcp -m tcp --dport 745:1000", syn, always, false},
		{"-p tcp -m tcp ! --dport 745:1000", syn, never, false},
		{"-p tcp -m multiport --dports 22,80,790:810", syn, always, false},
		{"-p tcp -m multiport --dports 22,80", syn, never, false},
		{"-p tcp -m multiport ! --dports 22,80", syn, always, false},
		{"-p tcp -m multiport --ports 800", syn, always, false},
		{"-p tcp -m multiport --ports 5000", syn, perhaps, false},
		{"-p tcp -m tcp --sport 1024:65535", syn, always, false},
		{"-p tcp -m tcp --sport 0:1023", syn, never, false},
		{"-p tcp -m tcp --sport 5000", syn, perhaps, false},
		{"-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", syn, always, false},
		{"-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", session, never, false},
		{"-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN", syn, never, false},
		{"-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN", session, always, false},
		{"-p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE", syn, never, false},
		{"-p tcp -m tcp --tcp-flags ALL ACK", session, perhaps, false},
		{"-p tcp -m tcp --tcp-flags FIN,SYN FIN,SYN", syn, never, false},
		{"-m conntrack --ctstate RELATED,ESTABLISHED", syn, never, false},
		{"-m conntrack --ctstate RELATED,ESTABLISHED", session, always, false},
		{"-m conntrack --ctstate NEW,UNTRACKED", syn, always, false},
		{"-m conntrack --ctstate RELATED,ESTABLISHED,DNAT", syn, few, false},
		{"-m conntrack ! --ctstate INVALID", syn, always, false},
		{"-m state --state NEW", syn, always, false},
		{"-m addrtype --dst-type LOCAL", syn, always, false},
		{"-m addrtype --dst-type BROADCAST", syn, never, false},
		{"-m addrtype ! --dst-type LOCAL", syn, never, false},
		{"-m addrtype --src-type LOCAL", syn, perhaps, false},
		{"-m pkttype --pkt-type unicast", syn, always, false},
		{"-m set --match-set blocked src", syn, few, false},
		{"-m set ! --match-set friends src", syn, perhaps, false},
		{"-m set --match-set ports dst", syn, perhaps, false},
		{"-m mac --mac-source 02:00:00:00:00:01", syn, few, false},
		{"-m limit --limit 3/min --limit-burst 10", syn, perhaps, true},
		{"-m hashlimit --hashlimit-upto 3/min --hashlimit-burst 5 --hashlimit-mode srcip --hashlimit-name x", syn, perhaps, true},
		{"-m hashlimit --hashlimit-upto 3/min --hashlimit-burst 8 --hashlimit-mode srcip --hashlimit-name x", syn, always, false},
		{"-m hashlimit --hashlimit-upto 3/min --hashlimit-burst 50 --hashlimit-name x", syn, perhaps, true},
		{"-m hashlimit --hashlimit-above 3/min --hashlimit-burst 5 --hashlimit-mode srcip --hashlimit-name x", syn, few, true},
		{"-m recent --set --name x --mask 255.255.255.255 --rsource", syn, always, false},
		{"-m recent --update --seconds 60 --hitcount 4 --name x --mask 255.255.255.255 --rsource", syn, few, true},
		{"-m connlimit --connlimit-above 3 --connlimit-mask 32 --connlimit-saddr", syn, few, true},
		{`-m comment --comment "-p udp"`, syn, always, false},
		{"-m mark --mark 0x1", syn, perhaps, false},
		{"-m socket", syn, perhaps, false},
		{"-m made-up --dport 1", syn, never, false},
		{"-p tcp -m mark --mark 0x1 -i lo", syn, never, false},
	}
	for _, tt := range tests {
		t.Run(tt.rule+" "+tt.packet.state, func(t *testing.T) {
			t.Parallel()
			listing := strings.Join(strings.Fields("-A INPUT "+tt.rule+" -c 1 60 -j LOG"), " ")
			r := parseTable(listing).chains[input][0]
			if got, rate := r.matches(tt.packet); got != tt.want || rate != tt.rate {
				t.Errorf("matches: %d, rate %v; want %d, rate %v", got, rate, tt.want, tt.rate)
			}
		})
	}
}
