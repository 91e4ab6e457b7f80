package sequence

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portknock/knock/pkg/packet"
)

// Flags are what the flags of a TCP packet must be: all of Set there, none of Clear. The zero Flags fit every packet.
// Set and Clear have none in common.
type Flags struct{ Set, Clear packet.Flags }

// flagNames are knockd's names, the first that of the lowest bit.
var flagNames = []string{"fin", "syn", "rst", "psh", "ack", "urg"}

// ParseFlags reads knockd's tcpflags: "syn,!ack" is SYN without ACK. The names are fin, syn, rst, psh, ack and urg, in
// any case, with blanks around them; there is at least one, and none is both wanted and excluded.
func ParseFlags(text string) (Flags, error) {
	var f Flags
	for part := range strings.SplitSeq(text, ",") {
		name, excluded := strings.CutPrefix(strings.TrimSpace(part), "!")
		bit := slices.Index(flagNames, strings.ToLower(name))
		if bit < 0 {
			return Flags{}, fmt.Errorf("%q is no TCP flag: want fin, syn, rst, psh, ack or urg, with commas", name)
		}
		if excluded {
			f.Clear |= 1 << bit
		} else {
			f.Set |= 1 << bit
		}
		if f.Set&f.Clear != 0 {
			return Flags{}, fmt.Errorf("the TCP flag %s is both wanted and excluded", flagNames[bit])
		}
	}
	return f, nil
}

// String gives the flags as ParseFlags reads them; "" for the zero Flags.
func (f Flags) String() string {
	var parts []string
	for i, name := range flagNames {
		switch bit := packet.Flags(1) << i; {
		case f.Set&bit != 0:
			parts = append(parts, name)
		case f.Clear&bit != 0:
			parts = append(parts, "!"+name)
		}
	}
	return strings.Join(parts, ",")
}

func (f Flags) fit(p packet.Flags) bool { return p&f.Set == f.Set && p&f.Clear == 0 }

// or gives Flags that fit what f or g fits, and perhaps more.
func (f Flags) or(g Flags) Flags { return Flags{Set: f.Set & g.Set, Clear: f.Clear & g.Clear} }
