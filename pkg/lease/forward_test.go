package lease

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/firewall"
)

// TestProtocolsAndForwards has leases for UDP and for what is forwarded live as the
// others do: beside one of the same port, over a restart, and until their end.
func TestProtocolsAndForwards(t *testing.T) {
	inHouse(t, func(h *house) {
		tcp := firewall.Rule{Src: ip1, Port: 53}
		h.must(h.Open(dns, time.Minute, By{}))
		h.must(h.Open(tcp, 0, By{}))
		h.must(h.Open(inner, time.Minute, By{}))
		synctest.Wait()
		h.rules("chain\nforward chain\nforward 192.0.2.2 2222/tcp to 10.0.0.5:22 until 60\n" +
			"accept 192.0.2.1 53/udp until 60\naccept 192.0.2.1 53/tcp\n")
		h.at(1)
		h.kill()
		h.fake.Flush()
		h.start()
		h.leases("192.0.2.1 53/tcp", "192.0.2.1 53/udp 60s", "192.0.2.2 2222/tcp to 10.0.0.5:22 60s")
		h.rules("chain\nforward chain\nforward 192.0.2.2 2222/tcp to 10.0.0.5:22 until 60\n" +
			"accept 192.0.2.1 53/udp until 60\naccept 192.0.2.1 53/tcp\n")
		h.at(2)
		h.must(h.Close(tcp, By{}))
		h.at(60)
		h.rules("chain\nforward chain\n")
		h.leases()
		h.reported("0s opened 192.0.2.1 53/tcp", "0s opened 192.0.2.1 53/udp until 60s", "0s opened 192.0.2.2 2222/tcp to 10.0.0.5:22 until 60s",
			"1s note leases restored: 3, ended meanwhile: 0",
			"1s repaired removed [] restored [192.0.2.1 53/tcp 192.0.2.1 53/udp 192.0.2.2 2222/tcp to 10.0.0.5:22] unknown 0 healed true",
			"2s closed 192.0.2.1 53/tcp", "60s expired 192.0.2.1 53/udp", "60s expired 192.0.2.2 2222/tcp to 10.0.0.5:22")
	})
}

// Journals as they stand on a disk.
const (
	oldJournal = "knockdaemon-journal 1 3a86172471b3997dd34c102ab367b2e6cdc9115c0d1e21d68cd88bd5de02cad2\n" +
		`{"saved":"2026-11-21T12:00:00Z","boot":"first","leases":[` +
		`{"ip":"192.0.2.1","port":22,"action":"accept"},` +
		`{"ip":"192.0.2.2","action":"drop","until":"2026-11-21T12:01:00Z","end_ns":60000000000,"left_ns":60000000000}]}` + "\n"
	newJournal = "knockdaemon-journal 1 7325b9dcd2cd9d142c23fe7ab3452a3d5bbd16eba10ad00814fb76663d1bd8a6\n" +
		`{"saved":"2026-11-21T12:00:00Z","boot":"first","leases":[` +
		`{"ip":"192.0.2.1","port":22,"action":"accept"},` +
		`{"ip":"192.0.2.1","port":53,"action":"accept","proto":"udp"},` +
		`{"ip":"192.0.2.2","port":2222,"action":"forward","to":"10.0.0.5:22"},` +
		`{"ip":"192.0.2.2","port":2222,"action":"forward","proto":"udp","to":"10.0.0.5:22"}]}` + "\n"
)

// sum puts the head of a journal in front of its body.
func sum(body []byte) []byte {
	return append(fmt.Appendf(nil, "knockdaemon-journal 1 %x\n", sha256.Sum256(body)), body...)
}

func TestJournalIsRead(t *testing.T) {
	t.Parallel()
	udp := inner
	udp.Proto = firewall.UDP
	tests := map[string]struct {
		journal string
		want    []firewall.Rule
	}{
		"of a version before UDP": {oldJournal, []firewall.Rule{one, banOf(ip2)}},
		"with all there is":       {newJournal, []firewall.Rule{one, dns, inner, udp}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := t.TempDir() + "/leases"
			if err := os.WriteFile(path, []byte(tt.journal), 0o600); err != nil {
				t.Fatal(err)
			}
			r, _, err := fileOf(path).Load()
			if err != nil {
				t.Fatal(err)
			}
			var got []firewall.Rule
			for _, s := range r.Leases {
				rule, silent := s.rule()
				again := savedOf(rule, silent, By{s.By, s.From})
				again.Until, again.End, again.Left = s.Until, s.End, s.Left
				if again != s {
					t.Errorf("written again: got %+v, want %+v", again, s)
				}
				got = append(got, rule)
			}
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b firewall.Rule) bool { return a == b })); diff != "" {
				t.Errorf("rules (-want +got):\n%s", diff)
			}
			if err := fileOf(path).Write(r); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.journal, string(b)); diff != "" {
				t.Errorf("the journal written again (-want +got):\n%s", diff)
			}
		})
	}
}

// TestJournalRefusesNonsense has journals under the right sum that no Manager writes.
func TestJournalRefusesNonsense(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ lease, want string }{
		"no address":      {`"port":22,"action":"accept"`, `address "invalid IP" is not an IPv4 address`},
		"another action":  {`"ip":"192.0.2.1","port":22,"action":"reject"`, `"reject" is no action`},
		"tcp by name":     {`"ip":"192.0.2.1","port":22,"action":"accept","proto":"tcp"`, `"tcp" is no protocol`},
		"ban of a port":   {`"ip":"192.0.2.1","port":22,"action":"drop","until":"2026-11-21T12:01:00Z","end_ns":1,"left_ns":1`, "a rule that drops has no port, yet port 22 is given"},
		"ban of UDP":      {`"ip":"192.0.2.1","proto":"udp","action":"ignore","until":"2026-11-21T12:01:00Z","end_ns":1,"left_ns":1`, "a rule that drops has no protocol, yet udp is given"},
		"ban for ever":    {`"ip":"192.0.2.1","action":"drop"`, "a ban of 192.0.2.1 has no end"},
		"accept to":       {`"ip":"192.0.2.1","port":22,"action":"accept","to":"10.0.0.5:22"`, `a rule that does not forward leads nowhere, yet "10.0.0.5:22" is given`},
		"forward nowhere": {`"ip":"192.0.2.1","port":22,"action":"forward"`, `"invalid AddrPort" is not an IPv4 address with a port`},
		"forward to IPv6": {`"ip":"192.0.2.1","port":22,"action":"forward","to":"[2001:db8::1]:22"`, `"[2001:db8::1]:22" is not an IPv4 address with a port`},
		"no port of it":   {`"ip":"192.0.2.1","port":22,"action":"forward","to":"10.0.0.5"`, `it cannot be read: `},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := fileOf("").Decode(sum([]byte(`{"saved":"2026-11-21T12:00:00Z","boot":"first","leases":[{` + tt.lease + "}]}\n")))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got error %v, want %q", err, tt.want)
			}
		})
	}
}
