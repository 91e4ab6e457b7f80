package control

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func pointer[T any](v T) *T { return &v }

func at(d time.Duration) *time.Time { return pointer(now.Add(d)) }

// busy is a daemon with something of everything, in no order.
func busy() Status {
	v4, other, v6 := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("198.51.100.9"), netip.MustParseAddr("2001:db8::7")
	return Status{
		Version: "v1.2", Process: 4711, Started: now.Add(-76*time.Hour - 5*time.Minute),
		Sources: []Source{
			{Name: "/var/log/knock.log", Watching: true, Since: now.Add(-76 * time.Hour)},
			{Name: "eth0", Since: now.Add(-62 * time.Second), Problem: "no such device"},
		},
		Leases: []Lease{
			{Address: v6, Port: 22, Proto: "tcp", Action: Open, By: "section openSSH", From: v6},
			{Address: v4, Port: 2222, Proto: "tcp", Action: Forward, To: "10.0.0.5:22", By: "key bob", From: other, Until: at(time.Hour)},
			{Address: v4, Port: 22, Proto: "tcp", Action: Open, By: "key alice", From: v4, Until: at(723 * time.Second)},
			{Address: other, Action: Ban, By: "key", From: other, Until: at(9 * time.Minute)},
			{Address: other, Port: 53, Proto: "udp", Action: Open, Until: at(-time.Second), Closing: true},
		},
		Keys: []Key{
			{Name: "key"},
			{Name: "key alice", Accepted: 12, Refused: 1, Last: at(-3*time.Hour - 4*time.Minute), Left: pointer(30)},
			{Name: "section openSSH", Accepted: 3, Last: at(0)},
		},
		Counters: []Counter{
			{Name: "packets_seen", Help: "Packets seen.", Value: 123456},
			{Name: "lines_unreadable", Help: "Lines that could not be read."},
			{Name: "queue_seconds", Help: "How far behind.", Value: 0.25, Gauge: true},
		},
	}
}

func TestStatusText(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status Status
		want   string
	}{
		"busy": {busy(), `knockdaemon v1.2, process 4711, up 3 d 4 h; watching /var/log/knock.log
not watching eth0 for 1 min 2 s: no such device

open to       port                     for         by               knocked from
198.51.100.9  53/udp                   closing     -                -
203.0.113.7   22/tcp                   12 min 3 s  key alice        203.0.113.7
203.0.113.7   2222/tcp to 10.0.0.5:22  1 h         key bob          198.51.100.9
2001:db8::7   22/tcp                   no limit    section openSSH  2001:db8::7

banned        for    by
198.51.100.9  9 min  key

knocks of        accepted  refused  last accepted  left
key              0         0        never
key alice        12        1        3 h 4 min ago  30
section openSSH  3         0        0 s ago

packets seen   123456
queue seconds  0.25
`},
		"idle": {
			Status{Version: "v1.2", Process: 1, Started: now.Add(-time.Second), Sources: []Source{{Name: "a", Watching: true}, {Name: "b", Watching: true}}},
			"knockdaemon v1.2, process 1, up 1 s; watching a, b\nnothing is open\n",
		},
		"blind": {
			Status{Version: "v1.2", Process: 1, Started: now.Add(time.Hour), Sources: []Source{{Name: "a"}}},
			"knockdaemon v1.2, process 1, up 0 s; watching nothing\nnot watching a\nnothing is open\n",
		},
		"only a ban": {
			Status{Version: "v1.2", Process: 1, Started: now, Leases: []Lease{{Address: netip.MustParseAddr("192.0.2.1"), Action: Ban}}},
			"knockdaemon v1.2, process 1, up 0 s; watching nothing\nnothing is open\n\nbanned     for       by\n192.0.2.1  no limit  -\n",
		},
		"the firewall has not heard of it yet": {
			Status{Version: "v1.2", Process: 1, Started: now, Leases: []Lease{
				{Address: netip.MustParseAddr("192.0.2.1"), Port: 22, Proto: "tcp", Action: Open, By: "key", Until: at(time.Hour), Waiting: true},
				{Address: netip.MustParseAddr("192.0.2.2"), Action: Ban, Until: at(time.Hour), Waiting: true},
			}},
			"knockdaemon v1.2, process 1, up 0 s; watching nothing\n" +
				"\nopen to    port    for               by   knocked from\n192.0.2.1  22/tcp  not yet in force  key  -\n" +
				"\nbanned     for               by\n192.0.2.2  not yet in force  -\n",
		},
		"hostile names": {
			Status{
				Version: "v1\x1b[2J", Process: 1, Started: now,
				Sources:  []Source{{Name: "a\nb", Watching: true}, {Name: "c", Problem: "\x9b2J"}},
				Leases:   []Lease{{Address: netip.MustParseAddr("192.0.2.1"), Port: 1, Proto: "t\tcp", To: "x\r", By: "key \u202ebob"}},
				Keys:     []Key{{Name: "key \ta"}},
				Counters: []Counter{{Name: "x\x00", Value: 1}},
			},
			`knockdaemon v1\x1b[2J, process 1, up 0 s; watching a\x0ab
not watching c: \x9b2J

open to    port                for       by             knocked from
192.0.2.1  1/t\x09cp to x\x0d  no limit  key \u202ebob  -

knocks of  accepted  refused  last accepted
key \x09a  0         0        never

x\x00  1
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			if err := test.status.Write(&b, now); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, b.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestWhyText(t *testing.T) {
	t.Parallel()
	v4 := netip.MustParseAddr("203.0.113.7")
	for name, test := range map[string]struct {
		why  Why
		want string
	}{
		"seen": {
			Why{Address: v4, Verdict: "a knock for port 80 came, which allow-ports forbids", Findings: []Finding{
				{Kind: "syns", Text: "SYNs to knock ports", Count: 24, Last: at(-12 * time.Second)},
				{Kind: "refused", Text: "port 80\x1b", Count: 1},
				{Kind: "banned", Text: "not now"},
				{Kind: "copies", Count: 2, Last: at(-25 * time.Hour)},
			}, Open: []Lease{{Address: v4, Port: 22, Proto: "tcp", Action: Open, By: "key", From: v4}}},
			`203.0.113.7: a knock for port 80 came, which allow-ports forbids

what     times  last
syns     24     12 s ago     SYNs to knock ports
refused  1      -            port 80\x1b
banned   -      -            not now
copies   2      1 d 1 h ago

open to      port    for       by   knocked from
203.0.113.7  22/tcp  no limit  key  203.0.113.7
`,
		},
		"unseen": {
			Why{Address: v4, Verdict: "nothing came from there"},
			"203.0.113.7: nothing came from there\nnothing is open to 203.0.113.7\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			if err := test.why.Write(&b, now); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, b.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestClosedText(t *testing.T) {
	t.Parallel()
	v4 := netip.MustParseAddr("203.0.113.7")
	for name, test := range map[string]struct {
		closed Closed
		want   string
	}{
		"nothing":         {Closed{Target: Target{v4, 0}}, "nothing was open to 203.0.113.7\n"},
		"nothing, a port": {Closed{Target: Target{v4, 22}}, "nothing was open to 203.0.113.7:22\n"},
		"some": {
			Closed{Target{v4, 0}, []Lease{
				{Address: v4, Port: 2222, Proto: "tcp", Action: Forward, To: "10.0.0.5:22", By: "section x"},
				{Address: v4, Port: 22, Proto: "tcp", Action: Open, By: "key \aalice"},
				{Address: v4, Port: 80, Proto: "tcp", Action: Open},
			}},
			`closed 22/tcp, which was open to 203.0.113.7 by key \x07alice
closed 80/tcp, which was open to 203.0.113.7
closed 2222/tcp to 10.0.0.5:22, which was open to 203.0.113.7 by section x
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			if err := test.closed.Write(&b); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, b.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestTextToWhereItCannotGo(t *testing.T) {
	t.Parallel()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(Status{}.Write(f, now), Why{}.Write(f, now), Closed{}.Write(f)); err == nil ||
		strings.Count(err.Error(), "failed to write") != 3 {
		t.Errorf("the errors are %v", err)
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Hour:                     "0 s",
		0:                              "0 s",
		999 * time.Millisecond:         "0 s",
		59 * time.Second:               "59 s",
		time.Minute:                    "1 min",
		61 * time.Second:               "1 min 1 s",
		time.Hour - 1:                  "59 min 59 s",
		time.Hour + 59*time.Second:     "1 h",
		time.Hour + time.Minute:        "1 h 1 min",
		24*time.Hour - 1:               "23 h 59 min",
		24 * time.Hour:                 "1 d",
		400*24*time.Hour + 5*time.Hour: "400 d 5 h",
	} {
		if got := span(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
