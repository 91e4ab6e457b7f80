package knock

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// iv returns an IV of n bytes.
func iv(n int) []byte { return []byte("0123456789abcdefg")[:n] }

func TestNewRefusals(t *testing.T) {
	t.Parallel()
	key := []byte("knock")
	for name, test := range map[string]struct {
		options Options
		want    string
	}{
		"no passphrase":               {Options{}, "failed to make the cipher: passphrase is empty, want at least 1 byte"},
		"empty passphrase":            {Options{Passphrase: []byte{}}, "failed to make the cipher: passphrase is empty, want at least 1 byte"},
		"unknown header":              {Options{Passphrase: key, Header: "salt"}, `header "salt" is unknown, want "none" or "randomiv"`},
		"header in capitals":          {Options{Passphrase: key, Header: "RandomIV"}, `header "RandomIV" is unknown, want "none" or "randomiv"`},
		"none, IV of 4":               {Options{Passphrase: key, IV: iv(4)}, `IV is 4 bytes, want exactly 8 with header "none"`},
		"none, IV of 9":               {Options{Passphrase: key, Header: HeaderNone, IV: iv(9)}, `IV is 9 bytes, want exactly 8 with header "none"`},
		"none, IV length 4":           {Options{Passphrase: key, IVLength: 4}, `IV length is 4, want 8 (or nothing) with header "none"`},
		"randomiv, IV of 9":           {Options{Passphrase: key, Header: HeaderRandomIV, IV: iv(9)}, `IV is 9 bytes, want 1 to 8 with header "randomiv"`},
		"randomiv, IV length 9":       {Options{Passphrase: key, Header: HeaderRandomIV, IVLength: 9}, "IV length is 9, want 1 to 8"},
		"randomiv, IV length -1":      {Options{Passphrase: key, Header: HeaderRandomIV, IVLength: -1}, "IV length is -1, want 1 to 8"},
		"randomiv, IV of 4, length 8": {Options{Passphrase: key, Header: HeaderRandomIV, IV: iv(4), IVLength: 8}, "IV is 4 bytes but the IV length is 8, want them equal"},
		"unknown cipher":              {Options{Passphrase: key, Cipher: "ROT13"}, `cipher "ROT13" is unknown, want "Blowfish", "DES", "Rijndael" or "none"`},
		"DES, IV of 16":               {Options{Passphrase: key, Cipher: CipherDES, IV: iv(16)}, `IV is 16 bytes, want exactly 8 with header "none"`},
		"DES, empty passphrase":       {Options{Cipher: CipherDES}, "failed to make the cipher: passphrase is empty, want at least 1 byte"},
		"Rijndael, IV of 8":           {Options{Passphrase: key, Cipher: CipherRijndael, IV: iv(8)}, `IV is 8 bytes, want exactly 16 with cipher "Rijndael" and header "none"`},
		"Rijndael, IV of 17":          {Options{Passphrase: key, Cipher: CipherRijndael, IV: iv(17)}, `IV is 17 bytes, want exactly 16 with cipher "Rijndael" and header "none"`},
		"Rijndael, IV length 8":       {Options{Passphrase: key, Cipher: CipherRijndael, IVLength: 8}, `IV length is 8, want 16 (or nothing) with cipher "Rijndael" and header "none"`},
		"Rijndael, randomiv":          {Options{Passphrase: key, Cipher: CipherRijndael, Header: HeaderRandomIV}, `header is "randomiv", want "none" with cipher "Rijndael": Crypt::CBC makes no such message of blocks of 16 bytes`},
		"Rijndael, empty passphrase":  {Options{Cipher: CipherRijndael}, "failed to make the cipher: passphrase is empty, want at least 1 byte"},
		"no cipher, a passphrase":     {Options{Passphrase: key, Cipher: CipherNone}, `a passphrase is given, and cipher "none" has none: it protects nothing`},
		"no cipher, randomiv":         {Options{Cipher: CipherNone, Header: HeaderRandomIV}, `header is "randomiv", want "none" with cipher "none": there is no IV`},
		"no cipher, an IV":            {Options{Cipher: CipherNone, IV: iv(8)}, `an IV is given, and cipher "none" has none`},
		"no cipher, IV length":        {Options{Cipher: CipherNone, IVLength: 8}, `an IV is given, and cipher "none" has none`},
		"no cipher, unknown header":   {Options{Cipher: CipherNone, Header: "salt"}, `header "salt" is unknown, want "none" or "randomiv"`},
		"port-min 65281":              {Options{Passphrase: key, PortMin: 65281}, "port-min 65281 is too high, want 1 to 65280: knocks go up to port-min + 255"},
		"port-min 65300":              {Options{Passphrase: key, PortMin: 65300}, "port-min 65300 is too high, want 1 to 65280: knocks go up to port-min + 255"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := New(test.options)
			if err == nil || c != nil {
				t.Fatalf("New = %v, %v, want an error", c, err)
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNewDefaults(t *testing.T) {
	t.Parallel()
	type shape struct {
		Len       int
		Low, High uint16
	}
	for name, test := range map[string]struct {
		options Options
		want    shape
	}{
		"zero":                      {Options{}, shape{8, 745, 1000}},
		"none, IV length 8":         {Options{Header: HeaderNone, IV: iv(8), IVLength: 8}, shape{8, 745, 1000}},
		"empty IV":                  {Options{IV: []byte{}}, shape{8, 745, 1000}},
		"randomiv":                  {Options{Header: HeaderRandomIV}, shape{24, 745, 1000}},
		"randomiv, IV of 1":         {Options{Header: HeaderRandomIV, IV: iv(1)}, shape{17, 745, 1000}},
		"randomiv, IV of 4, said":   {Options{Header: HeaderRandomIV, IV: iv(4), IVLength: 4}, shape{20, 745, 1000}},
		"randomiv, IV length 3":     {Options{Header: HeaderRandomIV, IVLength: 3}, shape{19, 745, 1000}},
		"DES":                       {Options{Cipher: CipherDES}, shape{8, 745, 1000}},
		"DES, randomiv":             {Options{Cipher: CipherDES, Header: HeaderRandomIV}, shape{24, 745, 1000}},
		"DES, randomiv, IV of 4":    {Options{Cipher: CipherDES, Header: HeaderRandomIV, IV: iv(4)}, shape{20, 745, 1000}},
		"Rijndael":                  {Options{Cipher: CipherRijndael}, shape{16, 745, 1000}},
		"Rijndael in capitals":      {Options{Cipher: "RIJNDAEL"}, shape{16, 745, 1000}},
		"Rijndael, IV, length 16":   {Options{Cipher: CipherRijndael, Header: HeaderNone, IV: iv(16), IVLength: 16}, shape{16, 745, 1000}},
		"lowest port-min":           {Options{PortMin: 1}, shape{8, 1, 256}},
		"highest port-min possible": {Options{PortMin: 65280}, shape{8, 65280, 65535}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.options.Passphrase = []byte("knock")
			c := newCodec(t, test.options)
			low, high := c.Ports()
			if diff := cmp.Diff(test.want, shape{c.Len(), low, high}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A caller that wipes its secrets after New changes nothing.
func TestNewKeepsNothing(t *testing.T) {
	t.Parallel()
	o := Options{Passphrase: []byte("knock"), IV: []byte("01234567")}
	c := newCodec(t, o)
	clear(o.Passphrase)
	clear(o.IV)
	checkOpens(t, c, published, publishedPayload)
}
