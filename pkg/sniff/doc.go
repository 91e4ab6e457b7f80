// Package sniff takes knocks from a network interface, with no log in between.
//
// The kernel filters: a program made of the Wants runs in it for each packet that the interface receives, and only
// what may be a knock costs a system call. What the kernel would not let in as a packet to this machine is left out
// here too, so that a knock means the same whether it is logged or sniffed: see Sniffer.Run. Unlike a log, an
// interface shows packets before the firewall sees them: a rule that drops a knock without a log line hides nothing
// from a Sniffer.
//
// It needs CAP_NET_RAW. Nothing is ever sent.
package sniff
