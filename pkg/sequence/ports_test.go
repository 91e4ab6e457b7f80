package sequence

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/packet"
)

func TestPorts(t *testing.T) {
	t.Parallel()
	const syn, synAck, fin = packet.SYN, packet.SYN | packet.ACK, packet.FIN
	all, ends := plain("1,65535:udp,65535"), plain("7000,7001:udp,7001")
	all.Flags = Flags{}
	finOnly := plain("7000,9000")
	finOnly.Flags = Flags{Set: fin | syn}
	for name, test := range map[string]struct {
		sections []Section
		want     []Port
	}{
		"none":     {nil, nil},
		"no steps": {[]Section{{Timeout: 1}}, nil},
		"UDP": {[]Section{plain("53:udp,55:udp")}, []Port{
			{packet.UDP, 52, 0, 0}, {packet.UDP, 53, 0, 0}, {packet.UDP, 54, 0, 0}, {packet.UDP, 55, 0, 0},
			{packet.UDP, 56, 0, 0}, {packet.UDP, 30000, 0, 0},
		}},
		"SYN": {[]Section{plain("7000,7000")}, []Port{
			{packet.TCP, 23, syn, synAck}, {packet.TCP, 111, syn, synAck}, {packet.TCP, 135, syn, synAck},
			{packet.TCP, 139, syn, synAck}, {packet.TCP, 445, syn, synAck}, {packet.TCP, 1433, syn, synAck},
			{packet.TCP, 3389, syn, synAck}, {packet.TCP, 5900, syn, synAck},
			{packet.TCP, 6999, syn, synAck}, {packet.TCP, 7000, syn, synAck}, {packet.TCP, 7001, syn, synAck},
			{packet.TCP, 30000, syn, synAck},
		}},
		"at the ends, any flags": {[]Section{all}, []Port{
			{packet.TCP, 1, 0, 0}, {packet.TCP, 2, 0, 0}, {packet.TCP, 30000, 0, 0},
			{packet.TCP, 65534, 0, 0}, {packet.TCP, 65535, 0, 0},
			{packet.UDP, 30000, 0, 0}, {packet.UDP, 65534, 0, 0}, {packet.UDP, 65535, 0, 0},
		}},
		"flags of several": {[]Section{ends, finOnly}, []Port{
			{packet.TCP, 23, syn, syn}, {packet.TCP, 111, syn, syn}, {packet.TCP, 135, syn, syn},
			{packet.TCP, 139, syn, syn}, {packet.TCP, 445, syn, syn}, {packet.TCP, 1433, syn, syn},
			{packet.TCP, 3389, syn, syn}, {packet.TCP, 5900, syn, syn},
			{packet.TCP, 6999, syn, syn}, {packet.TCP, 7000, syn, syn}, {packet.TCP, 7001, syn, syn},
			{packet.TCP, 7002, syn, synAck},
			{packet.TCP, 8999, syn | fin, syn | fin}, {packet.TCP, 9000, syn | fin, syn | fin}, {packet.TCP, 9001, syn | fin, syn | fin},
			{packet.TCP, 30000, syn, syn},
			{packet.UDP, 7000, 0, 0}, {packet.UDP, 7001, 0, 0}, {packet.UDP, 7002, 0, 0}, {packet.UDP, 30000, 0, 0},
		}},
		"dynamic, of UDP": {[]Section{func() Section { s := dynamic("1041:udp", 1040); s.Flags = Flags{}; return s }()}, []Port{
			{packet.TCP, 1040, 0, 0}, {packet.TCP, 1041, 0, 0}, {packet.TCP, 1042, 0, 0}, {packet.TCP, 1043, 0, 0},
			{packet.TCP, 1044, 0, 0}, {packet.TCP, 1045, 0, 0}, {packet.TCP, 1046, 0, 0}, {packet.TCP, 1047, 0, 0},
			{packet.TCP, 1048, 0, 0}, {packet.TCP, 1049, 0, 0}, {packet.TCP, 30000, 0, 0},
			{packet.UDP, 1040, 0, 0}, {packet.UDP, 1041, 0, 0}, {packet.UDP, 1042, 0, 0}, {packet.UDP, 30000, 0, 0},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := mustNew(t, Options{}, test.sections...)
			m.guards = []uint16{30000} // in place of what was drawn
			if diff := cmp.Diff(test.want, m.Ports()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// After Replace the ports are those of the new steps.
func TestPortsAfterReplace(t *testing.T) {
	t.Parallel()
	m := mustNew(t, Options{}, plain("7000:udp"))
	m.guards = nil
	m.Replace(0, mustParse("9000:udp"))
	want := []Port{{packet.UDP, 8999, 0, 0}, {packet.UDP, 9000, 0, 0}, {packet.UDP, 9001, 0, 0}}
	if diff := cmp.Diff(want, m.Ports()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What is drawn is new each time, above 1024, and no part of a knock.
func TestGuards(t *testing.T) {
	t.Parallel()
	var before []uint16
	for range 200 {
		m := mustNew(t, Options{MaxSources: 1}, dynamic("7000,8000:udp", 1040))
		if len(m.guards) != drawn {
			t.Fatalf("%d guards, want %d", len(m.guards), drawn)
		}
		if slices.Equal(m.guards, before) {
			t.Fatalf("the same guards twice: %d", before)
		}
		before = m.guards
		sorted := slices.Sorted(slices.Values(m.guards))
		if sorted[0] <= 1024 || len(slices.Compact(sorted)) != drawn {
			t.Fatalf("guards %d", m.guards)
		}
		for _, port := range m.guards {
			if m.isKnock(port) {
				t.Fatalf("guard %d is a knock port", port)
			}
		}
	}
	if got := drawGuards(func(port uint16) bool { return port != 40000 }); len(got) > 1 {
		t.Errorf("guards %d", got)
	}
}
