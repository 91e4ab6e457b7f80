// Package sequence finds knocks that are sequences of ports, as knockd's are: TCP and UDP packets of one source to
// certain ports, in a certain order and within a certain time.
//
// It is pure: the caller brings the packets and the time, and decides what a match does. A Matcher remembers the last
// tries of each source. A sequence is there when they hold its packets, in their order, the newest try being the last of
// them, within the section's time, and with fewer strays between its first and its last packet than it has steps. So
// strays, packets that come twice, other clients behind the same address, and scans before or after a knock do not harm
// it, and yet a scan does not complete it: between two steps it also tries the ports beside them. See Ports for those
// who would not see these, Weak for sequences that a scan completes all the same.
//
// What strangers send is bounded: so many sources, so many tries of each and of all; the source that stood still longest
// gives way. And a source is remembered only from a packet on that begins a sequence.
package sequence
