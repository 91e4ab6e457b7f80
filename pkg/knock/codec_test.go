package knock

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/cryptcbc"
)

// The first of the published sequences: passphrase "knock", all else default.
var (
	published        = []uint16{966, 914, 795, 964, 831, 862, 807, 932}
	publishedPayload = Payload{IP: netip.MustParseAddr("142.103.205.1"), Port: 22, Time: 15}
)

func newPlain(t testing.TB) *Codec { return newCodec(t, Options{Passphrase: []byte("knock")}) }

func newSent(t testing.TB) *Codec {
	return newCodec(t, Options{Passphrase: []byte("knock"), Header: HeaderRandomIV})
}

// forge returns the knocks of a plaintext that Seal would not make, under the
// agreement of newPlain. A plaintext of 8 bytes brings its own padding.
func forge(t testing.TB, plaintext ...byte) []uint16 {
	t.Helper()
	cipher, err := cryptcbc.New([]byte("knock"))
	if err != nil {
		t.Fatal(err)
	}
	ciphertext, err := cipher.Encrypt([]byte(DefaultIV), plaintext)
	if err != nil {
		t.Fatal(err)
	}
	ports := make([]uint16, cryptcbc.BlockSize)
	for i := range ports {
		ports[i] = DefaultPortMin + uint16(ciphertext[i])
	}
	return ports
}

// with returns a copy of ports in which knock i, from 0, goes elsewhere.
func with(ports []uint16, i int, port uint16) []uint16 {
	ports = slices.Clone(ports)
	ports[i] = port
	return ports
}

func TestOpenRefusals(t *testing.T) {
	t.Parallel()
	plain, sent := newPlain(t), newSent(t)
	high := newCodec(t, Options{Passphrase: []byte("knock"), PortMin: 65280})
	sealed, err := sent.Seal(publishedPayload)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		codec *Codec
		ports []uint16
		want  error
		text  string // with the bare errors, their own
	}{
		"nothing":                 {plain, nil, ErrLength, "wrong number of knocks: got 0, want 8"},
		"7 knocks":                {plain, published[:7], ErrLength, "wrong number of knocks: got 7, want 8"},
		"9 knocks":                {plain, append(slices.Clone(published), 745), ErrLength, "wrong number of knocks: got 9, want 8"},
		"8 knocks with header":    {sent, published, ErrLength, "wrong number of knocks: got 8, want 24"},
		"25 knocks":               {sent, append(slices.Clone(sealed), 745), ErrLength, "wrong number of knocks: got 25, want 24"},
		"port below":              {plain, with(published, 2, 744), ErrPort, "port is not one of the knock ports: knock 3 goes to port 744, want 745 to 1000"},
		"port above":              {plain, with(published, 7, 1001), ErrPort, "port is not one of the knock ports: knock 8 goes to port 1001, want 745 to 1000"},
		"port 0":                  {plain, with(published, 0, 0), ErrPort, "port is not one of the knock ports: knock 1 goes to port 0, want 745 to 1000"},
		"port 65535":              {plain, with(published, 0, 65535), ErrPort, "port is not one of the knock ports: knock 1 goes to port 65535, want 745 to 1000"},
		"port 0, high port-min":   {high, make([]uint16, 8), ErrPort, "port is not one of the knock ports: knock 1 goes to port 0, want 65280 to 65535"},
		"port above in header":    {sent, with(sealed, 3, 1001), ErrPort, "port is not one of the knock ports: knock 4 goes to port 1001, want 745 to 1000"},
		"port below in IV":        {sent, with(sealed, 8, 744), ErrPort, "port is not one of the knock ports: knock 9 goes to port 744, want 745 to 1000"},
		"header, first byte":      {sent, with(sealed, 0, 745), ErrHeader, ErrHeader.Error()},
		"header, last byte":       {sent, with(sealed, 7, 745), ErrHeader, ErrHeader.Error()},
		"header before late port": {sent, with(with(sealed, 0, 745), 23, 1), ErrHeader, ErrHeader.Error()},
		"padding of zero":         {plain, forge(t, 142, 103, 205, 1, 22, 15, 233, 0), ErrPadding, ErrPadding.Error()},
		"padding of 255":          {plain, forge(t, 142, 103, 205, 1, 22, 15, 233, 255), ErrPadding, ErrPadding.Error()},
		"padding of 9":            {plain, forge(t, 9, 9, 9, 9, 9, 9, 9, 9), ErrPadding, ErrPadding.Error()},
		"padding of 2, once":      {plain, forge(t, 142, 103, 205, 1, 22, 15, 233, 2), ErrPadding, ErrPadding.Error()},
		"payload of 6":            {plain, forge(t, 142, 103, 205, 1, 22, 15), ErrPayload, ErrPayload.Error()},
		"payload of 1":            {plain, forge(t, 142), ErrPayload, ErrPayload.Error()},
		"payload of 0":            {plain, forge(t), ErrPayload, ErrPayload.Error()},
		"checksum one up":         {plain, forge(t, 142, 103, 205, 1, 22, 15, 234), ErrChecksum, ErrChecksum.Error()},
		"checksum modulo 256":     {plain, forge(t, 142, 103, 205, 1, 22, 15, 232), ErrChecksum, ErrChecksum.Error()},
		"checksum 255 for 0":      {plain, forge(t, 0, 0, 0, 0, 0, 255, 255), ErrChecksum, ErrChecksum.Error()},
		"IV flips an address bit": {sent, with(sealed, 8, 745+((sealed[8]-745)^1)), ErrChecksum, ErrChecksum.Error()},
		"IV flips the padding":    {sent, with(sealed, 15, 745+((sealed[15]-745)^1)), ErrPadding, ErrPadding.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := test.codec.Open(test.ports)
			if !errors.Is(err, test.want) {
				t.Fatalf("Open = %v, %v, want error %v", got, err, test.want)
			}
			if got != (Payload{}) {
				t.Errorf("payload %v beside the error, want none", got)
			}
			if diff := cmp.Diff(test.text, err.Error()); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSealRefusals(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ ip, want string }{
		"no address":  {"", `failed to seal address "invalid IP": wrong payload, want 7 bytes with an IPv4 address`},
		"IPv6":        {"2001:db8::1", `failed to seal address "2001:db8::1": wrong payload, want 7 bytes with an IPv4 address`},
		"mapped IPv4": {"::ffff:192.0.2.1", `failed to seal address "::ffff:192.0.2.1": wrong payload, want 7 bytes with an IPv4 address`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p Payload
			if test.ip != "" {
				p.IP = netip.MustParseAddr(test.ip)
			}
			ports, err := newPlain(t).Seal(p)
			if !errors.Is(err, ErrPayload) || ports != nil {
				t.Fatalf("Seal = %v, %v, want error %v", ports, err, ErrPayload)
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// Each length of IV, given and drawn, with and without the lowest port moved.
func TestHeaderIVLengths(t *testing.T) {
	t.Parallel()
	for n := 1; n <= cryptcbc.BlockSize; n++ {
		for _, portMin := range []uint16{0, 1, 65280} {
			given := newCodec(t, Options{Passphrase: []byte("knock"), Header: HeaderRandomIV, IV: iv(n), PortMin: portMin})
			drawn := newCodec(t, Options{Passphrase: []byte("knock"), Header: HeaderRandomIV, IVLength: n, PortMin: portMin})
			for _, c := range []*Codec{given, drawn} {
				ports, err := c.Seal(publishedPayload)
				if err != nil {
					t.Fatal(err)
				}
				if len(ports) != 16+n || c.Len() != 16+n {
					t.Errorf("IV of %d: %d knocks, Len %d, want %d", n, len(ports), c.Len(), 16+n)
				}
				checkOpens(t, given, ports, publishedPayload)
				checkOpens(t, drawn, ports, publishedPayload)
			}
		}
	}
}

// Without a given IV each knock has its own, and never that of another codec.
func TestSealDrawsIVs(t *testing.T) {
	t.Parallel()
	seen := map[[8]uint16]bool{}
	for range 4 {
		c := newSent(t)
		for range 25 {
			ports, err := c.Seal(publishedPayload)
			if err != nil {
				t.Fatal(err)
			}
			seen[[8]uint16(ports[8:16])] = true
		}
	}
	if len(seen) != 100 {
		t.Errorf("%d different IVs in 100 knocks, want 100", len(seen))
	}
}

// Run with -race: the codec has no state to spoil.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	c := newSent(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				want := Payload{IP: netip.AddrFrom4([4]byte{10, 0, byte(i), byte(j)}), Port: byte(i), Time: byte(j)}
				ports, err := c.Seal(want)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := c.Open(ports); err != nil || got != want {
					t.Errorf("Open = %v, %v, want %v", got, err, want)
				}
			}
		})
	}
	wg.Wait()
}
