package knocklab

import (
	"errors"
	"fmt"

	"github.com/portknock/knock/pkg/cryptcbc"
	"github.com/portknock/knock/pkg/knock"
)

// A Forgery is the exercise: make of a recorded knock, whose IV travels in clear, one
// that says something else. All but the first port and the cipher in the Agreement is
// the host's: the forger does without.
type Forgery struct {
	Agreement
	Sequence string `json:"sequence"` // the recorded knock, with the header randomiv
	Guess    Wish   `json:"guess"`    // what the forger thinks that it says
	Want     Wish   `json:"want"`     // what it should say
}

// Forged is how a knock is forged, and what a host makes of the outcome.
type Forged struct {
	Bytes    []flip   `json:"bytes"` // the payload's, and the padding
	Changed  int      `json:"changed"`
	Guess    string   `json:"guess"`
	Want     string   `json:"want"`
	Steps    []step   `json:"steps"`
	Ports    []uint16 `json:"ports"`
	Sequence string   `json:"sequence"`
	First    uint16   `json:"first"`
	Last     uint16   `json:"last"`
	Naive    Opened   `json:"naive"`   // by a host that remembers nothing
	Refused  bool     `json:"refused"` // by knockdaemon, which has seen the recorded knock
	Why      string   `json:"why"`
}

// flip is one byte of IV, and the byte of payload below it.
type flip struct {
	Name   string `json:"name"`
	Guess  int    `json:"guess"`
	Want   int    `json:"want"`
	Change int    `json:"change"` // the bits in which these differ
	Old    int    `json:"old"`    // the byte of IV; -1: the IV does not reach so far
	New    int    `json:"new"`
	Lost   bool   `json:"lost"` // there is something to change, and no IV to do it
}

// Forge changes the IV of the recorded knock so that what was guessed becomes what is
// wanted. It needs no passphrase for that, only for telling what the host makes of
// it. What is wrong with in is [Faults]; those of Guess and Want are told with
// "guess." and "want." before the field.
func Forge(in Forgery) (Forged, error) {
	faults := Faults{}
	in.Header, in.IV, in.IVForm = string(knock.HeaderRandomIV), "", ""
	o := in.options(faults)
	guess, want := in.Guess.payload(faults, "guess."), in.Want.payload(faults, "want.")
	ports, err := parseSequence(in.Sequence)
	if err == nil {
		err = checkRecorded(o, ports)
	}
	faults.take("sequence", err)
	if err := faults.err(); err != nil {
		return Forged{}, err
	}
	old, err := plainOf(guess)
	if err != nil {
		return Forged{}, err
	}
	wanted, err := plainOf(want)
	if err != nil {
		return Forged{}, err
	}
	f := Forged{Guess: guess.String(), Want: want.String(), First: o.PortMin, Last: o.PortMin + 255}
	f.flipBits(messageOf(ports, o.PortMin), old, wanted)
	return f, f.judge(o, ports)
}

// checkRecorded makes sure that ports are a knock with an IV in it, as far as anybody
// can tell without the passphrase.
func checkRecorded(o knock.Options, ports []uint16) error {
	const rest = len(cryptcbc.Header) + cryptcbc.BlockSize
	if len(ports) <= rest || len(ports) > rest+cryptcbc.BlockSize {
		return fmt.Errorf("a knock that carries its IV has 17 to 24 ports, and these are %d", len(ports))
	}
	for i, port := range ports {
		if port < o.PortMin || port > o.PortMin+255 {
			return fmt.Errorf("knock %d goes to port %d, which is outside %d to %d", i+1, port, o.PortMin, o.PortMin+255)
		}
	}
	if string(messageOf(ports[:len(cryptcbc.Header)], o.PortMin)) != cryptcbc.Header {
		return fmt.Errorf("these ports do not begin with the header %q", cryptcbc.Header)
	}
	return nil
}

// plainOf gives the block that is encrypted for p.
func plainOf(p knock.Payload) ([]byte, error) {
	b, err := p.Bytes()
	return append(b[:], 1), err
}

// flipBits makes the forged sequence of message, which says old, to say wanted.
func (f *Forged) flipBits(message, old, wanted []byte) {
	start, end := len(cryptcbc.Header), len(message)-cryptcbc.BlockSize
	names := append(parts(old), part{Name: "PADDING"})
	for i := range old {
		b := flip{Name: names[i].Name, Guess: int(old[i]), Want: int(wanted[i]), Change: int(old[i] ^ wanted[i]), Old: -1, New: -1}
		if at := start + i; at < end {
			b.Old = int(message[at])
			message[at] ^= old[i] ^ wanted[i]
			b.New = int(message[at])
		} else {
			b.Lost = b.Change != 0
		}
		if b.Change != 0 && !b.Lost {
			f.Changed++
		}
		f.Bytes = append(f.Bytes, b)
	}
	f.Steps = stepsOf(message, f.First, end-start)
	for _, s := range f.Steps {
		f.Ports = append(f.Ports, s.Port)
	}
	f.Sequence = joined(f.Ports)
}

// judge tells what hosts make of the forged knock, once they have seen the recorded one.
func (f *Forged) judge(o knock.Options, recorded []uint16) error {
	o.IVLength = len(recorded) - len(cryptcbc.Header) - cryptcbc.BlockSize
	codec, err := knock.New(o)
	if err != nil {
		return err
	}
	if f.Naive, err = open(o, f.Ports); err != nil {
		return err
	}
	if codec.Block(recorded) != codec.Block(f.Ports) {
		return errors.New("the forged knock has another block than the recorded one")
	}
	_, err = codec.Open(recorded)
	switch {
	case err != nil:
		f.Refused = !f.Naive.Good
		f.Why = "The recorded knock does not decode at this host, so it remembers nothing of it."
	case !f.Naive.Good:
		f.Refused, f.Why = true, "The forged knock does not decode."
	default:
		f.Refused = true
		f.Why = fmt.Sprintf("Its ciphertext block %x was used before, by the recorded knock. A block opens once.", codec.Block(recorded))
	}
	return nil
}
