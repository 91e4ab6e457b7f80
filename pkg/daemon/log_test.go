package daemon

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/portknock/knock/pkg/firewall"
	"github.com/portknock/knock/pkg/lease"
)

// Of a rule the log tells what it lets in: UDP is named, and where it is forwarded.
func TestRulesAreTold(t *testing.T) {
	t.Parallel()
	inner := netip.MustParseAddrPort("10.0.0.5:53")
	tests := map[string]firewall.Rule{
		"rule closed ip=198.51.100.7 port=22":                            {Src: laptop, Port: 22},
		"rule closed ip=198.51.100.7 port=53 proto=udp":                  {Src: laptop, Port: 53, Proto: firewall.UDP},
		"rule closed ip=198.51.100.7 port=2222 to=10.0.0.5:53":           {Src: laptop, Port: 2222, Action: firewall.Forward, To: inner},
		"rule closed ip=198.51.100.7 port=2222 proto=udp to=10.0.0.5:53": {Src: laptop, Port: 2222, Action: firewall.Forward, Proto: firewall.UDP, To: inner},
		"ban closed ip=198.51.100.7":                                     {Src: laptop, Action: firewall.Drop},
	}
	for want, rule := range tests {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			told := newJournal()
			d := newDaemon(newTestLog(t, load(t, "-log=log", "-output=json"), told))
			d.reportRule(lease.Event{Kind: lease.Closed, Rule: rule})
			told.wait(t, want)
			if got := strings.TrimSpace(told.text()); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
