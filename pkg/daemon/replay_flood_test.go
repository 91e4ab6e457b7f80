package daemon

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/knock"
)

const floodSeconds = 8

// A flood is a log, made up while it is read: rate lines a second for floodSeconds, of sources that source gives with
// their ports, and between them the SYNs of one knock, the first at the beginning and the last at the end.
type flood struct {
	rate   int
	source func(n int) (host uint32, srcPort, dstPort int)
	began  time.Time
	knock  []uint16
	next   int
	head   []byte // of the next lines
	text   []byte // to be read
}

func (f *flood) Read(b []byte) (int, error) {
	for len(f.text) < len(b) && f.next < floodSeconds*f.rate {
		n := f.next
		f.next++
		if n%100 == 0 { // a stamp for each line takes most of the time
			at := f.began.Add(time.Duration(n) * time.Second / time.Duration(f.rate))
			f.head = append(at.AppendFormat(f.head[:0], time.RFC3339Nano), " gate kernel: DENY IN=e OUT= SRC="...)
		}
		if between := (floodSeconds*f.rate - 1) / (len(f.knock) - 1); n%between == 0 {
			i := n / between
			f.line(203<<24|113<<8|5, 40000+i, int(f.knock[i]))
		}
		f.line(f.source(n))
	}
	n := copy(b, f.text)
	f.text = f.text[:copy(f.text, f.text[n:])]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (f *flood) line(host uint32, srcPort, dstPort int) {
	var octets [4]byte
	binary.BigEndian.PutUint32(octets[:], host)
	f.text = append(f.text, f.head...)
	f.text = netip.AddrFrom4(octets).AppendTo(f.text)
	f.text = append(f.text, " DST=192.0.2.1 PROTO=TCP SPT="...)
	f.text = strconv.AppendInt(f.text, int64(srcPort), 10)
	f.text = append(f.text, " DPT="...)
	f.text = strconv.AppendInt(f.text, int64(dstPort), 10)
	f.text = append(f.text, " SYN URGP=0 \n"...)
}

// A knock that takes 8 s gets through a flood of 100,000 packets a second, whatever that looks like, with the memory that
// the daemon has if nobody says otherwise; or, which takes less time to try, through an eighth of it with an eighth.
func TestReplayOfFlood(t *testing.T) {
	t.Parallel()
	codec, err := knock.New(knock.Options{Passphrase: []byte("knock")})
	if err != nil {
		t.Fatal(err)
	}
	sequence, err := codec.Seal(open22)
	if err != nil {
		t.Fatal(err)
	}
	var someEach []int // the turns of 600 senders: two packets of the first, … seven of the sixth, and so on
	for round := range 7 {
		for sender := range 600 {
			if round < 2+sender%6 {
				someEach = append(someEach, sender)
			}
		}
	}
	type ports = func(n int) (host uint32, srcPort, dstPort int)
	for name, test := range map[string]struct {
		share  int
		source ports
	}{
		"new sources": {1, func(n int) (uint32, int, int) { return 10<<24 + uint32(n), 1024, 745 + n%256 }},
		"one source":  {8, func(n int) (uint32, int, int) { return 198<<24 | 51<<16, 1024 + n%60000, 800 + n%2 }},
		"sources with some packets each": {8, func(n int) (uint32, int, int) {
			turn, sender := n/len(someEach), someEach[n%len(someEach)]
			return 10<<24 + uint32(turn*600+sender), 1024 + n%60000, 745 + n%256
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			rate := 100_000 / test.share
			f := &flood{rate: rate, source: test.source, began: time.Date(2026, 11, 20, 20, 0, 0, 0, time.UTC), knock: sequence}
			c := load(t, "-replay=-")
			c.MaxPackets /= test.share
			if err := Replay(c, f, &out); err != nil {
				t.Fatal(err)
			}
			lines := floodSeconds*rate + len(sequence)
			want := fmt.Sprintf(`2026-11-20T20:00:07Z 203.0.113.5: open 198.51.100.7 port 22 for 15 min: allowed
%d lines, %d packets, 1 knocks, ELAPSED`, lines, lines)
			if diff := cmp.Diff(want, elapsed.ReplaceAllString(out.String(), "ELAPSED")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
