package client

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/sequence"
)

// appendLog writes to a file what a host's firewall would log of the knock, in one piece, so that a daemon can be
// tried without a network.
func appendLog(path string, w way, steps []sequence.Step, now time.Time) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("failed to open the log: %w", err)
	}
	source := int(chooseSource(len(steps)))
	var lines bytes.Buffer
	for i, step := range steps {
		fmt.Fprintf(&lines, "%s localhost kernel: DENY IN=eth0 OUT= MAC= %s \n",
			now.Format("2006-01-02T15:04:05.000000Z07:00"), logged(w, i+1, source+i, step))
	}
	if _, err := f.Write(lines.Bytes()); err != nil {
		f.Close()
		return fmt.Errorf("failed to write the log: %w", err)
	}
	return f.Close()
}

// logged gives what netfilter's LOG says of a packet: its IP head, with this identification, and that of its transport.
func logged(w way, id, source int, step sequence.Step) string {
	length, head := 40, fmt.Sprintf("PROTO=TCP SPT=%d DPT=%d WINDOW=64240 RES=0x00 SYN URGP=0", source, step.Port)
	if step.Proto == packet.UDP {
		length, head = 9, fmt.Sprintf("PROTO=UDP SPT=%d DPT=%d LEN=9", source, step.Port)
	}
	if w.host.Is4() {
		return fmt.Sprintf("SRC=%s DST=%s LEN=%d TOS=0x00 PREC=0x00 TTL=64 ID=%d DF %s", w.src, w.host, 20+length, id, head)
	}
	return fmt.Sprintf("SRC=%s DST=%s LEN=%d TC=0 HOPLIMIT=64 FLOWLBL=0 %s", full(w.src), full(w.host), 40+length, head)
}

// full writes all digits of an IPv6 address, as the kernel does.
func full(addr netip.Addr) string { return addr.WithZone("").StringExpanded() }
