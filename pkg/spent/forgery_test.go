package spent_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/spent"
)

const passphrase = "correct horse battery staple"

var (
	asked = knock.Payload{IP: netip.MustParseAddr("192.0.2.1"), Port: 22, Time: 15}
	wants = knock.Payload{IP: netip.MustParseAddr("198.51.100.9"), Port: 22, Time: 254}
)

func newCodec(t *testing.T, header knock.Header) *knock.Codec {
	t.Helper()
	c, err := knock.New(knock.Options{Passphrase: []byte(passphrase), Header: header})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// plain gives the block of plain text that a payload is, padding and all: the format is public.
func plain(p knock.Payload) [8]byte {
	ip := p.IP.As4()
	sum := int(ip[0]) + int(ip[1]) + int(ip[2]) + int(ip[3]) + int(p.Port) + int(p.Time)
	return [8]byte{ip[0], ip[1], ip[2], ip[3], p.Port, p.Time, byte(sum % 255), 1}
}

// forge makes a knock with a header that says to, of the last 8 ports of another, the IV of that one and a guess at
// what it said. No key is needed.
func forge(ports []uint16, iv []byte, guess, to knock.Payload) []uint16 {
	var forged []uint16
	for _, b := range []byte("RandomIV") {
		forged = append(forged, knock.DefaultPortMin+uint16(b))
	}
	was, is := plain(guess), plain(to)
	for i, b := range iv {
		forged = append(forged, knock.DefaultPortMin+uint16(b^was[i]^is[i]))
	}
	return append(forged, ports[len(ports)-8:]...)
}

// ivOf gives the IV that a knock with a header carries.
func ivOf(ports []uint16) []byte {
	var iv []byte
	for _, port := range ports[8:16] {
		iv = append(iv, byte(port-knock.DefaultPortMin))
	}
	return iv
}

// Whoever sees one knock and guesses what it says can say anything else with it: the codec believes him, and only the
// book does not.
func TestForgery(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		seen knock.Header
		iv   func(ports []uint16) []byte
	}{
		"of a knock with a header": {knock.HeaderRandomIV, ivOf},
		"of a knock without":       {knock.HeaderNone, func([]uint16) []byte { return []byte(knock.DefaultIV) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			book, err := spent.Open(t.TempDir(), passphrase, spent.Options{Max: 10})
			if err != nil {
				t.Fatal(err)
			}
			defer book.Close()
			client, daemon := newCodec(t, test.seen), newCodec(t, knock.HeaderRandomIV)
			ports, err := client.Seal(asked)
			if err != nil {
				t.Fatal(err)
			}
			if err := book.Use(client.Block(ports)); err != nil {
				t.Fatalf("the client's own knock: %v", err)
			}

			forged := forge(ports, test.iv(ports), asked, wants)
			if got, err := daemon.Open(forged); err != nil || got != wants {
				t.Fatalf("without the book the forgery opens as %v, %v, want %v", got, err, wants)
			}
			if err := book.Use(daemon.Block(forged)); !errors.Is(err, spent.ErrSpent) {
				t.Errorf("with the book: %v, want %v", err, spent.ErrSpent)
			}
		})
	}
}

// The client's next knock, for the same, is another block and passes.
func TestKnockAgain(t *testing.T) {
	t.Parallel()
	book, err := spent.Open(t.TempDir(), passphrase, spent.Options{Max: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	c := newCodec(t, knock.HeaderRandomIV)
	for range 20 {
		ports, err := c.Seal(asked)
		if err != nil {
			t.Fatal(err)
		}
		if err := book.Use(c.Block(ports)); err != nil {
			t.Fatal(err)
		}
		if err := book.Use(c.Block(slices.Clone(ports))); !errors.Is(err, spent.ErrSpent) {
			t.Fatalf("replayed: %v, want %v", err, spent.ErrSpent)
		}
	}
}

// What the book cannot stop: the knock never arrived, the forgery does.
func TestForgeryBeforeTheKnock(t *testing.T) {
	t.Parallel()
	book, err := spent.Open(t.TempDir(), passphrase, spent.Options{Max: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	c := newCodec(t, knock.HeaderRandomIV)
	ports, err := c.Seal(asked)
	if err != nil {
		t.Fatal(err)
	}
	if err := book.Use(c.Block(forge(ports, ivOf(ports), asked, wants))); err != nil {
		t.Errorf("forgery of a knock that never arrived: %v, want none: does the README still say so?", err)
	}
	if err := book.Use(c.Block(ports)); !errors.Is(err, spent.ErrSpent) {
		t.Errorf("the knock itself, too late: %v, want %v", err, spent.ErrSpent)
	}
}
