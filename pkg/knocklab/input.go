package knocklab

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/portknock/knock/pkg/knock"
)

// An Agreement is what both sides of a knock have to agree on, as it is typed. It is
// checked by what takes it.
type Agreement struct {
	Passphrase string `json:"passphrase"` // 1 to 1024 bytes; empty with the cipher none
	Cipher     string `json:"cipher"`     // Blowfish, DES, Rijndael or none; empty: Blowfish
	Header     string `json:"header"`     // none or randomiv; empty: none
	IV         string `json:"iv"`         // empty: 01234567, or with the header a fresh random one
	IVForm     string `json:"ivForm"`     // text, or hex: two digits for each byte of IV; empty: text
	First      string `json:"first"`      // the port of byte 0, 1 to 65280; empty: 745
}

// An Input is a knock to be made, as it is typed.
type Input struct {
	Agreement
	Wish
}

// A Wish is what a knock says, as it is typed.
type Wish struct {
	IP   string `json:"ip"`   // IPv4
	Port string `json:"port"` // 0 to 255
	Time string `json:"time"` // minutes, 1 to 254; 0: no limit; 255: close
}

// Faults is what is wrong with what was typed, in words for whoever typed it, by the
// JSON name of the field. It is an error if there is any.
type Faults map[string]string

// Error gives all faults, in the order of their fields' names.
func (f Faults) Error() string {
	var all []string
	for _, field := range slices.Sorted(maps.Keys(f)) {
		all = append(all, field+": "+f[field])
	}
	return strings.Join(all, "; ")
}

// err is f, or nil if nothing is wrong.
func (f Faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// take adds err, if there is one, as the fault of field.
func (f Faults) take(field string, err error) {
	if err != nil {
		f[field] = err.Error()
	}
}

// maxPassphrase is how many bytes a passphrase may have here. The commands take more.
const maxPassphrase = 1024

// options checks a, and adds to faults what is wrong with it.
func (a Agreement) options(faults Faults) knock.Options {
	o := knock.Options{Passphrase: []byte(a.Passphrase), Header: knock.HeaderNone, PortMin: knock.DefaultPortMin}
	var err error
	o.Cipher = knock.CipherBlowfish
	if a.Cipher != "" {
		o.Cipher, err = knock.ParseCipher(a.Cipher)
		faults.take("cipher", err)
	}
	faults.take("passphrase", checkPassphrase(o))
	if a.Header != "" {
		o.Header = knock.Header(a.Header)
	}
	faults.take("header", checkHeader(o))
	o.IV, err = parseIV(a.IV, a.IVForm)
	faults.take("iv", err)
	if a.First != "" {
		first, err := number(a.First, "a port with 255 more above it", 1, knock.MaxPortMin)
		faults.take("first", err)
		o.PortMin = uint16(first)
	}
	if len(faults) == 0 {
		_, err := knock.New(o)
		faults.take("iv", err) // all else has been looked at
	}
	return o
}

func checkPassphrase(o knock.Options) error {
	switch n := len(o.Passphrase); {
	case !utf8.Valid(o.Passphrase):
		return fmt.Errorf("the passphrase is not text")
	case n == 0 && o.Cipher != knock.CipherNone:
		return fmt.Errorf("type a passphrase: the key is made of it")
	case n > 0 && o.Cipher == knock.CipherNone:
		return fmt.Errorf("the cipher none has no passphrase: it would protect nothing")
	case n > maxPassphrase:
		return fmt.Errorf("the passphrase is %d bytes long: the lab takes up to %d", n, maxPassphrase)
	}
	return nil
}

func checkHeader(o knock.Options) error {
	switch {
	case o.Header != knock.HeaderNone && o.Header != knock.HeaderRandomIV:
		return fmt.Errorf("%q is no header: choose none or randomiv", o.Header)
	case o.Header == knock.HeaderRandomIV && (o.Cipher == knock.CipherRijndael || o.Cipher == knock.CipherNone):
		return fmt.Errorf("randomiv goes with Blowfish and DES only: %s has no such header", o.Cipher)
	}
	return nil
}

// parseIV gives the bytes of an IV. How many there should be depends on the rest.
func parseIV(text, form string) ([]byte, error) {
	switch form {
	case "", "text":
		return []byte(text), nil
	case "hex":
		iv, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			return nil, fmt.Errorf("%q is not hexadecimal: want two digits, 0 to f, for each byte", text)
		}
		return iv, nil
	}
	return nil, fmt.Errorf("%q is no form of an IV: choose text or hex", form)
}

// payload checks w, and adds to faults what is wrong with it, each field's name after prefix.
func (w Wish) payload(faults Faults, prefix string) (p knock.Payload) {
	var err error
	p.IP, err = parseIP(w.IP)
	faults.take(prefix+"ip", err)
	port, err := number(w.Port, "a TCP port; a knock has one byte for it", 0, 255)
	faults.take(prefix+"port", err)
	time, err := number(w.Time, "minutes, or 0 for no limit, or 255 to close", 0, 255)
	faults.take(prefix+"time", err)
	p.Port, p.Time = uint8(port), uint8(time)
	return p
}

func parseIP(text string) (netip.Addr, error) {
	text = strings.TrimSpace(text)
	ip, err := netip.ParseAddr(text)
	switch {
	case text == "":
		return ip, fmt.Errorf("type an IPv4 address, such as 192.0.2.1")
	case err != nil:
		return ip, fmt.Errorf("%q is not an IPv4 address: want four numbers, 0 to 255, with dots between", text)
	case !ip.Is4():
		return ip, fmt.Errorf("%s is not an IPv4 address, and a knock carries no other", ip)
	}
	return ip, nil
}

// number takes a decimal number, low to high; what says what it counts.
func number(text, what string, low, high int) (int, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0, fmt.Errorf("type a number from %d to %d: %s", low, high, what)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil && strings.Trim(text, "0123456789") != "" {
		return 0, fmt.Errorf("%q is not a whole number: want %s, %d to %d", text, what, low, high)
	}
	if err != nil || int(n) < low || int(n) > high {
		return 0, fmt.Errorf("%s is out of range: want %s, %d to %d", text, what, low, high)
	}
	return int(n), nil
}
