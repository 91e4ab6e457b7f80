//go:build !race

// The race detector makes package regexp allocate.

package packet

import "testing"

func TestDecodeDoesNotAllocate(t *testing.T) {
	for name, test := range map[string]struct {
		line string
		most float64
	}{
		"noise":     {"Nov 20 20:08:33 gate sshd[9]: Invalid user kernel: DENY " + netfilterLine, 0},
		"other":     {"Nov 20 20:08:33 gate kernel: usb 1-1: new device", 0},
		"cut":       {"Nov 20 20:08:33 gate kernel: DENY IN=eth0 OUT= SRC=1.2.3.4", 0},
		"IPv4":      {"Nov 20 20:08:33 gate kernel: [ 12.000001] DENY " + netfilterLine, 0},
		"RFC 3339":  {"2026-11-20T20:08:33.602206+00:00 gate kernel: DENY " + netfilterLine, 0},
		"IPv6, UDP": {"Nov 20 20:08:33 gate kernel: DENY IN=e OUT= SRC=2001:db8::2 DST=10.0.0.1 PROTO=UDP SPT=1 DPT=2 LEN=9 ", 1},
	} {
		t.Run(name, func(t *testing.T) {
			d, line := mustDecoder(t, Options{Prefix: "DENY "}), []byte(test.line)
			got := testing.AllocsPerRun(100, func() { d.Decode(line, testNow) })
			if got > test.most {
				t.Errorf("%v allocations, want at most %v", got, test.most)
			}
		})
	}
}

// A custom format costs what package regexp costs: nothing for a line that does not match.
func TestCustomDoesNotAllocateForNoise(t *testing.T) {
	d := mustDecoder(t, Options{Regexp: `BLOCK (?P<src>[\d.]+) (?P<dpt>\d+)`})
	for line, most := range map[string]float64{netfilterLine: 0, "BLOCK 10.99.0.2 800": 1} {
		b := []byte(line)
		if got := testing.AllocsPerRun(100, func() { d.Decode(b, testNow) }); got > most {
			t.Errorf("%v allocations, want at most %v: %s", got, most, line)
		}
	}
}

// Nor does a line that is suspect, once its prefix is known: a firewall has a few.
func TestSuspectDoesNotAllocate(t *testing.T) {
	prefixes := []string{"DROP", "[UFW BLOCK]", "\xff", "REJECT"}
	var lines [][]byte
	for _, prefix := range prefixes {
		lines = append(lines, []byte("Nov 20 20:08:33 gate kernel: [ 12.000001] "+prefix+" "+netfilterLine))
	}
	for _, line := range []string{
		"Nov 20 20:08:33 gate kernel: usb 1-1: new device", "Nov 20 20:08:33 gate sshd[9]: Invalid user kernel: DENY " + netfilterLine,
		"Nov 20 20:08:33 gate kernel: DENY IN=eth0 OUT= SRC=1.2.3.4 DST=", "Nov 20 20:08:33 gate kernel: DENY SRC=1.2.3.4 ",
	} {
		lines = append(lines, []byte(line))
	}
	d := mustDecoder(t, Options{Prefix: "DENY "})
	suspects := 0
	got := testing.AllocsPerRun(100, func() {
		for _, line := range lines {
			if _, ok := d.Suspect(line, testNow); ok {
				suspects++
			}
		}
	})
	if got > 0 || suspects != 101*6 {
		t.Errorf("%v allocations for %d suspects, want none for %d", got, suspects, 101*6)
	}
}

func TestDecodeIPDoesNotAllocate(t *testing.T) {
	for name, text := range map[string]string{"IPv4": synIPv4, "IPv6": synIPv6, "cut": "45 00"} {
		b := unhex(t, text)
		if got := testing.AllocsPerRun(100, func() { DecodeIP(b) }); got > 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}
