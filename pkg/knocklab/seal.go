package knocklab

import (
	"fmt"

	"github.com/portknock/knock/pkg/cryptcbc"
	"github.com/portknock/knock/pkg/knock"
)

// A Trace is how a knock is made, step by step.
type Trace struct {
	Says     string   `json:"says"`    // the payload in words
	Payload  []part   `json:"payload"` // 7 bytes
	Sum      sum      `json:"sum"`
	Padding  []int    `json:"padding"`
	Key      *key     `json:"key"`   // nil with the cipher none
	IV       []int    `json:"iv"`    // empty with the cipher none
	Drawn    bool     `json:"drawn"` // the IV is a fresh random one
	Block    block    `json:"block"`
	Steps    []step   `json:"steps"` // the tries, in order
	Ports    []uint16 `json:"ports"` // where they go
	Sequence string   `json:"sequence"`
	First    uint16   `json:"first"`   // the port of byte 0
	Last     uint16   `json:"last"`    // the port of byte 255
	Command  string   `json:"command"` // a shell command that prints the same ports
	Notes    []string `json:"notes"`   // about the command
}

// Seal makes the knock that in asks for and tells how. What is wrong with in is
// [Faults]. Without an IV, the header randomiv draws a fresh one each time.
func Seal(in Input) (Trace, error) {
	faults := Faults{}
	o := in.options(faults)
	payload := in.payload(faults, "")
	if err := faults.err(); err != nil {
		return Trace{}, err
	}
	codec, err := knock.New(o)
	if err != nil {
		return Trace{}, err
	}
	ports, err := codec.Seal(payload)
	if err != nil {
		return Trace{}, err
	}
	bytes, err := payload.Bytes()
	if err != nil {
		return Trace{}, err
	}
	iv, sent, sealed := split(o, messageOf(ports, o.PortMin))
	block, plain, err := blockOf(o, iv, sealed)
	if err != nil {
		return Trace{}, err
	}
	t := Trace{
		Says: payload.String(), Payload: parts(bytes[:]), Sum: sumOf(bytes[:]), Padding: ints(plain[len(bytes):]),
		Key: keyOf(o), IV: ints(iv), Drawn: sent > 0 && len(o.IV) == 0, Block: block,
		Steps: stepsOf(messageOf(ports, o.PortMin), o.PortMin, sent),
		Ports: ports, Sequence: joined(ports), First: o.PortMin, Last: o.PortMin + 255,
	}
	t.Command, t.Notes = commandOf(payload, o, iv, t.Drawn)
	return t, nil
}

// split gives the IV of a message of o, how much of it travels, and the one block.
func split(o knock.Options, message []byte) (iv []byte, sent int, sealed []byte) {
	switch {
	case o.Cipher == knock.CipherNone:
		return nil, 0, message
	case o.Header == knock.HeaderRandomIV:
		body := message[len(cryptcbc.Header):]
		sent = len(body) - cryptcbc.BlockSize
		return body[:sent:sent], sent, body[sent:]
	case len(o.IV) > 0:
		return o.IV[:len(o.IV):len(o.IV)], 0, message
	}
	return []byte((knock.DefaultIV + knock.DefaultIV)[:len(message)]), 0, message
}

// commandOf gives the knockclient command that prints the same ports, and what there
// is to say about it.
func commandOf(p knock.Payload, o knock.Options, iv []byte, drawn bool) (command string, notes []string) {
	command = fmt.Sprintf("knockclient -ip %s -port %d -time %d", p.IP, p.Port, p.Time)
	if o.Cipher == knock.CipherNone {
		notes = append(notes, "The cipher none needs no key: anybody can make this knock.")
	} else {
		command += " -key-file knock.key"
		notes = append(notes, "Put the passphrase into the file knock.key, for your eyes only (mode 0600). "+
			"On a command line, others could read it in the list of processes.")
	}
	if o.Cipher != knock.CipherBlowfish {
		command += " -cipher " + string(o.Cipher)
	}
	if o.Header != knock.HeaderNone {
		command += " -header " + string(o.Header)
	}
	if drawn || len(o.IV) > 0 {
		word, ok := quote(iv)
		if ok {
			command += " -iv=" + word
		} else {
			notes = append(notes, "This IV has a zero byte, which no command line can carry: the ports will be others.")
		}
	}
	if o.Header == knock.HeaderRandomIV {
		notes = append(notes, "To knock for real, leave out -iv: each knock then draws a fresh one.")
	}
	if o.PortMin != knock.DefaultPortMin {
		command += fmt.Sprintf(" -port-min %d", o.PortMin)
	}
	return command + " -test", append(notes, "With -test nothing is sent: it prints the ports.")
}

// quote makes one word of b for a shell; false if there is none. What cannot be
// printed is written as bash, zsh and ksh take it.
func quote(b []byte) (string, bool) {
	plain, printable := true, true
	for _, c := range b {
		switch {
		case c == 0:
			return "", false
		case c < ' ' || c > '~':
			printable = false
		case (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z'):
			plain = false
		}
	}
	switch {
	case !printable:
		word := "$'"
		for _, c := range b {
			word += fmt.Sprintf(`\x%02x`, c)
		}
		return word + "'", true
	case plain:
		return string(b), true
	}
	word := "'"
	for _, c := range b {
		if c == '\'' {
			word += `'\''`
		} else {
			word += string(rune(c))
		}
	}
	return word + "'", true
}
