package knock

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/cryptcbc"
)

// The block is what the cipher makes of the payload, in every form of a sequence.
func TestBlock(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"fixed IV":                   {},
		"fixed IV, another":          {IV: []byte("abcdefgh")},
		"fixed IV, lowest ports":     {PortMin: 1},
		"fixed IV, highest ports":    {PortMin: MaxPortMin},
		"sent IV of 8":               {Header: HeaderRandomIV, IV: []byte("91378264")},
		"sent IV of 8, lowest ports": {Header: HeaderRandomIV, IV: []byte("91378264"), PortMin: 1},
		"sent IV of 8, highest":      {Header: HeaderRandomIV, IV: []byte("91378264"), PortMin: MaxPortMin},
		"sent IV of 4":               {Header: HeaderRandomIV, IV: []byte("9137")},
		"sent IV of 1":               {Header: HeaderRandomIV, IV: []byte("9")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Passphrase = []byte("knock")
			c := newCodec(t, o)
			ports, err := c.Seal(publishedPayload)
			if err != nil {
				t.Fatal(err)
			}
			cipher, err := cryptcbc.New(o.Passphrase)
			if err != nil {
				t.Fatal(err)
			}
			iv := o.IV
			if len(iv) == 0 {
				iv = []byte(DefaultIV)
			}
			want, err := cipher.Encrypt(iv, []byte{142, 103, 205, 1, 22, 15, 233})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([8]byte(want), c.Block(ports)); diff != "" {
				t.Errorf("block (-want +got):\n%s", diff)
			}
		})
	}
}

// The first published sequence, by hand: each port less 745.
func TestBlockOfThePublishedSequence(t *testing.T) {
	t.Parallel()
	want := [8]byte{221, 169, 50, 219, 86, 117, 62, 187}
	if diff := cmp.Diff(want, newPlain(t).Block(published)); diff != "" {
		t.Errorf("block (-want +got):\n%s", diff)
	}
}
