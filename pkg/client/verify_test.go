package client

import (
	"cmp"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/knock"
	"github.com/portknock/knock/pkg/sequence"
)

const whyHint = "on the host, knockdaemon -why 192.0.2.2 says what it saw\n"

func TestVerify(t *testing.T) {
	t.Parallel()
	open := func(ports ...uint16) map[uint16]bool {
		m := map[uint16]bool{}
		for _, port := range ports {
			m[port] = true
		}
		return m
	}
	closing := config.Client{Ports: []uint16{22}, Time: knock.Close}
	silentHint := "knockclient: hint: key, cipher, header and port-min must be as on the host, its daemon must run and allow it (allow-ports), and it must know this machine as 192.0.2.2: " + whyHint
	for name, tt := range map[string]struct {
		c       config.Client
		retries int // 0: 5, -1: 0
		gate    *gate
		stdout  string
		stderr  string
		status  int
	}{
		"opens": {
			gate:   &gate{listens: true, trip: 20 * time.Millisecond, latency: 30 * time.Millisecond},
			stdout: "gate: port 22 is open, after 1 knock, 0.2 s\n",
		},
		"a long way and a slow daemon": {
			gate:   &gate{listens: true, trip: 900 * time.Millisecond, latency: 500 * time.Millisecond},
			stdout: "gate: port 22 is open, after 1 knock, 1.6 s\n",
		},
		"two knocks are lost": {
			gate:   &gate{listens: true, trip: 40 * time.Millisecond, latency: 10 * time.Millisecond, deaf: 2},
			stdout: "gate: port 22 is open, after 3 knocks, 4.1 s\n",
		},
		"the first tries are lost": {
			gate:   &gate{listens: true, trip: 40 * time.Millisecond, lost: map[int]bool{3: true, 4: true, 5: true}},
			stdout: "gate: port 22 is open, after 1 knock, 0.8 s\n",
		},
		"nobody hears": {
			gate:   &gate{deaf: 100},
			stderr: "knockclient: error: gate: port 22 is not open after 6 knocks, 22 s\n" + silentHint,
			status: 3,
		},
		"one of two is not allowed": {
			c:       config.Client{Ports: []uint16{22, 80}, Time: 15},
			retries: 1,
			gate:    &gate{listens: true, allowed: open(22)},
			stderr:  "knockclient: error: gate: port 80 is not open after 3 knocks, 4.0 s\n" + silentHint,
			status:  3,
		},
		"two ports": {
			c:      config.Client{Ports: []uint16{22, 80}, Time: 15},
			gate:   &gate{listens: true, latency: 10 * time.Millisecond, deaf: 1},
			stdout: "gate: ports 22, 80 are open, after 3 knocks, 2.0 s\n",
		},
		"was open": {
			gate:   &gate{listens: true, trip: 20 * time.Millisecond, open: open(22)},
			stdout: "gate: port 22 was open before the knock\n",
			status: 4,
		},
		"one of two was open": {
			c:      config.Client{Ports: []uint16{22, 80}, Time: 15},
			gate:   &gate{listens: true, latency: 10 * time.Millisecond, open: open(80)},
			stdout: "gate: port 22 is open, port 80 was open before the knock, after 2 knocks, 0.4 s\n",
		},
		"nobody listens": {
			gate:   &gate{trip: 20 * time.Millisecond},
			stdout: "gate: port 22 is open but nothing listens there, after 1 knock, 0.5 s\n",
		},
		"rejects, and opens": {
			gate:   &gate{rejects: true, listens: true, trip: 20 * time.Millisecond, deaf: 1},
			stdout: "gate: port 22 is open, after 2 knocks, 1.9 s\n",
		},
		"rejects": {
			gate: &gate{rejects: true, deaf: 100},
			stderr: "knockclient: error: gate: port 22 is not open after 6 knocks, 22 s\n" +
				"knockclient: hint: it refuses, as before the knock: nothing may listen there, or the firewall rejects what is closed and the knock was not heard: " + whyHint,
			status: 3,
		},
		"rejects, once a second": {
			retries: -1,
			gate:    &gate{rejects: true, seldom: true, deaf: 100},
			stderr: "knockclient: error: gate: port 22 is not open after 1 knock, 1.7 s\n" +
				"knockclient: hint: it refuses: nothing may listen there, or the firewall rejects what is closed and the knock was not heard: " + whyHint,
			status: 3,
		},
		"rejects, a long way off": {
			retries: 1,
			gate:    &gate{rejects: true, deaf: 100, trip: 1200 * time.Millisecond},
			stderr: "knockclient: error: gate: port 22 is not open after 2 knocks, 3.8 s\n" +
				"knockclient: hint: it refuses: nothing may listen there, or the firewall rejects what is closed and the knock was not heard: " + whyHint,
			status: 3,
		},
		"rejects, and the first answer is lost": {
			retries: -1,
			gate:    &gate{rejects: true, deaf: 100, lost: map[int]bool{1: true}},
			stderr: "knockclient: error: gate: port 22 is not open after 1 knock, 1.7 s\n" +
				"knockclient: hint: it refuses, as before the knock: nothing may listen there, or the firewall rejects what is closed and the knock was not heard: " + whyHint,
			status: 3,
		},
		"closes": {
			c:      closing,
			gate:   &gate{listens: true, trip: 20 * time.Millisecond, latency: 100 * time.Millisecond, open: open(22)},
			stdout: "gate: port 22 is closed, after 1 knock, 1.6 s\n",
		},
		"closes, and rejects": {
			c:      closing,
			gate:   &gate{rejects: true, listens: true, trip: 20 * time.Millisecond, latency: 100 * time.Millisecond, open: open(22)},
			stdout: "gate: port 22 is closed, after 1 knock, 0.7 s\n",
		},
		"stays open": {
			c:    closing,
			gate: &gate{listens: true, trip: 20 * time.Millisecond, deaf: 100, open: open(22)},
			stderr: "knockclient: error: gate: port 22 is still open after 6 knocks, 28 s\n" +
				"knockclient: hint: a rule that is not of a knock may let it in, or the knock was not heard: " + whyHint,
			status: 3,
		},
		"stays open, a long way off": {
			c:       closing,
			retries: -1,
			gate:    &gate{listens: true, trip: 1200 * time.Millisecond, deaf: 100, open: open(22)},
			stderr: "knockclient: error: gate: port 22 is still open after 1 knock, 4.2 s\n" +
				"knockclient: hint: a rule that is not of a knock may let it in, or the knock was not heard: " + whyHint,
			status: 3,
		},
		"stays open, and answers are lost": {
			c:      closing,
			gate:   &gate{listens: true, trip: 20 * time.Millisecond, deaf: 1, open: open(22), lost: map[int]bool{3: true, 5: true, 6: true, 8: true}},
			stdout: "gate: port 22 is closed, after 2 knocks, 3.8 s\n",
		},
		"was closed": {
			gate:   &gate{},
			c:      closing,
			stdout: "gate: port 22 is closed, after 1 knock, 3.0 s\n",
		},
		"closes, out of reach": {
			c:      closing,
			gate:   &gate{err: syscall.EHOSTUNREACH},
			stdout: "gate: port 22 is closed (connect: no route to host), after 1 knock, 0.5 s\n",
		},
		"closes, and nothing is sent to see that": {
			c:       config.Client{Ports: []uint16{22, 80}, Time: knock.Close},
			retries: -1,
			gate:    &gate{err: syscall.EPERM},
			stderr: "knockclient: error: gate: ports 22, 80 may still be open after 2 knocks, 4.3 s (connect: operation not permitted)\n" +
				"knockclient: hint: a rule that is not of a knock may let it in, or the knock was not heard: " + whyHint,
			status: 3,
		},
		"a pad, and nobody hears": {
			c:       config.Client{Pad: "home.pad"},
			retries: -1,
			gate:    &gate{deaf: 100},
			stderr: "knockclient: error: gate: port 22 is not open after 1 knock, 1.7 s\n" +
				"knockclient: hint: pad and port-min must be as on the host, its daemon must run and allow it (allow-ports) and have heard one of the last knocks " +
				"(32, or its pad-look-ahead), and it must know this machine as 192.0.2.2: " + whyHint,
			status: 3,
		},
		"a sequence": {
			c:    config.Client{Sequence: []sequence.Step{{Port: 7000}}, Ports: []uint16{22, 80}},
			gate: &gate{listens: true, deaf: 100},
			stderr: "knockclient: error: gate: ports 22, 80 are not open after 6 knocks, 22 s\n" +
				"knockclient: hint: the sequence must be as on the host, and its daemon must run: " + whyHint,
			status: 3,
		},
		"among the knock ports": {
			c:      config.Client{Knock: knock.Options{PortMin: 1}},
			gate:   &gate{listens: true, trip: 20 * time.Millisecond, deaf: 1},
			stdout: "gate: port 22 is open, after 2 knocks, 3.1 s\n",
		},
		"quiet": {
			c:    config.Client{Quiet: true},
			gate: &gate{listens: true},
		},
		"quiet, was open": {
			c:      config.Client{Quiet: true},
			gate:   &gate{listens: true, open: open(22)},
			status: 4,
		},
		"for a command, was open": {
			c:    config.Client{After: config.After{Exec: "true"}},
			gate: &gate{listens: true, open: open(22)},
		},
		"for a connection": {
			c:    config.Client{After: config.After{Proxy: true}},
			gate: &gate{listens: true, trip: 300 * time.Millisecond},
		},
		"for a connection that is refused": {
			c:    config.Client{After: config.After{Proxy: true}},
			gate: &gate{trip: 20 * time.Millisecond},
			stderr: "knockclient: error: gate: port 22 is not open after 6 knocks, 22 s\n" +
				"knockclient: hint: it refuses: nothing may listen there, or the firewall rejects what is closed and the knock was not heard: " + whyHint,
			status: 3,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tt.c.After.Retries = cmp.Or(tt.retries, 5)
				if tt.retries < 0 {
					tt.c.After.Retries = 0
				}
				tt.c.After.Verify = tt.c.After.Exec == "" && !tt.c.After.Proxy
				stdout, stderr, status := pursued(t, tt.c, tt.gate)
				if diff := gocmp.Diff(tt.stdout, stdout); diff != "" {
					t.Errorf("stdout (-want +got)\n%s", diff)
				}
				if diff := gocmp.Diff(tt.stderr, stderr); diff != "" {
					t.Errorf("stderr (-want +got)\n%s", diff)
				}
				if status != tt.status {
					t.Errorf("status %d, want %d", status, tt.status)
				}
			})
		})
	}
}

// A try at a knock port keeps away from the knocks: it is over before one begins, and none begins while one is sent or
// may not have arrived. There are never many tries at a time.
func TestTriesKeepAway(t *testing.T) {
	t.Parallel()
	for _, near := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			g := &gate{deaf: 100}
			c := config.Client{After: config.After{Verify: true, Retries: 7}}
			if near {
				c.Knock.PortMin = 1
			}
			_, _, status := pursued(t, c, g)
			if status != 3 || len(g.knockedAt) != 8 {
				t.Fatalf("status %d, %d knocks", status, len(g.knockedAt))
			}
			during, close := 0, 0
			for _, tried := range g.triedAt {
				for _, knocked := range g.knockedAt {
					from := tried - knocked
					if from >= 0 && from < 160*time.Millisecond {
						during++
					}
					if from > -1000*time.Millisecond && from < 460*time.Millisecond && tried > silence {
						close++
					}
				}
			}
			if during > 0 || near && (close > 0 || g.disturbed > 0) {
				t.Errorf("tries at %v, knocks at %v, of which %d in the midst of a try", g.triedAt, g.knockedAt, g.disturbed)
			}
			if n := len(g.triedAt); near && n > 80 || n > 160 || n < 40 {
				t.Errorf("%d tries", n)
			}
		})
	}
}
