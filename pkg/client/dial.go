package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/sequence"
)

// Package net tells when a socket was made, and not when its SYN has left, a few system calls later. So there is a pause
// after each, also where none was asked for, and a longer one before the last can be given up.
const (
	leastPause = 10 * time.Millisecond
	lastPause  = 50 * time.Millisecond
)

// dialPackets does what sendPackets does where sockets are package net's alone, and waits a little longer. Source ports
// that somebody takes at the last moment are left to the kernel.
func dialPackets(ctx context.Context, host netip.Addr, steps []sequence.Step, delay time.Duration) (accepted []uint16, err error) {
	n := countTCP(steps)
	ctx, cancel := context.WithCancel(ctx)
	d := dials{host: host, source: freeSource(host, n, chooseSource), answers: make(chan ending, n)}
	defer d.running.Wait()
	defer cancel()
	for i, step := range steps {
		pause := max(delay, leastPause)
		if i == len(steps)-1 {
			pause = max(delay, lastPause)
		}
		got, err := d.send(ctx, step, pause)
		if err != nil {
			return nil, err
		}
		accepted = append(accepted, got...)
	}
	return sorted(accepted), nil
}

// dials are the connections that were asked for.
type dials struct {
	host    netip.Addr
	source  uint16      // of the next; 0: the kernel chooses
	answers chan ending // has room for all
	running sync.WaitGroup
}

// An ending is what became of the connection to a port: an error, or it was accepted.
type ending struct {
	step sequence.Step
	err  error
}

// send sends one packet, and gives the ports accepted during the pause after it.
func (d *dials) send(ctx context.Context, step sequence.Step, pause time.Duration) (accepted []uint16, err error) {
	if step.Proto == packet.UDP {
		err = dialDatagram(d.host, step.Port)
	} else {
		err = d.connect(ctx, step)
	}
	if err != nil {
		return nil, fmt.Errorf("port %s: %w", step, err)
	}
	return d.wait(ctx, pause)
}

// dialDatagram sends one byte, as sendDatagram does. That nobody listens cannot be known before it has left.
func dialDatagram(host netip.Addr, port uint16) error {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(host, port)))
	if err != nil {
		return reason(err)
	}
	defer conn.Close()
	_, err = conn.Write([]byte{0})
	return reason(err)
}

// connect asks for a connection, and returns when there is a socket for it, or an answer already.
func (d *dials) connect(ctx context.Context, step sequence.Step) error {
	var local *net.TCPAddr
	if d.source != 0 {
		local = &net.TCPAddr{Port: int(d.source)}
		d.source++
	}
	begun := make(chan struct{})
	begin := sync.OnceFunc(func() { close(begun) })
	d.running.Go(func() {
		err := d.dial(ctx, local, step.Port, begin)
		if failedTo("bind", err) {
			err = d.dial(ctx, nil, step.Port, begin)
		}
		d.answers <- ending{step, err}
		begin()
	})
	select {
	case <-begun:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// dial sends one SYN, and waits for the answer. It calls begin when the socket is made, before it is bound.
func (d *dials) dial(ctx context.Context, local *net.TCPAddr, port uint16, begin func()) error {
	dialer := net.Dialer{Timeout: lifetime, Control: func(string, string, syscall.RawConn) error {
		begin()
		return nil
	}}
	if local != nil { // in the interface a nil one would be an address
		dialer.LocalAddr = local
	}
	conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(d.host, port).String())
	if err != nil {
		return reason(err)
	}
	conn.Close()
	return nil
}

// wait sleeps, and gives the ports accepted meanwhile. An answer is an error if it says that the packet was not sent.
func (d *dials) wait(ctx context.Context, pause time.Duration) (accepted []uint16, err error) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			return accepted, nil
		case a := <-d.answers:
			switch {
			case a.err == nil:
				accepted = append(accepted, a.step.Port)
			case isNotSent(a.err):
				return nil, fmt.Errorf("port %s: %w", a.step, a.err)
			}
		}
	}
}

// reason gives err without the addresses that package net puts before it.
func reason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// isNotSent tells an error on this machine from what a host, or a network, answers.
func isNotSent(err error) bool {
	if failedTo("socket", err) || failedTo("bind", err) {
		return true
	}
	return slices.ContainsFunc(notSent, func(e error) bool { return errors.Is(err, e) })
}

// failedTo tells whether err is of that system call, by the name that package net gives it.
func failedTo(call string, err error) bool {
	var failed *os.SyscallError
	return errors.As(err, &failed) && failed.Syscall == call
}
