package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/pad"
)

// A key reads the knocks of one key, and says which of them to heed.
type key struct {
	config.Key
	length int
	reader reader
	tally  *tally
	heeded []uint16 // the last knock of a pad that was; nil: none
}

// heed notes a knock that is heeded.
func (k *key) heed(ports []uint16) {
	if k.Pad != "" {
		k.heeded = append(k.heeded[:0], ports...)
	}
}

// isAgain tells whether ports are the knock of a pad that was heeded last. Whoever has not seen what became of it sends it
// as it was, to use up no more of the pad: he does not guess.
func (k *key) isAgain(ports []uint16) bool { return k.heeded != nil && slices.Equal(k.heeded, ports) }

// A reader reads knocks, and remembers those that it has read.
type reader interface {
	// open gives what ports say, or false for noise.
	open(ports []uint16) (knock.Payload, bool)
	// refusal records the knock that open has just read, and says why it must not be heeded, or nothing.
	refusal(ports []uint16) string
	// try tells why ports are no knock, or nothing. It changes nothing.
	try(ports []uint16) error
}

// newKey makes a key with what reads its knocks. One of a pad has no reader yet: that wants a place on the disk.
func newKey(c config.Key) (*key, error) {
	if c.Pad != "" {
		return &key{Key: c, length: pad.Length, tally: new(tally)}, nil
	}
	codec, err := knock.New(c.Knock)
	if err != nil {
		return nil, err
	}
	return &key{Key: c, length: codec.Len(), reader: &sealed{codec, newSeenBlocks(c.Knock.Header)}, tally: new(tally)}, nil
}

// newKeys makes all keys, and gives the lengths of their knocks.
func newKeys(all []config.Key) (keys []*key, lengths []int, err error) {
	for _, c := range all {
		k, err := newKey(c)
		if err != nil {
			return nil, nil, err
		}
		keys = append(keys, k)
		if !slices.Contains(lengths, k.length) {
			lengths = append(lengths, k.length)
		}
	}
	return keys, lengths, nil
}

// title is how an operator reads of k: "key alice".
func (k *key) title() string { return strings.TrimSpace("key " + k.Name) }

// A sealed reader is that of a key with a cipher.
type sealed struct {
	codec  *knock.Codec
	blocks judge
}

// A judge records the ciphertext block of each knock, and says why it must not be heeded, or nothing.
type judge interface{ refusal(block [8]byte) string }

func (s *sealed) open(ports []uint16) (knock.Payload, bool) {
	p, err := s.codec.Open(ports)
	return p, err == nil
}

// try tells why ports are not a knock. It remembers nothing.
func (s *sealed) try(ports []uint16) error {
	_, err := s.codec.Open(ports)
	return err
}

func (s *sealed) refusal(ports []uint16) string { return s.blocks.refusal(s.codec.Block(ports)) }

// refusal says why a knock that was read is not heeded at now, or nothing. Closing is allowed for any time, but not for
// any port or address: whoever may not open a door has no business closing it.
func (k *key) refusal(src netip.Addr, p knock.Payload, now time.Time) string {
	if !k.Until.IsZero() && !now.Before(k.Until) {
		return fmt.Sprintf("the key has ended %s (until)", k.Until.Format(time.RFC3339))
	}
	return refusal(k.Allow, src, p)
}

func refusal(a config.Allow, src netip.Addr, p knock.Payload) string {
	switch {
	case a.Ports != nil && !a.Ports.Contains(uint16(p.Port)):
		return fmt.Sprintf("port %d is not in allow-ports", p.Port)
	case a.IPs != nil && !contains(a.IPs, p.IP):
		return fmt.Sprintf("%s is not in allow-ips", p.IP)
	case a.MatchSource && p.IP != src:
		return fmt.Sprintf("it came from %s and names %s (match-source)", src, p.IP)
	case a.MaxTime > 0 && p.Time == knock.Forever:
		return fmt.Sprintf("no time limit, max-time is %d", a.MaxTime)
	case a.MaxTime > 0 && p.Time != knock.Close && int(p.Time) > a.MaxTime:
		return fmt.Sprintf("%d minutes, max-time is %d", p.Time, a.MaxTime)
	}
	return ""
}

func contains(networks []netip.Prefix, ip netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}
