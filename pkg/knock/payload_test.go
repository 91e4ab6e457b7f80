package knock

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPayload(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ip         string
		port, time uint8
		checksum   uint8
		words      string
	}{
		"minutes":       {"142.103.205.1", 22, 15, 233, "open 142.103.205.1 port 22 for 15 min"},
		"one minute":    {"10.0.0.1", 80, 1, 92, "open 10.0.0.1 port 80 for 1 min"},
		"longest":       {"10.0.0.1", 80, 254, 90, "open 10.0.0.1 port 80 for 254 min"},
		"no limit":      {"142.103.205.1", 22, Forever, 218, "open 142.103.205.1 port 22 without time limit"},
		"close":         {"142.103.205.1", 22, Close, 218, "close 142.103.205.1 port 22"},
		"all zero":      {"0.0.0.0", 0, 0, 0, "open 0.0.0.0 port 0 without time limit"},
		"sum 254":       {"254.0.0.0", 0, 0, 254, "open 254.0.0.0 port 0 without time limit"},
		"sum 255":       {"255.0.0.0", 0, 0, 0, "open 255.0.0.0 port 0 without time limit"},
		"sum 256":       {"255.1.0.0", 0, 0, 1, "open 255.1.0.0 port 0 without time limit"},
		"all 255":       {"255.255.255.255", 255, Close, 0, "close 255.255.255.255 port 255"},
		"no IPv4, IPv6": {"2001:db8::1", 22, 15, 37, "open 2001:db8::1 port 22 for 15 min"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Payload{IP: netip.MustParseAddr(test.ip), Port: test.port, Time: test.time}
			if got := p.Checksum(); got != test.checksum {
				t.Errorf("checksum %d, want %d", got, test.checksum)
			}
			if diff := cmp.Diff(test.words, p.String()); diff != "" {
				t.Errorf("words (-want +got):\n%s", diff)
			}
		})
	}
}

// The zero value has no address, and says so without a panic.
func TestZeroPayload(t *testing.T) {
	t.Parallel()
	var p Payload
	if diff := cmp.Diff("open invalid IP port 0 without time limit", p.String()); diff != "" {
		t.Errorf("words (-want +got):\n%s", diff)
	}
	if got := p.Checksum(); got != 0 {
		t.Errorf("checksum %d, want 0", got)
	}
}

func TestPayloadBytes(t *testing.T) {
	t.Parallel()
	b, err := publishedPayload.Bytes()
	if diff := cmp.Diff([7]byte{142, 103, 205, 1, 22, 15, 233}, b); err != nil || diff != "" {
		t.Errorf("error %v, bytes (-want +got):\n%s", err, diff)
	}
	if p, err := ParsePayload(b[:]); err != nil || p != publishedPayload {
		t.Errorf("ParsePayload = %v, %v, want %v", p, err, publishedPayload)
	}
	for _, ip := range []string{"2001:db8::1", "::ffff:192.0.2.1"} {
		if b, err := (Payload{IP: netip.MustParseAddr(ip)}).Bytes(); err != ErrPayload || b != [7]byte{} {
			t.Errorf("%s: %v, %v, want error %v", ip, b, err, ErrPayload)
		}
	}
	if _, err := (Payload{}).Bytes(); err != ErrPayload {
		t.Errorf("no address: %v, want %v", err, ErrPayload)
	}
}

func TestParsePayloadRefusals(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		bytes []byte
		want  error
	}{
		"nothing":        {nil, ErrPayload},
		"six bytes":      {[]byte{142, 103, 205, 1, 22, 15}, ErrPayload},
		"eight bytes":    {[]byte{142, 103, 205, 1, 22, 15, 233, 1}, ErrPayload},
		"checksum":       {[]byte{142, 103, 205, 1, 22, 15, 232}, ErrChecksum},
		"255 in place 0": {[]byte{0, 0, 0, 0, 0, 0, 255}, ErrChecksum},
	} {
		if p, err := ParsePayload(test.bytes); err != test.want || p != (Payload{}) {
			t.Errorf("%s: %v, %v, want error %v", name, p, err, test.want)
		}
	}
}

// Every payload of 7 bytes that is read is written the same.
func FuzzParsePayload(f *testing.F) {
	f.Add([]byte{142, 103, 205, 1, 22, 15, 233})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePayload(b)
		if err != nil {
			return
		}
		if again, err := p.Bytes(); err != nil || string(again[:]) != string(b) {
			t.Fatalf("%v is read as %v and written as %v, %v", b, p, again, err)
		}
	})
}
