package sniff

import (
	"context"
	"slices"
	"testing"

	"github.com/portknock/knock/pkg/packet"
)

// The interface comes, goes, and comes back as another one of the same name.
func TestComesAndGoes(t *testing.T) {
	t.Parallel()
	laptop, gate := newSpace(t), newSpace(t)
	r := gate.sniff(Options{Interface: "eth0"}, nil)
	reports := []string{"interface is not there: no such device"}
	r.wantReports(reports...)

	p := docs.packet(false, packet.UDP, 7000, 0)
	knock := func() {
		t.Helper()
		seen := func(v6 bool) bool {
			return slices.ContainsFunc(r.packets, func(p packet.Packet) bool { return p.Dst.Is6() == v6 })
		}
		r.eventually("mark of each family", func() { // an address is known within a second
			laptop.send("eth0", gateLink, docs.mark(false), docs.mark(true))
		}, func() bool { return seen(false) && seen(true) })
		r.change(func() { r.packets = nil })
		laptop.send("eth0", gateLink, build(p), docs.mark(false))
		r.want(false, p)
	}
	step := func(report string, do func()) {
		t.Helper()
		do()
		reports = append(reports, report)
		r.wantReports(reports...)
	}
	step("interface is sniffed now", func() { plug(laptop, gate) })
	knock()
	for range 2 {
		step("interface is not there: no such device", func() { gate.ip("link del eth0") })
		r.look() // it is told once
		step("interface is sniffed now", func() { plug(laptop, gate) })
		knock()
	}
	step("interface is down: network is down", func() { gate.ip("link set eth0 down") })
	r.look()
	step("interface is sniffed now", func() {
		gate.ip("link set eth0 up\naddr add 2001:db8::1/64 dev eth0 nodad") // it went with the link
	})
	knock()
	step("interface is not there: no such device", func() { gate.ip("link set eth0 down\nlink set eth0 name eth1") })
	step("interface is down: network is down", func() { gate.ip("link set eth1 name eth0") })
	step("interface is sniffed now", func() { gate.ip("link set eth0 up\naddr add 2001:db8::1/64 dev eth0 nodad") })
	knock()
	r.look()
	r.wantReports(reports...)
}

// An interface that comes back by the same name and number between two looks is another one all the same.
func TestSameNumber(t *testing.T) {
	t.Parallel()
	gate := newSpace(t)
	looking, looked := make(chan struct{}), make(chan struct{})
	r := gate.sniffStepwise(looking, looked)
	gate.ip("link add eth0 index 77 type veth peer name eth1\nlink set eth0 up\nlink set eth1 up")
	looking <- struct{}{}
	<-looked
	before := r.fds[1].Fd
	if got := r.sockets[0].index(); got != 77 {
		t.Errorf("listens to interface %d", got)
	}
	gate.ip("link del eth0\nlink add eth0 index 77 type veth peer name eth1\nlink set eth0 up\nlink set eth1 up")
	if got := r.sockets[0].index(); got == 77 {
		t.Errorf("still listens to interface %d, descriptor %d", got, before)
	}
	looking <- struct{}{}
	<-looked
	if got := r.sockets[0].index(); got != 77 {
		t.Errorf("listens to interface %d", got)
	}
	close(looking)
	<-looked
}

// sniffStepwise gives a tap that looks when it is told to, and says when it has.
func (s *space) sniffStepwise(looking <-chan struct{}, looked chan<- struct{}) *tap {
	r := &tap{Sniffer: mustNew(s.t, Options{Interface: "eth0"}), ours: NewOurs(nil)}
	s.start(func() error {
		w, err := newWaker(context.Background())
		if err != nil {
			return err
		}
		defer w.close()
		r.fds = append(r.fds, w.poll())
		for range looking {
			r.look()
			looked <- struct{}{}
		}
		r.close()
		close(looked)
		return nil
	})
	return r
}
