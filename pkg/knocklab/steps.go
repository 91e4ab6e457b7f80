package knocklab

import (
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/portknock/knock/pkg/cryptcbc"
	"github.com/portknock/knock/pkg/knock"
)

// part is one byte of a payload.
type part struct {
	Name  string `json:"name"`
	Value int    `json:"value"`
	Means string `json:"means"`
}

// parts gives the bytes of b, a payload with whatever checksum, with their meanings.
func parts(b []byte) []part {
	p := knock.Payload{Port: b[4], Time: b[5]}
	minutes := fmt.Sprintf("for %d minutes", p.Time)
	switch p.Time {
	case knock.Forever:
		minutes = "open without a time limit"
	case knock.Close:
		minutes = "close the port"
	case 1:
		minutes = "for one minute"
	}
	means := []string{
		"first byte of the address", "second byte", "third byte", "last byte of the address",
		fmt.Sprintf("TCP port %d", p.Port), minutes, "the sum of the others, modulo 255",
	}
	names := []string{"IP 1", "IP 2", "IP 3", "IP 4", "PORT", "TIME", "CHECKSUM"}
	all := make([]part, len(names))
	for i, name := range names {
		all[i] = part{name, int(b[i]), means[i]}
	}
	return all
}

// sum is how a payload's checksum is counted.
type sum struct {
	Total  int `json:"total"`  // of the first six bytes
	Modulo int `json:"modulo"` // 255, what the total is divided by
	Rest   int `json:"rest"`   // what the checksum should be
	Found  int `json:"found"`  // what it is
}

func sumOf(b []byte) sum {
	s := sum{Modulo: 255, Found: int(b[6])}
	for _, v := range b[:6] {
		s.Total += int(v)
	}
	s.Rest = s.Total % s.Modulo
	return s
}

// key is how a key is made of a passphrase.
type key struct {
	Cipher string  `json:"cipher"`
	Size   int     `json:"size"` // bytes of the last round's end that the cipher takes
	Rounds []round `json:"rounds"`
	Hex    string  `json:"hex"` // the key itself
}

type round struct {
	Of     string `json:"of"`     // what is digested
	Digest string `json:"digest"` // 16 bytes, hexadecimal
}

// keyOf tells how the key of o is made; nil if its cipher has none.
func keyOf(o knock.Options) *key {
	size, ok := map[knock.Cipher]int{knock.CipherBlowfish: cryptcbc.KeySize, knock.CipherDES: 8, knock.CipherRijndael: 32}[o.Cipher]
	if !ok {
		return nil
	}
	k := &key{Cipher: string(o.Cipher), Size: size}
	for i, digest := range cryptcbc.KeyRounds(o.Passphrase) {
		of := fmt.Sprintf("the passphrase, %d bytes", len(o.Passphrase))
		if len(o.Passphrase) == 1 {
			of = "the passphrase, 1 byte"
		}
		if i > 0 {
			of = fmt.Sprintf("the %d bytes so far", i*len(digest))
		}
		k.Rounds = append(k.Rounds, round{of, hex.EncodeToString(digest[:])})
	}
	full := cryptcbc.Key(o.Passphrase)
	k.Hex = hex.EncodeToString(full[:size])
	return k
}

// block is the one block of a knock on its way: Plain ⊕ Mask = Mixed, which the
// cipher makes Sealed. With the cipher none, Plain is all there is, and Sealed.
type block struct {
	Plain  []int `json:"plain"`  // the payload and its padding
	Mask   []int `json:"mask"`   // the IV, filled up with zeros
	Mixed  []int `json:"mixed"`  // what goes into the cipher
	Sealed []int `json:"sealed"` // what comes out of it
}

// blockOf takes the block sealed apart.
func blockOf(o knock.Options, iv, sealed []byte) (block, []byte, error) {
	if o.Cipher == knock.CipherNone {
		return block{Plain: ints(sealed), Sealed: ints(sealed)}, sealed, nil
	}
	newCipher, ok := map[knock.Cipher]func([]byte) (*cryptcbc.Cipher, error){
		knock.CipherBlowfish: cryptcbc.New, knock.CipherDES: cryptcbc.NewDES, knock.CipherRijndael: cryptcbc.NewRijndael,
	}[o.Cipher]
	if !ok {
		return block{}, nil, fmt.Errorf("the lab does not know the cipher %q", o.Cipher)
	}
	c, err := newCipher(o.Passphrase)
	if err != nil {
		return block{}, nil, err
	}
	mixed, err := c.DecryptBlock(sealed)
	if err != nil {
		return block{}, nil, err
	}
	mask := append(iv, zeros[:len(sealed)-len(iv)]...)
	plain := append(mixed[:0:0], mixed...)
	subtle.XORBytes(plain, mixed, mask)
	return block{Plain: ints(plain), Mask: ints(mask), Mixed: ints(mixed), Sealed: ints(sealed)}, plain, nil
}

var zeros [16]byte

// step is one knock: a try at a port.
type step struct {
	Port uint16 `json:"port"`
	Byte int    `json:"byte"`
	Kind string `json:"kind"` // header, iv or block
	Name string `json:"name"` // what the byte is
}

// stepsOf names each knock of a sequence of message, whose IV of ivLength bytes
// travels if that is not 0.
func stepsOf(message []byte, first uint16, ivLength int) []step {
	all := make([]step, len(message))
	start := 0
	if ivLength > 0 {
		start = len(cryptcbc.Header)
	}
	for i, b := range message {
		s := step{Port: first + uint16(b), Byte: int(b)}
		switch {
		case i < start:
			s.Kind, s.Name = "header", fmt.Sprintf("header, %q", cryptcbc.Header[i:i+1])
		case i < start+ivLength:
			s.Kind, s.Name = "iv", fmt.Sprintf("IV, byte %d", i-start+1)
		default:
			s.Kind, s.Name = "block", fmt.Sprintf("block, byte %d", i-start-ivLength+1)
		}
		all[i] = s
	}
	return all
}

// messageOf gives the bytes of a sequence that is known to be within its ports.
func messageOf(ports []uint16, first uint16) []byte {
	message := make([]byte, len(ports))
	for i, port := range ports {
		message[i] = byte(port - first)
	}
	return message
}

// ints makes numbers of bytes, which JSON would write in base 64.
func ints(b []byte) []int {
	all := make([]int, len(b))
	for i, v := range b {
		all[i] = int(v)
	}
	return all
}

// joined writes ports as the client prints them.
func joined(ports []uint16) string {
	return strings.Trim(fmt.Sprint(ports), "[]")
}
