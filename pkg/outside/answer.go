package outside

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// maxAnswer is the longest answer that is taken, in bytes.
const maxAnswer = 256

// parseAnswer reads the address off an answer: the first word of it, with blanks and newlines around. What follows is not
// looked at. Local tells that the service is on this machine, whose answer may be one of this machine's.
func parseAnswer(text []byte, local bool) (netip.Addr, error) {
	if len(text) > maxAnswer {
		return netip.Addr{}, fmt.Errorf("its answer has more than %d bytes: that is no address", maxAnswer)
	}
	words := strings.Fields(string(text))
	if len(words) == 0 {
		return netip.Addr{}, errors.New("its answer is empty")
	}
	ip, err := netip.ParseAddr(words[0])
	switch ip = ip.Unmap(); {
	case err != nil:
		return netip.Addr{}, fmt.Errorf("its answer is no address: it begins with %s", shown(words[0]))
	case !ip.Is4():
		return netip.Addr{}, fmt.Errorf("its answer is the IPv6 address %s, and a knock carries an IPv4 one", shown(words[0]))
	case ip.IsLoopback() && local:
	case !isOutside(ip):
		return netip.Addr{}, fmt.Errorf("its answer is %s, which is no address to come from", ip)
	}
	return ip, nil
}

// isOutside tells whether packets from ip can arrive somewhere. Private addresses can: a service may be a company's own.
func isOutside(ip netip.Addr) bool {
	first := ip.As4()[0]
	return first != 0 && !ip.IsLoopback() && first < 224 // from there on multicast, reserved ones and broadcast
}

// maxShown is how much is repeated of what came from elsewhere, in bytes.
const maxShown = 40

// shown quotes the beginning of a word, so that it does nothing to a terminal.
func shown(word string) string {
	if len(word) > maxShown {
		return fmt.Sprintf("%q…", word[:maxShown])
	}
	return fmt.Sprintf("%q", word)
}
