package knocklab

import (
	"errors"
	"fmt"
	"strings"

	"github.com/portknock/knock/pkg/cryptcbc"
	"github.com/portknock/knock/pkg/knock"
)

// Opened is how a sequence is read, as far as that goes.
type Opened struct {
	Good     bool     `json:"good"`
	At       string   `json:"at"`      // where it ended: length, port, header, padding, checksum or end
	Says     string   `json:"says"`    // what the knock asks for, or why it does not decode
	Hint     string   `json:"hint"`    // what to look at then; may be empty
	Steps    []step   `json:"steps"`   // empty if the length or a port is wrong
	Key      *key     `json:"key"`     // as are all that follow; nil also with the cipher none
	IV       []int    `json:"iv"`      //
	Block    block    `json:"block"`   //
	Padding  []int    `json:"padding"` // empty if it is wrong
	Payload  []part   `json:"payload"` // empty if the padding is wrong
	Sum      *sum     `json:"sum"`     // nil then
	Ports    []uint16 `json:"ports"`
	Sequence string   `json:"sequence"`
	First    uint16   `json:"first"`
	Last     uint16   `json:"last"`
}

// maxPasted is how many ports are looked at: no knock has half as many.
const maxPasted = 64

// Open reads a sequence, ports with spaces or commas between, and tells how, or why
// it cannot be read. That is no error: an error is [Faults], for what is wrong with a,
// or with "sequence": more than 64 ports, or something else than ports. With the
// header randomiv any IV is taken from the sequence, and its length with it.
func Open(a Agreement, sequence string) (Opened, error) {
	faults := Faults{}
	if a.Header == string(knock.HeaderRandomIV) {
		a.IV, a.IVForm = "", ""
	}
	o := a.options(faults)
	ports, err := parseSequence(sequence)
	faults.take("sequence", err)
	if err := faults.err(); err != nil {
		return Opened{}, err
	}
	return open(o, ports)
}

// parseSequence takes ports with spaces, commas or both between.
func parseSequence(text string) ([]uint16, error) {
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,;\t\r\n\u00a0", r) })
	if len(words) == 0 {
		return nil, errors.New("paste the ports of a knock, with spaces or commas between")
	}
	if len(words) > maxPasted {
		return nil, fmt.Errorf("%d ports are more than any knock has: paste at most %d", len(words), maxPasted)
	}
	var ports []uint16
	for i, word := range words {
		port, err := number(word, "a port", 0, 65535)
		if err != nil {
			return nil, fmt.Errorf("knock %d: %w", i+1, err)
		}
		ports = append(ports, uint16(port))
	}
	return ports, nil
}

// open reads ports, which o was checked for.
func open(o knock.Options, ports []uint16) (Opened, error) {
	r := Opened{Ports: ports, Sequence: joined(ports), First: o.PortMin, Last: o.PortMin + 255}
	if n := len(ports) - len(cryptcbc.Header) - cryptcbc.BlockSize; o.Header == knock.HeaderRandomIV && n >= 1 && n <= cryptcbc.BlockSize {
		o.IVLength = n // the host has to be told
	}
	codec, err := knock.New(o)
	if err != nil {
		return Opened{}, err
	}
	payload, refusal := codec.Open(ports)
	if errors.Is(refusal, knock.ErrLength) || errors.Is(refusal, knock.ErrPort) {
		r.explain(o, refusal)
		return r, nil
	}
	message := messageOf(ports, o.PortMin)
	iv, sent, sealed := split(o, message)
	r.Steps = stepsOf(message, o.PortMin, sent)
	if !errors.Is(refusal, knock.ErrHeader) {
		if err := r.decrypt(o, iv, sealed, refusal); err != nil {
			return Opened{}, err
		}
	}
	if refusal != nil {
		r.explain(o, refusal)
		return r, nil
	}
	r.Good, r.At, r.Says = true, "end", payload.String()
	return r, nil
}

// decrypt fills in the steps from the block to the payload, if there is one.
func (r *Opened) decrypt(o knock.Options, iv, sealed []byte, refusal error) error {
	block, plain, err := blockOf(o, iv, sealed)
	if err != nil {
		return err
	}
	r.Key, r.IV, r.Block = keyOf(o), ints(iv), block
	if refusal == nil || errors.Is(refusal, knock.ErrChecksum) {
		s := sumOf(plain)
		r.Padding, r.Payload, r.Sum = ints(plain[7:]), parts(plain), &s
	}
	return nil
}
