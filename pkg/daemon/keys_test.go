package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/packet"
)

// conf writes a configuration file, and gives the flag that names it.
func conf(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "-conf=" + path
}

// packetLines makes the lines of packets that src sent now, one to each port.
func packetLines(src string, firstSrcPort int, ports ...uint16) string {
	var b strings.Builder
	for i, port := range ports {
		fmt.Fprintf(&b, "%s gate kernel: DENY IN=eth0 OUT= SRC=%s DST=192.0.2.1 LEN=60 PROTO=TCP SPT=%d DPT=%d WINDOW=1 RES=0x00 SYN URGP=0 \n",
			time.Now().UTC().Format(time.RFC3339Nano), src, firstSrcPort+i, port)
	}
	return b.String()
}

// sealedLines makes the lines of a knock.
func sealedLines(t *testing.T, o knock.Options, p knock.Payload, firstSrcPort int) string {
	t.Helper()
	codec, err := knock.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := codec.Seal(p)
	if err != nil {
		t.Fatal(err)
	}
	return packetLines("203.0.113.5", firstSrcPort, ports...)
}

// Each key opens what it may and nothing else, whatever the others may, and the log says whose knock it was.
func TestKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t, conf(t, `
allow-ports = 22
[key alice]
key = a
header = randomiv
[key bob]
key = b
cipher = Rijndael
allow-ports = 80
forward = 80=10.0.0.5:8080
[key carol]
key = c
cipher = DES
until = 2020-01-01
[key nobody]
cipher = none
match-source = true
`))
	steps := []struct {
		options knock.Options
		payload knock.Payload
		wait    string
	}{
		{knock.Options{Passphrase: []byte("knock")}, open22, "rule opened ip=198.51.100.7 port=22"},
		{knock.Options{Passphrase: []byte("a"), Header: knock.HeaderRandomIV}, open22, "rule refreshed"},
		{knock.Options{Passphrase: []byte("b"), Cipher: knock.CipherRijndael}, open22, "key=bob reason=port 22"},
		{knock.Options{Passphrase: []byte("b"), Cipher: knock.CipherRijndael}, knock.Payload{IP: laptop, Port: 80, Time: 15}, "rule opened ip=198.51.100.7 port=80"},
		{knock.Options{Passphrase: []byte("c"), Cipher: knock.CipherDES}, open22, "key=carol"},
		{knock.Options{Cipher: knock.CipherNone}, open22, "key=nobody"},
	}
	for i, s := range steps {
		r.append(t, sealedLines(t, s.options, s.payload, 1000*(i+1)))
		r.journal.wait(t, s.wait)
	}
	r.checkDump(t, "chain\nforward chain\nforward 198.51.100.7 80/tcp to 10.0.0.5:8080 for 15 min\naccept 198.51.100.7 22/tcp for 15 min\n")
	want := `watching
knock accepted src=203.0.113.5 knock=open 198.51.100.7 port 22 for 15 min
rule opened ip=198.51.100.7 port=22
knock accepted src=203.0.113.5 knock=open 198.51.100.7 port 22 for 15 min key=alice
rule refreshed ip=198.51.100.7 port=22
knock refused src=203.0.113.5 knock=open 198.51.100.7 port 22 for 15 min key=bob reason=port 22 is not in allow-ports
knock accepted src=203.0.113.5 knock=open 198.51.100.7 port 80 for 15 min, forwarded to 10.0.0.5:8080 key=bob
rule opened ip=198.51.100.7 port=80 to=10.0.0.5:8080
knock refused src=203.0.113.5 knock=open 198.51.100.7 port 22 for 15 min key=carol reason=the key has ended (until)
knock refused src=203.0.113.5 knock=open 198.51.100.7 port 22 for 15 min key=nobody reason=it came from 203.0.113.5 and names 198.51.100.7 (match-source)
`
	got := strings.TrimPrefix(r.journal.text(), "knocks are to forward ports, and the kernel forwards nothing: sysctl net.ipv4.ip_forward=1\n")
	got = strings.ReplaceAll(got, time.Date(2020, 1, 2, 0, 0, 0, 0, time.Local).Format(time.RFC3339)+" ", "")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("journal (-want +got)\n%s", diff)
	}
}

// What one key refuses may be another one's knock: it is, if that accepts it.
func TestKeysOfOneWindow(t *testing.T) {
	t.Parallel()
	open := func(name, refuses string) *key {
		return &key{Key: config.Key{Name: name}, length: 8, reader: alwaysReader(refuses)}
	}
	var got []string
	p := &pipeline{decide: func(d decision) { got = append(got, d.key.Name+" "+d.refusal) }}
	for _, keys := range [][]*key{
		{open("a", "no"), open("b", "")},
		{open("a", "no"), open("b", "never")},
	} {
		p.keys = keys
		got = append(got, fmt.Sprint(p.match(laptop, make([]uint16, 8))))
	}
	if diff := cmp.Diff([]string{"b ", "true", "a no", "false"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// alwaysReader takes everything for a knock, and refuses it for the reason that it is.
type alwaysReader string

func (alwaysReader) open([]uint16) (knock.Payload, bool) { return open22, true }
func (a alwaysReader) refusal([]uint16) string           { return string(a) }
func (alwaysReader) try([]uint16) error                  { return nil }

// BenchmarkKeys measures what a packet to a knock port costs, when it fills a window that no key opens.
func BenchmarkKeys(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := &config.Daemon{QueueTimeout: time.Minute, MaxPackets: 1 << 10}
			for i := range n {
				c.Keys = append(c.Keys, config.Key{Knock: knock.Options{Passphrase: fmt.Appendf(nil, "key %d", i)}})
			}
			p, err := newPipeline(c, func(decision) {})
			if err != nil {
				b.Fatal(err)
			}
			now, pkt := time.Now(), packet.Packet{Src: laptop, Proto: packet.TCP, Flags: packet.SYN}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				pkt.SrcPort, pkt.DstPort = uint16(i), 745+uint16(i*7919%256)
				p.observe(pkt, now)
			}
		})
	}
}
