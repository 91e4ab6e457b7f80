package knock

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/portknock/knock/pkg/cryptcbc"
)

// codecFor returns a Codec whose IV is given: that of 8 knocks for an empty iv,
// else one that sends iv.
func codecFor(t testing.TB, iv []byte) *Codec {
	t.Helper()
	o := Options{Passphrase: []byte("knock")}
	if len(iv) > 0 {
		o.Header, o.IV = HeaderRandomIV, iv
	}
	return newCodec(t, o)
}

// checkSealsAgain fails if c does not make these ports of p, which it opened.
func checkSealsAgain(t *testing.T, c *Codec, p Payload, ports []uint16) {
	t.Helper()
	again, err := c.Seal(p)
	if err != nil || !slices.Equal(again, ports) {
		t.Fatalf("opened %v as %v, which seals to %v, %v", ports, p, again, err)
	}
}

// Whatever the ports (data, two bytes each), Open does not panic, and what it
// accepts is what Seal makes.
func FuzzOpen(f *testing.F) {
	for _, v := range readSeed(f) {
		var data []byte
		for _, port := range v.ports {
			data = binary.BigEndian.AppendUint16(data, port)
		}
		f.Add(data, uint8(len(v.ports)-8))
	}
	f.Add([]byte{}, uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, extra uint8) {
		ports := make([]uint16, len(data)/2)
		for i := range ports {
			ports[i] = binary.BigEndian.Uint16(data[2*i:])
		}
		// The knocks beyond the ciphertext's 8 are the header's 8 and the IV.
		o := Options{Passphrase: []byte("knock")}
		if n := int(extra) - len(cryptcbc.Header); n >= 1 && n <= cryptcbc.BlockSize {
			o.Header, o.IVLength = HeaderRandomIV, n
		}
		c := newCodec(t, o)
		p, err := c.Open(ports)
		if err != nil {
			if p != (Payload{}) {
				t.Fatalf("payload %v beside error %v", p, err)
			}
			return
		}
		var iv []byte
		for i := len(cryptcbc.Header); i < len(ports)-cryptcbc.BlockSize; i++ {
			iv = append(iv, byte(ports[i]-DefaultPortMin))
		}
		checkSealsAgain(t, codecFor(t, iv), p, ports)
	})
}

// Every payload opens as itself, and a sequence with one port changed is either
// refused or another good one. (FuzzOpen rarely gets past the cipher.)
func FuzzSeal(f *testing.F) {
	f.Add([]byte{}, uint32(0x8e67cd01), uint8(22), uint8(15), uint8(7), uint8(1))
	f.Add([]byte("9137"), uint32(0x8e67cd01), uint8(22), uint8(5), uint8(9), uint8(128))
	f.Add([]byte("64999848"), uint32(0), uint8(0), uint8(Close), uint8(0), uint8(255))
	f.Fuzz(func(t *testing.T, iv []byte, ip uint32, port, time, at, flip uint8) {
		if len(iv) > cryptcbc.BlockSize {
			iv = iv[:cryptcbc.BlockSize]
		}
		c := codecFor(t, iv)
		want := Payload{IP: netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, ip))), Port: port, Time: time}
		ports, err := c.Seal(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Open(ports); err != nil || got != want {
			t.Fatalf("Open = %v, %v, want %v", got, err, want)
		}
		i := int(at) % len(ports)
		ports[i] = DefaultPortMin + ((ports[i] - DefaultPortMin) ^ uint16(flip))
		if got, err := c.Open(ports); err == nil {
			changed := slices.Clone(iv)
			for j := range iv {
				changed[j] = byte(ports[8+j] - DefaultPortMin)
			}
			checkSealsAgain(t, codecFor(t, changed), got, ports)
		}
	})
}

// What any other cipher's Open accepts is what its Seal makes, and nothing panics.
func FuzzOpenOthers(f *testing.F) {
	codecs := []*Codec{
		newCodec(f, Options{Passphrase: []byte("knock"), Cipher: CipherDES}),
		newCodec(f, Options{Passphrase: []byte("knock"), Cipher: CipherRijndael}),
		newClear(f),
	}
	for i, c := range codecs {
		ports, err := c.Seal(publishedPayload)
		if err != nil {
			f.Fatal(err)
		}
		var message []byte
		for _, port := range ports {
			message = append(message, byte(port-DefaultPortMin))
		}
		f.Add(uint8(i), message)
	}
	f.Fuzz(func(t *testing.T, which uint8, message []byte) {
		c := codecs[int(which)%len(codecs)]
		var ports []uint16
		for _, b := range message {
			ports = append(ports, DefaultPortMin+uint16(b))
		}
		p, err := c.Open(ports)
		if err == nil {
			checkSealsAgain(t, c, p, ports)
		} else if p != (Payload{}) {
			t.Fatalf("payload %v beside error %v", p, err)
		}
	})
}
