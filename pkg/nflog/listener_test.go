package nflog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portknock/knock/pkg/packet"
)

const (
	local4 = "127.0.0.1"
	local6 = "::1"
)

// Each firewall gets the same packets, UDP to port 1 and a SYN to port 2 of both families, then one that always comes:
// UDP to port 9 of IPv4, from a rule of its own.
func TestRules(t *testing.T) {
	t.Parallel()
	all := []packet.Packet{udp(local4, 1), syn(local4, 2), udp(local6, 1), syn(local6, 2)}
	tests := map[string]struct {
		rules []string
		want  []packet.Packet
	}{
		"iptables": {[]string{
			"iptables -w 5 -A INPUT -m multiport -p udp --dports 1 -j NFLOG --nflog-group 5 --nflog-prefix DENY",
			"iptables -w 5 -A INPUT -m multiport -p tcp --dports 2 -j NFLOG --nflog-group 5",
		}, all[:2]},
		"iptables-legacy": {[]string{"iptables-legacy -w 5 -A INPUT -p udp --dport 1 -j NFLOG --nflog-group 5"}, all[:1]},
		"ip6tables": {[]string{
			"ip6tables -w 5 -A INPUT -p udp --dport 1 -j NFLOG --nflog-group 5",
			"ip6tables -w 5 -A INPUT -p tcp --dport 2 -j NFLOG --nflog-group 5",
		}, all[2:]},
		"nft": {nft("input", "udp dport 1 log group 5", "tcp dport 2 log group 5"), all},
		"nft with a prefix and a short copy": {
			nft("input", "udp dport 1 log prefix DENY group 5 snaplen 64", "tcp dport 2 log group 5 snaplen 60"), all,
		},
		"a copy without ports":   {nft("input", "udp dport 1 log group 5 snaplen 20", "tcp dport 2 log group 5"), []packet.Packet{all[1], all[3]}},
		"a batch asked for":      {nft("input", "udp dport 1 log group 5 queue-threshold 50", "tcp dport 2 log group 5 queue-threshold 50"), all},
		"raw prerouting":         {nft("prerouting", "udp dport 1 log group 5", "tcp dport 2 log group 5"), all},
		"another group":          {nft("input", "udp dport 1 log group 6", "tcp dport 2 log group 5"), []packet.Packet{all[1], all[3]}},
		"group 0":                {nft("input", "udp dport 1 log group 0"), nil},
		"the log, not the group": {nft("input", "udp dport 1 log prefix NFLOGTEST", "tcp dport 2 log group 5"), []packet.Packet{all[1], all[3]}},
		"on the way out":         {nft("output", "udp dport 1 log group 5", "tcp dport 2 log group 5"), nil},
		"after the way out":      {nft("postrouting", "udp dport 1 log group 5", "tcp dport 2 log group 5"), nil},
		"two rules":              {nft("input", "udp dport 1 log group 5", "udp dport 1 log group 5"), []packet.Packet{all[0], all[0], all[2], all[2]}},
		"no rule":                {nil, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, "iptables -w 5 -A INPUT -p udp --dport 9 -j NFLOG --nflog-group 5")
			h.run(tt.rules...)
			r := h.listen(5, nil)
			for _, addr := range []string{local4, local6} {
				h.udp(addr, 1)
				h.syn(addr, 2)
			}
			h.udp(local4, 9)
			r.want(append(slices.Clone(tt.want), udp(local4, 9))...)
			r.wantReports()
		})
	}
}

// nft makes commands that add rules to a hook.
func nft(hook string, rules ...string) []string {
	commands := []string{
		"nft add table inet t",
		"nft add chain inet t c { type filter hook " + hook + " priority -300 ; }",
	}
	for _, r := range rules {
		commands = append(commands, "nft add rule inet t c "+r)
	}
	return commands
}

func TestTwoGroups(t *testing.T) {
	t.Parallel()
	h := newHost(t, nft("input", "udp dport 1 log group 0", "udp dport 2 log group 65535", "udp dport 9 log group 0 log group 65535")...)
	low, high := h.listen(0, nil), h.listen(65535, nil)
	h.udp(local4, 1, 2, 9)
	low.want(udp(local4, 1), udp(local4, 9))
	high.want(udp(local4, 2), udp(local4, 9))
	if !eventually(func() bool { return low.looks.Load() >= 3 && high.looks.Load() >= 3 }) {
		t.Error("no sign of life while nothing comes")
	}
}

// Left to itself the kernel waits for a hundred packets, or a second. A tenth of that is far from the fraction of a
// millisecond that a packet takes, so a busy machine does not fail it.
func TestLatency(t *testing.T) {
	t.Parallel()
	h := newHost(t, nft("input", "udp dport 1 log group 5 queue-threshold 50")...)
	r := h.listen(5, nil)
	var took []time.Duration
	for i := range 20 {
		start := time.Now()
		h.udp(local4, 1)
		for len(r.got()) <= i {
			if time.Since(start) > 10*time.Second {
				t.Fatal("the packet never came")
			}
			time.Sleep(50 * time.Microsecond)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	t.Logf("from before it is sent to handle: median %v, longest %v", took[len(took)/2], took[len(took)-1])
	if median := took[len(took)/2]; median > 100*time.Millisecond {
		t.Errorf("median latency %v, want less than 100ms", median)
	}
}

func TestTakenGroup(t *testing.T) {
	t.Parallel()
	h := newHost(t, nft("input", "udp dport 1-9 log group 5")...)
	first := h.listen(5, nil)
	second := h.listen(5, nil)
	second.wantReports("NFLOG group 5 is taken: another program listens to it")
	if !eventually(func() bool { return second.looks.Load() >= 5 }) {
		t.Error("no sign of life while the group is taken")
	}
	h.udp(local4, 1)
	first.want(udp(local4, 1))
	first.stop()
	second.wantReports("NFLOG group 5 is taken: another program listens to it", "NFLOG group 5 is free again: <nil>")
	h.udp(local4, 2)
	second.want(udp(local4, 2))
	first.want(udp(local4, 1))

	third := h.listen(5, nil) // and it can be told to end before it has the group
	third.stop()
	third.want()
}

func TestRestart(t *testing.T) {
	t.Parallel()
	h := newHost(t, nft("input", "udp dport 1 log group 5")...)
	for range 20 {
		r := h.listen(5, nil)
		// A program that another test is about to run may have the last socket for a moment.
		var want []string
		if len(r.told()) > 0 {
			want = []string{"NFLOG group 5 is taken: another program listens to it", "NFLOG group 5 is free again: <nil>"}
			r.wantReports(want...)
		}
		h.udp(local4, 1)
		r.want(udp(local4, 1))
		r.stop()
		r.wantReports(want...)
		h.udp(local4, 1) // while nobody listens
	}
}

// What is lost in a flood is counted, to the packet.
func TestFlood(t *testing.T) {
	t.Parallel()
	const sent = 3000
	h := newHost(t, nft("input", "udp dport 1-9 log group 5")...)
	held, release := make(chan struct{}, 1), make(chan struct{})
	r := h.listen(5, func(l *Listener, handle *func(packet.Packet)) {
		l.buffer = 64 << 10
		next := *handle
		*handle = func(p packet.Packet) {
			if p.DstPort == 1 { // it takes its time, once
				held <- struct{}{}
				<-release
			}
			next(p)
		}
	})
	h.udp(local4, 1)
	<-held
	for range sent {
		h.udp(local4, 2)
	}
	close(release)
	tries := 0
	if !eventually(func() bool {
		h.udp(local4, 3) // its number tells what is missing before it
		tries++
		got := r.got()
		return len(got) > 1 && got[len(got)-1].DstPort == 3
	}) {
		t.Fatal("nothing comes after a flood")
	}
	came := 0
	for _, p := range r.got() {
		if p.DstPort == 2 {
			came++
		}
	}
	if came == 0 || came > sent/2 {
		t.Errorf("%d of %d packets came, want some: the buffer is small", came, sent)
	}
	if !eventually(func() bool { return len(r.told()) > 0 }) {
		t.Fatal("no report of the loss")
	}
	var lost int
	_, err := fmt.Sscanf(r.told()[0], "packets of the firewall lost: %d came faster than they were read", &lost)
	check(t, err)
	if lost < sent-came || lost > sent-came+tries { // of those to port 3 some may be lost as well
		t.Errorf("%d came and %d are said to be lost, of %d", came, lost, sent)
	}
	t.Logf("%d of %d came, %d lost", came, sent, lost)
	r.stop()
	if len(r.told()) != 1 {
		t.Errorf("reports: %q, want one", r.told())
	}
}

// Packets without a pause hold up neither the signs of life nor the end.
func TestNeverIdle(t *testing.T) {
	t.Parallel()
	h := newHost(t, nft("input", "udp dport 1 log group 5")...)
	r := h.listen(5, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	flooded := make(chan error, 1)
	go func() {
		flooded <- h.inside(func() error {
			for ctx.Err() == nil {
				h.udp(local4, 1)
			}
			return nil
		})
	}()
	if !eventually(func() bool { return r.looks.Load() >= 3 && len(r.got()) > 0 }) {
		t.Error("no sign of life, or no packet")
	}
	r.stop()
	cancel()
	check(t, <-flooded)
}

// Without the right to, there is an error, and not the wait for a group that is taken.
func TestNotPermitted(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.listen(6, nil)
	for _, group := range []uint16{5, 6} {
		ended := make(chan error, 1)
		go func() {
			ended <- h.inside(func() error {
				head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
				var none [2]unix.CapUserData
				if err := unix.Capset(&head, &none[0]); err != nil { // of this thread alone
					return err
				}
				return New(Options{Group: group}).Run(t.Context(), nil)
			})
		}()
		err := <-ended
		want := fmt.Sprintf("failed to bind NFLOG group %d: operation not permitted", group)
		if !errors.Is(err, fs.ErrPermission) || err.Error() != want {
			t.Errorf("Run: %v, want %s", err, want)
		}
	}
}
