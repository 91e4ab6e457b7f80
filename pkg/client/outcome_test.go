package client

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/sequence"
	"github.com/portknock/knock/pkg/ui"
)

// There is one object, whatever happens.
func TestJSON(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		c    config.Client
		gate *gate
		want string
	}{
		"opens": {
			gate: &gate{listens: true, trip: 20 * time.Millisecond},
			want: `{"host":"gate","address":"192.0.2.1","ports":[{"port":22,"result":"open","listening":true}],"ip":"192.0.2.2","time":15,"knocks":1,"seconds":0.23,"result":"open"}`,
		},
		"was open": {
			gate: &gate{listens: true, open: map[uint16]bool{22: true}},
			want: `{"host":"gate","address":"192.0.2.1","ports":[{"port":22,"result":"was-open","listening":true}],"ip":"192.0.2.2","time":15,"knocks":1,"seconds":0.16,"result":"was-open"}`,
		},
		"one of two, where nobody listens": {
			c:    config.Client{Ports: []uint16{22, 80}, After: config.After{Retries: 1}},
			gate: &gate{allowed: map[uint16]bool{80: true}},
			want: `{"host":"gate","address":"192.0.2.1","ports":[{"port":22,"result":"not-open","listening":false},{"port":80,"result":"open","listening":false}],"ip":"192.0.2.2","time":0,"knocks":3,"seconds":3.98,"result":"not-open","error":"gate: port 22 is not open after 3 knocks, 4.0 s"}`,
		},
		"closes": {
			c:    config.Client{Ports: []uint16{22}, Time: knock.Close},
			gate: &gate{rejects: true},
			want: `{"host":"gate","address":"192.0.2.1","ports":[{"port":22,"result":"closed","listening":false}],"ip":"192.0.2.2","time":255,"knocks":1,"seconds":0.46,"result":"closed"}`,
		},
		"stays open": {
			c:    config.Client{Ports: []uint16{22}, Time: knock.Close},
			gate: &gate{listens: true, open: map[uint16]bool{22: true}, deaf: 100},
			want: `{"host":"gate","address":"192.0.2.1","ports":[{"port":22,"result":"not-closed","listening":true}],"ip":"192.0.2.2","time":255,"knocks":1,"seconds":2.56,"result":"not-closed","error":"gate: port 22 is still open after 1 knock, 2.6 s"}`,
		},
		"a sequence": {
			c:    config.Client{Sequence: []sequence.Step{{Port: 7000}}, Ports: []uint16{443}},
			gate: &gate{listens: true},
			want: `{"host":"gate","address":"192.0.2.1","ports":[{"port":443,"result":"open","listening":true}],"knocks":1,"seconds":0.21,"result":"open"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tt.c.JSON, tt.c.After.Verify = true, true
				stdout, _, _ := pursued(t, tt.c, tt.gate)
				if diff := cmp.Diff(tt.want+"\n", stdout); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		})
	}
}

// So it is where nothing is looked at, and for what goes wrong on the way.
func TestJSONOfRun(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		c    config.Client
		want string
	}{
		"sent": {
			config.Client{Host: "127.0.0.1"},
			`{"host":"127.0.0.1","address":"127.0.0.1","ports":[{"port":22,"result":"sent"}],"ip":"127.0.0.1","time":15,"knocks":1,"seconds":0,"result":"sent"}`,
		},
		"a sequence": {
			config.Client{Host: "127.0.0.1", Sequence: []sequence.Step{udp(9)}, Ports: []uint16{}},
			`{"host":"127.0.0.1","address":"127.0.0.1","ports":[],"knocks":1,"seconds":0,"result":"sent"}`,
		},
		"no such host": {
			config.Client{Host: "256.1.1.1", After: config.After{Verify: true}},
			`{"host":"256.1.1.1","ports":[{"port":22,"result":"failed"}],"time":15,"knocks":0,"seconds":0,"result":"failed","error":"…"}`,
		},
		"no such pad": {
			config.Client{Host: "127.0.0.1", Pad: "/nowhere/at/all"},
			`{"host":"127.0.0.1","address":"127.0.0.1","ports":[{"port":22,"result":"failed"}],"ip":"127.0.0.1","time":15,"knocks":0,"seconds":0,"result":"failed","error":"…"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.c.JSON = true
			client, stdout, _ := newTestClient(tt.c)
			err := client.Run(t.Context())
			if (err == nil) != (tt.c.Pad == "" && tt.c.Host == "127.0.0.1") {
				t.Errorf("error %v", err)
			}
			got := regexp.MustCompile(`"error":"[^"].*"`).ReplaceAllString(stdout.String(), `"error":"…"`)
			if diff := cmp.Diff(tt.want+"\n", got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Who stops a client is told so, but ssh, which has no use for it then.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		after  config.After
		json   bool
		stderr string
		stdout string
	}{
		{config.After{}, false, "knockclient: error: interrupted\n", ""},
		{config.After{Proxy: true}, false, "", ""},
		{config.After{Exec: "echo never"}, false, "knockclient: error: interrupted\n", ""},
		{config.After{Verify: true}, true, "knockclient: error: interrupted\n", `{"host":"127.0.0.1","address":"127.0.0.1","ports":[{"port":22,"result":"failed"}],` +
			`"ip":"127.0.0.1","time":15,"knocks":0,"seconds":0,"result":"failed","error":"interrupted"}` + "\n"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		client, stdout, _ := newTestClient(config.Client{Host: "127.0.0.1", After: tt.after, JSON: tt.json, Delay: time.Hour})
		var stderr strings.Builder
		status := ui.Fail(&stderr, "knockclient", client.Run(ctx))
		if status != 1 || stderr.String() != tt.stderr || stdout.String() != tt.stdout {
			t.Errorf("%+v: status %d, stderr %q, stdout %q", tt, status, stderr.String(), stdout)
		}
	}
}

// What stops a client stops it at once, at any time, with its line taken away.
func TestStopped(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{100 * time.Millisecond, 950 * time.Millisecond, 2 * time.Second, 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			g := &gate{deaf: 100, open: map[uint16]bool{}}
			shown := new(strings.Builder)
			client, _, _ := newTestClient(config.Client{Host: "gate"})
			client.Progress = shown
			line, _ := client.showProgress()
			v := &verifier{targets: []*target{{port: 22}}, retries: 5, dial: g.dial, knock: g.knock, show: line.show}
			ctx, cancel := context.WithTimeoutCause(t.Context(), after, nil)
			defer cancel()
			began := time.Now()
			err := v.run(ctx)
			line.clear()
			if spent := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || spent != after {
				t.Errorf("error %v after %v, want one after %v", err, spent, after)
			}
			if !strings.HasSuffix(shown.String(), " \r") {
				t.Errorf("the terminal shows %q", shown)
			}
		})
	}
}

// The line says how it goes, makes room for warnings, and is never longer than a terminal.
func TestProgress(t *testing.T) {
	t.Parallel()
	shown := new(strings.Builder)
	client, _, _ := newTestClient(config.Client{Host: "gate"})
	client.Progress = shown
	client.Warn = func(format string, a ...any) { fmt.Fprintf(shown, format+"\n", a...) }
	line, other := client.showProgress()
	v := &verifier{retries: 5, targets: []*target{{port: 22}, {port: 80, before: refused}}}
	line.show(v, 0)
	line.show(v, 1)
	other.Warn("there is %s", "something")
	v.targets[0].done = true
	line.show(v, 2)
	for range 20 {
		v.targets = append(v.targets, &target{port: 100})
	}
	line.show(v, 3)
	line.clear()
	line.clear()
	blank := func(n int) string { return "\r" + strings.Repeat(" ", n) + "\r" }
	want := "gate: looking at port 22, looking at port 80 …" + blank(46) +
		"gate: knock 1 of 6, port 22 is silent, port 80 refuses …" + blank(56) +
		"there is something\n" +
		"gate: knock 2 of 6, port 80 is silent …" + blank(39) +
		"gate: knock 3 of 6, port 80 is silent, port 100 is silent, port 100 is silent…" + blank(78)
	if diff := cmp.Diff(want, shown.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Real ports: one that takes connections, one that refuses them, and a host that there is no way to.
func TestDialer(t *testing.T) {
	t.Parallel()
	open, _ := listen(t)
	for port, want := range map[uint16]reply{open: accepted, closedPort(t): refused} {
		conn, err := dialer(loopback)(t.Context(), port)
		if got := replyOf(err); got != want || obstacle(err) != nil {
			t.Errorf("port %d %v (%v), want %v", port, got, err, want)
		}
		answer{conn: conn}.close()
	}
	_, err := dialer(netip.MustParseAddr("255.255.255.255"))(t.Context(), 9)
	if replyOf(err) != silent || obstacle(err) == nil {
		t.Errorf("error %v, want an obstacle", err)
	}
}

func TestIsNear(t *testing.T) {
	t.Parallel()
	seq := []sequence.Step{udp(1), tcp(7000)[0], tcp(8000)[0], udp(60000)}
	for _, tt := range []struct {
		c    config.Client
		port uint16
		want bool
	}{
		{config.Client{}, 744, false}, {config.Client{}, 745, true}, {config.Client{}, 1000, true}, {config.Client{}, 1001, false},
		{config.Client{Knock: knock.Options{PortMin: 65280}}, 65535, true}, {config.Client{Knock: knock.Options{PortMin: 1}}, 0, false},
		{config.Client{Sequence: seq}, 6999, false}, {config.Client{Sequence: seq}, 7500, true}, {config.Client{Sequence: seq}, 8001, false},
		{config.Client{Sequence: seq[:1]}, 1, false},
	} {
		client := Client{Config: &tt.c}
		if got := client.isNear(tt.port); got != tt.want {
			t.Errorf("%+v: port %d: %v, want %v", tt.c, tt.port, got, tt.want)
		}
	}
}
