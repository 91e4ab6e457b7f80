package main

import (
	"encoding/binary"
	"fmt"
	"os/exec"

	"golang.org/x/sys/unix"
)

// beFloor opens the port each time a SYN to knockPort comes in, until it is killed. The socket is of the link layer, as
// knockd's is: a raw IP socket does not get what the firewall drops.
func beFloor(knockPort int) error {
	iptables, err := exec.LookPath("iptables")
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(networkOrder(unix.ETH_P_IP)))
	if err != nil {
		return fmt.Errorf("failed to make a packet socket: %w", err)
	}
	defer unix.Close(fd)
	filter := synFilter(uint32(knockPort))
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return fmt.Errorf("failed to set the filter: %w", err)
	}
	var packet [64]byte
	for {
		if _, _, err := unix.Recvfrom(fd, packet[:], 0); err == unix.EINTR {
			continue
		} else if err != nil {
			return fmt.Errorf("failed to read a packet: %w", err)
		}
		if out, err := exec.Command(iptables, rule("-I")...).CombinedOutput(); err != nil {
			return fmt.Errorf("failed to run iptables: %w: %s", err, out)
		}
	}
}

// synFilter accepts IPv4 packets that are the first of a TCP connection to a port. Packets start with the IP header.
func synFilter(port uint32) []unix.SockFilter {
	const (
		load8, load16  = unix.BPF_LD | unix.BPF_B, unix.BPF_LD | unix.BPF_H
		equal, set     = unix.BPF_JMP | unix.BPF_JEQ, unix.BPF_JMP | unix.BPF_JSET
		and            = unix.BPF_ALU | unix.BPF_AND
		at, behindIP   = unix.BPF_ABS, unix.BPF_IND
		fragmentOffset = 0x1fff
		syn, synOrAck  = 0x02, 0x12
	)
	return []unix.SockFilter{
		{Code: load8 | at, K: 9},
		{Code: equal, K: unix.IPPROTO_TCP, Jf: 9},
		{Code: load16 | at, K: 6},
		{Code: set, K: fragmentOffset, Jt: 7},
		{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0}, // the length of the IP header
		{Code: load16 | behindIP, K: 2},
		{Code: equal, K: port, Jf: 4},
		{Code: load8 | behindIP, K: 13},
		{Code: and, K: synOrAck},
		{Code: equal, K: syn, Jf: 1},
		{Code: unix.BPF_RET, K: 64}, // accept
		{Code: unix.BPF_RET, K: 0},
	}
}

// networkOrder gives the number whose bytes in memory are those of n, the higher one first.
func networkOrder(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}
