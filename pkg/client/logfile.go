package client

import (
	"bytes"
	"fmt"
	"os"
	"time"
)

// appendLog writes to a file what a host's firewall would log of the knock, in one piece, so that a daemon can be
// tried without a network.
func appendLog(path string, w way, sequence []uint16, now time.Time) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("failed to open the log: %w", err)
	}
	source := chooseSource(len(sequence))
	var lines bytes.Buffer
	for i, port := range sequence {
		fmt.Fprintf(&lines, "%s localhost kernel: DENY IN=eth0 OUT= MAC= SRC=%s DST=%s LEN=60 TOS=0x00 PREC=0x00 TTL=64 "+
			"ID=%d DF PROTO=TCP SPT=%d DPT=%d WINDOW=64240 RES=0x00 SYN URGP=0 \n",
			now.Format("2006-01-02T15:04:05.000000Z07:00"), w.src, w.host, i+1, int(source)+i, port)
	}
	if _, err := f.Write(lines.Bytes()); err != nil {
		f.Close()
		return fmt.Errorf("failed to write the log: %w", err)
	}
	return f.Close()
}
