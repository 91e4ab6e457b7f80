package test

import (
	"strings"
	"testing"
)

// A feed is where the daemon of a lab learns of packets: the line of its
// configuration. The zero feed is the log of the lab's logger.
type feed string

const (
	fromLog       feed = ""
	fromInterface feed = "interface = eth0"
	fromNFLOG     feed = "nflog = 5"
	fromKmsg      feed = "kmsg = true"
)

var feeds = []feed{fromLog, fromInterface, fromNFLOG, fromKmsg}

// String is the name of the setting.
func (f feed) String() string {
	if f == fromLog {
		return "log"
	}
	name, _, _ := strings.Cut(string(f), " ")
	return name
}

// setting is the line for a lab whose log is path.
func (f feed) setting(path string) string {
	if f == fromLog {
		return "log = " + path + "\n"
	}
	return string(f) + "\n"
}

// target is what the firewall does with a knock before it drops it; nothing if the
// feed needs nothing.
func (f feed) target(prefix string) string {
	switch f {
	case fromInterface:
		return ""
	case fromNFLOG:
		return "-j NFLOG --nflog-group 5"
	}
	return `-j LOG --log-prefix "` + prefix + `"`
}

// eachFeed runs a test with each.
func eachFeed(t *testing.T, test func(t *testing.T, f feed)) {
	t.Helper()
	for _, f := range feeds {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			test(t, f)
		})
	}
}
