package main

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The wanted packets were put together by hand, field by field.
func TestBytes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		packet packet
		want   []byte
	}{
		{"a SYN of the laptop's", packet{source: 20001, dst: 745}, []byte{
			0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1,
			0x4e, 0x21, 0x02, 0xe9, 0, 0, 0x4e, 0x21, 0, 0, 0, 0, 0x50, 0x02, 0xfa, 0xf0, 0x91, 0xc2, 0, 0,
		}},
		{"a datagram of an invented address, of odd length", packet{invented(1), 1024, 62201, "abc"}, []byte{
			0x45, 0, 0, 31, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 192, 0, 2, 1,
			0x04, 0x00, 0xf2, 0xf9, 0, 11, 0x78, 0x79, 'a', 'b', 'c',
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, tt.packet.bytes()); diff != "" {
				t.Errorf("wrong bytes (-want +got)\n%s", diff)
			}
		})
	}
}

// The example is RFC 1071's.
func TestChecksum(t *testing.T) {
	t.Parallel()
	const want = ^uint16(0xddf2)
	if got := checksum([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}); got != want {
		t.Errorf("the checksum is %#04x, want %#04x", got, want)
	}
}

func TestInvented(t *testing.T) {
	t.Parallel()
	seen := map[netip.Addr]bool{}
	for n := range 200_000 {
		seen[invented(n)] = true
	}
	if len(seen) != 200_000 {
		t.Errorf("there are %d addresses, want 200,000", len(seen))
	}
}
