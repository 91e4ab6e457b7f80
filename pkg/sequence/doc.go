// Package sequence finds knocks that are sequences of ports, as knockd's are: TCP and UDP packets of one source to
// certain ports, in a certain order and within a certain time.
package sequence
